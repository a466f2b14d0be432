//! The new program's stack at its exec: arguments, environment, the path as given, ids.
//!
//! At that moment the stack is as the kernel laid it out and nobody has run: a count, two arrays of pointers, the
//! auxiliary vector, then the strings one after another. One read gets all of it in the ordinary case. What does not
//! look like that (another processor's layout, a stack that could not be read) is for `/proc`.

use std::sync::Arc;

use capsule_core::{Argv, Ids};

use super::arch::Word;

/// What a first read asks for: most stacks are smaller.
const FIRST_READ: usize = 16 << 10;
/// The kernel's own limit is 6 MiB of strings and their pointers, however high the stack's limit.
const MOST: usize = 16 << 20;

/// What the stack of a new program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) argv: Argv,
    pub(super) env: Arc<[u8]>,
    pub(super) filename: Option<Vec<u8>>,
    /// As the program's own user namespace counts them.
    pub(super) ids: Option<Ids>,
}

const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_EXECFN: u64 = 31;

/// Buffers and the environments seen last, kept between reads.
#[derive(Debug, Default)]
pub(super) struct StackReader {
    buffer: Vec<u8>,
    environments: [Option<Arc<[u8]>>; 4],
    next: usize,
}

/// Why a stack could not be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// More of it must be read: at least so many bytes.
    Need(usize),
    /// It is not what a kernel lays out.
    Odd,
}

impl StackReader {
    /// Reads the stack that begins at `sp` through `read` (address, buffer → length).
    pub(super) fn image(
        &mut self,
        sp: u64,
        word: Word,
        mut read: impl FnMut(u64, &mut [u8]) -> usize,
    ) -> Option<Image> {
        let mut wanted = FIRST_READ;
        let mut have = 0;
        loop {
            self.buffer.resize(wanted.max(self.buffer.len()), 0);
            let at = sp.checked_add(u64::try_from(have).ok()?)?;
            let target = self.buffer.get_mut(have..wanted)?;
            let got = read(at, target);
            let ended = got < target.len();
            have += got;
            match layout(self.buffer.get(..have)?, sp, word) {
                Ok(found) => return self.take(have, &found),
                Err(Trouble::Need(need)) if !ended && need <= MOST => {
                    wanted = need.max(have.saturating_mul(2)).min(MOST.max(need));
                }
                Err(_) => return None,
            }
        }
    }

    fn take(&mut self, have: usize, found: &Layout) -> Option<Image> {
        let stack = self.buffer.get(..have)?;
        let argv = Argv::from_block(stack.get(found.argv.clone())?);
        let env = stack.get(found.env.clone())?;
        let known = self.environments.iter().flatten().find(|known| ***known == *env);
        let env = match known {
            Some(known) => Arc::clone(known),
            None => {
                let env: Arc<[u8]> = Arc::from(env);
                if let Some(slot) = self.environments.get_mut(self.next) {
                    *slot = Some(Arc::clone(&env));
                }
                self.next = (self.next + 1) % self.environments.len();
                env
            }
        };
        let filename = found.filename.clone().and_then(|range| stack.get(range)).map(<[u8]>::to_vec);
        Some(Image { argv, env, filename, ids: found.ids })
    }
}

/// Where things are on a stack.
struct Layout {
    argv: std::ops::Range<usize>,
    env: std::ops::Range<usize>,
    filename: Option<std::ops::Range<usize>>,
    ids: Option<Ids>,
}

struct Words<'a> {
    stack: &'a [u8],
    word: Word,
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Result<u64, Trouble> {
        let end = self.at + self.word.size();
        let bytes = self.stack.get(self.at..end).ok_or(Trouble::Need(end + FIRST_READ))?;
        self.at = end;
        match self.word {
            Word::Eight => bytes.try_into().map(u64::from_ne_bytes).map_err(|_length| Trouble::Odd),
            Word::Four => bytes.try_into().map(u32::from_ne_bytes).map(u64::from).map_err(|_length| Trouble::Odd),
        }
    }
}

/// Finds everything on a `stack` that begins at the address `sp`.
fn layout(stack: &[u8], sp: u64, word: Word) -> Result<Layout, Trouble> {
    let mut words = Words { stack, word, at: 0 };
    let count = words.next()?;
    if count > u64::try_from(MOST).unwrap_or(u64::MAX) {
        return Err(Trouble::Odd);
    }
    let mut first_arg = None;
    for _ in 0..count {
        let pointer = words.next()?;
        first_arg.get_or_insert(pointer);
    }
    if words.next()? != 0 {
        return Err(Trouble::Odd);
    }
    let mut first_env = None;
    let mut variables = 0_usize;
    loop {
        match words.next()? {
            0 => break,
            pointer => {
                first_env.get_or_insert(pointer);
                variables += 1;
            }
        }
    }
    let mut execfn = None;
    let (mut uid, mut euid, mut gid, mut egid) = (None, None, None, None);
    loop {
        let (kind, value) = (words.next()?, words.next()?);
        let small = u32::try_from(value).ok();
        match kind {
            0 => break,
            AT_UID => uid = small,
            AT_EUID => euid = small,
            AT_GID => gid = small,
            AT_EGID => egid = small,
            AT_EXECFN => execfn = Some(value),
            _ => {}
        }
    }
    let ids = match (uid, euid, gid, egid) {
        (Some(uid), Some(euid), Some(gid), Some(egid)) => Some(Ids { uid, euid, gid, egid }),
        _ => None,
    };
    let offset = |address: u64| -> Result<usize, Trouble> {
        let offset = address.checked_sub(sp).and_then(|offset| usize::try_from(offset).ok()).ok_or(Trouble::Odd)?;
        if offset >= stack.len() { Err(Trouble::Need(offset + FIRST_READ)) } else { Ok(offset) }
    };
    let end = offset(execfn.ok_or(Trouble::Odd)?)?;
    let tail = stack.get(end..).unwrap_or_default();
    let length = memchr::memchr(0, tail).ok_or(Trouble::Need(stack.len() + FIRST_READ))?;
    let env_start = first_env.map_or(Ok(end), offset)?;
    let arg_start = first_arg.map_or(Ok(env_start), offset)?;
    let strings = |range: std::ops::Range<usize>, count: usize| -> Result<std::ops::Range<usize>, Trouble> {
        let block = stack.get(range.clone()).ok_or(Trouble::Odd)?;
        let whole = block.last().is_none_or(|last| *last == 0);
        if whole && memchr::memchr_iter(0, block).count() == count { Ok(range) } else { Err(Trouble::Odd) }
    };
    Ok(Layout {
        argv: strings(arg_start..env_start, usize::try_from(count).map_err(|_large| Trouble::Odd)?)?,
        env: strings(env_start..end, variables)?,
        filename: Some(end..end + length),
        ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack as the kernel builds it, beginning at `sp`.
    fn stack(sp: u64, args: &[&[u8]], env: &[&[u8]], filename: &[u8]) -> Vec<u8> {
        let words = 1 + args.len() + 1 + env.len() + 1 + 6 * 2;
        let mut address = sp + 8 * words as u64;
        let mut strings = Vec::new();
        let mut place = |text: &[u8]| {
            let at = address;
            strings.extend_from_slice(text);
            strings.push(0);
            address += text.len() as u64 + 1;
            at
        };
        let mut all = vec![args.len() as u64];
        all.extend(args.iter().map(|arg| place(arg)));
        all.push(0);
        all.extend(env.iter().map(|entry| place(entry)));
        all.push(0);
        let execfn = place(filename);
        all.extend([AT_UID, 1, AT_EUID, 2, AT_GID, 3, AT_EGID, 4, AT_EXECFN, execfn, 0, 0]);
        let mut bytes: Vec<u8> = all.into_iter().flat_map(u64::to_ne_bytes).collect();
        bytes.extend_from_slice(&strings);
        bytes.extend_from_slice(&[0; 8]);
        bytes
    }

    fn read_back(args: &[&[u8]], env: &[&[u8]]) -> Option<Image> {
        let sp = 0x7fff_0000;
        let bytes = stack(sp, args, env, b"/bin/x");
        StackReader::default().image(sp, Word::Eight, |at, buffer| {
            let from = (at - sp) as usize;
            let length = buffer.len().min(bytes.len() - from);
            buffer[..length].copy_from_slice(&bytes[from..from + length]);
            length
        })
    }

    #[test]
    fn arguments_and_environment_come_back_as_they_were() {
        let image = read_back(&[b"x", b"", b"a\nb", b"\xff\xfe"], &[b"A=1", b"B="]).unwrap();
        assert_eq!(image.argv.as_block(), b"x\0\0a\nb\0\xff\xfe\0");
        assert_eq!(&*image.env, b"A=1\0B=\0");
        assert_eq!(image.filename.as_deref(), Some(&b"/bin/x"[..]));
        assert_eq!(image.ids, Some(Ids { uid: 1, euid: 2, gid: 3, egid: 4 }));
    }

    #[test]
    fn empty_vectors_are_empty() {
        let image = read_back(&[], &[]).unwrap();
        assert!(image.argv.is_empty() && image.env.is_empty());
        assert_eq!(read_back(&[b""], &[]).unwrap().argv.len(), 1);
    }

    #[test]
    fn two_megabytes_of_arguments_are_whole() {
        let large = vec![b'x'; 131_071];
        let args: Vec<&[u8]> =
            std::iter::repeat_n(&large[..], 15).chain(std::iter::repeat_n(&b"y"[..], 20_000)).collect();
        let image = read_back(&args, &[b"A=1"]).unwrap();
        assert_eq!(image.argv.len(), 20_015);
        assert_eq!(image.argv.get(14), Some(&large[..]));
    }

    #[test]
    fn a_torn_or_odd_stack_is_refused_and_not_guessed() {
        let sp = 0x7fff_0000;
        let whole = stack(sp, &[b"x", b"yy"], &[b"A=1"], b"/bin/x");
        for length in 0..whole.len() - 9 {
            let cut = &whole[..length];
            let image = StackReader::default().image(sp, Word::Eight, |at, buffer| {
                let rest = cut.get((at - sp) as usize..).unwrap_or_default();
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                length
            });
            assert_eq!(image, None, "cut at {length}");
        }
    }
}
