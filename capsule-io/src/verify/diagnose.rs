//! The second look at a stream that does not fit: what was done to it?
//!
//! The clues are the chain values themselves. A record's value is computed from its own bytes and from the value before
//! it, so a record that follows a strange line and still fits shows whether the strange line came on top, took
//! something's place, or lost its neighbour.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;

use capsule_core::{SessionId, StreamName};

use super::Damage;
use super::scan::{LINE_LIMIT, Scan};
use crate::chain::{Chain, Hash, STREAM_DOMAIN, leading_seq, split_line};
use crate::dir::Dir;
use crate::layout::stream_file;
use crate::reader::SessionReader;
use crate::store::Store;

/// Other sessions whose streams are searched for the origin of a foreign record, the newest first.
const SESSIONS: usize = 64;
/// Lines behind the damage that are looked at. Capsule's lines are longer; a file of newlines must not fill the memory.
const LINES: usize = 1 << 22;
/// Lines that are longer are not tried on other chains.
const TRIED: usize = 1 << 20;
/// How many bytes of each stream are searched.
const SEARCHED: u64 = 256 << 20;

/// Where a foreign record may come from.
pub(super) struct Elsewhere<'a> {
    pub(super) session: &'a SessionReader,
    pub(super) store: Option<&'a Store>,
    pub(super) stream: StreamName,
}

/// A line, as far as the chain is concerned.
#[derive(Clone, Copy)]
struct Line {
    offset: u64,
    length: usize,
    seq: Option<u64>,
    chain: Option<Hash>,
}

struct Look<'a> {
    file: &'a File,
    chain: &'a Chain,
    /// Lines from the first one that does not fit.
    rest: Vec<Line>,
    /// Chain values of the lines that fit.
    before: HashSet<Hash>,
}

/// What was done to the line behind the ones that fit, and what more is known.
pub(super) fn diagnose(
    file: &File,
    chain: &Chain,
    scan: &Scan,
    elsewhere: &Elsewhere<'_>,
) -> io::Result<(Damage, Option<String>)> {
    let mut rest = Vec::new();
    let mut before = HashSet::new();
    let zeros = index(file, scan.bytes, &mut rest, &mut before)?;
    if zeros {
        return Ok((Damage::Torn, Some("only zeros follow, as after a power cut".to_owned())));
    }
    let look = Look { file, chain, rest, before };
    look.judge(scan, elsewhere)
}

/// Reads the lines: those up to `fitting` bytes into `before`, the others into `rest`. Says whether the rest is zeros.
fn index(file: &File, fitting: u64, rest: &mut Vec<Line>, before: &mut HashSet<Hash>) -> io::Result<bool> {
    let mut copy = file.try_clone()?;
    io::Seek::rewind(&mut copy)?;
    let mut input = BufReader::with_capacity(1 << 20, copy);
    let (mut offset, mut line, mut zeros) = (0, Vec::new(), true);
    loop {
        line.clear();
        let count = input.by_ref().take(LINE_LIMIT as u64).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(zeros);
        }
        let whole = line.strip_suffix(b"\n").unwrap_or(&line);
        let parts = split_line(whole);
        if offset < fitting {
            before.extend(parts.map(|(_, chain)| chain));
        } else {
            zeros &= line.iter().all(|byte| *byte == 0);
            if rest.len() == LINES {
                return Ok(false);
            }
            let seq = leading_seq(parts.map_or(whole, |(record, _)| record));
            rest.push(Line { offset, length: whole.len(), seq, chain: parts.map(|(_, chain)| chain) });
        }
        offset += count as u64;
    }
}

impl Look<'_> {
    /// The link that a line would have as record `seq` behind `prev`.
    fn link(&self, line: &Line, seq: u64, prev: Hash) -> io::Result<Option<Hash>> {
        let mut bytes = vec![0; line.length];
        self.file.read_exact_at(&mut bytes, line.offset)?;
        Ok(split_line(&bytes).map(|(record, _)| self.chain.link(seq, prev, record)))
    }

    /// Whether a line is the record `seq` behind `prev`.
    fn fits(&self, line: &Line, seq: u64, prev: Hash) -> io::Result<bool> {
        if line.seq != Some(seq) || line.chain.is_none() {
            return Ok(false);
        }
        Ok(self.link(line, seq, prev)? == line.chain)
    }

    /// Whether another line that does not stand in its place was computed from this one's chain value.
    fn is_built_on(&self, line: &Line) -> io::Result<bool> {
        let (Some(after), Some(chain)) = (line.seq.and_then(|seq| seq.checked_add(1)), line.chain) else {
            return Ok(false);
        };
        for other in self.rest.iter().filter(|other| other.seq == Some(after)) {
            if self.fits(other, after, chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether this line was computed from the chain value of another one that does not stand in its place.
    fn builds_on_another(&self, line: &Line) -> io::Result<bool> {
        let Some(seq) = line.seq else { return Ok(false) };
        for other in self.rest.iter().filter(|other| other.seq.is_some() && other.seq == seq.checked_sub(1)) {
            if other.chain.map_or(Ok(false), |chain| self.fits(line, seq, chain))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the line belongs to another chain: as its first record, or because the next line builds on it there.
    fn belongs_to(&self, chain: &Chain) -> io::Result<bool> {
        let other = Look { file: self.file, chain, rest: Vec::new(), before: HashSet::new() };
        let short = |line: &&Line| line.length <= TRIED;
        let (strange, next) = (self.rest.first().filter(short), self.rest.get(1).filter(short));
        let Some(Line { seq: Some(seq), chain: Some(value), .. }) = strange else { return Ok(false) };
        if strange.map_or(Ok(false), |line| other.fits(line, 1, chain.start()))? {
            return Ok(true);
        }
        next.map_or(Ok(false), |next| other.fits(next, seq.saturating_add(1), *value))
    }

    fn judge(&self, scan: &Scan, elsewhere: &Elsewhere<'_>) -> io::Result<(Damage, Option<String>)> {
        let (expected, prev) = (scan.records + 1, scan.head);
        let Some(strange) = self.rest.first() else { return Ok((Damage::Altered, None)) };
        let spliced = || -> io::Result<Option<(Damage, Option<String>)>> {
            Ok(match strange.chain {
                Some(chain) => elsewhere.find(self, chain)?.map(|from| (Damage::Spliced { from }, None)),
                None => None,
            })
        };
        let copied = strange.chain.is_some_and(|chain| self.before.contains(&chain));

        // Is the record that should be here further down?
        for (at, line) in self.rest.iter().enumerate().skip(1) {
            if !self.fits(line, expected, prev)? {
                continue;
            }
            if copied {
                return Ok((Damage::Duplicated, copy_of(strange)));
            }
            let again = self.rest.iter().skip(1).any(|line| line.chain.is_some() && line.chain == strange.chain);
            if again {
                return Ok((Damage::Duplicated, copy_of(strange)));
            }
            let ours = strange.seq.is_some_and(|seq| seq > expected)
                && (self.is_built_on(strange)? || self.builds_on_another(strange)?);
            return Ok(if ours {
                let detail = format!("it stands {at} lines further down");
                (Damage::Reordered, Some(detail))
            } else {
                spliced()?.unwrap_or((Damage::Inserted, None))
            });
        }

        // It is not there. Is the line that stands here its own, with other bytes?
        let next = self.rest.get(1);
        let next_is_its_own = match (next, expected.checked_add(1)) {
            (Some(next), Some(after)) if next.seq == Some(after) => {
                let carried = strange.chain.map_or(Ok(false), |chain| self.fits(next, after, chain))?;
                let computed = self.link(strange, expected, prev)?;
                carried || computed.map_or(Ok(false), |chain| self.fits(next, after, chain))?
            }
            _ => false,
        };
        if next_is_its_own && !copied {
            return Ok((Damage::Altered, None));
        }
        if copied {
            return Ok((Damage::Duplicated, copy_of(strange)));
        }
        if let Some(spliced) = spliced()? {
            return Ok(spliced);
        }
        if let Some(seq) = strange.seq
            && seq > expected
            && (self.is_built_on(strange)? || self.rest.len() == 1)
        {
            let lost = seq - expected;
            return Ok((Damage::Removed, (lost > 1).then(|| format!("{lost} records are missing here"))));
        }
        Ok((Damage::Altered, None))
    }
}

fn copy_of(line: &Line) -> Option<String> {
    line.seq.map(|seq| format!("a copy of record {seq}"))
}

impl Elsewhere<'_> {
    /// Where the first strange line comes from, with this chain value, if that can be found out.
    fn find(&self, look: &Look<'_>, hash: Hash) -> io::Result<Option<String>> {
        let ids = self.store.and_then(|store| store.ids().ok()).unwrap_or_default();
        let own = std::iter::once(self.session.id());
        let others = ids.iter().rev().filter(|id| *id != self.session.id());
        for id in own.chain(others.clone()) {
            for stream in StreamName::ALL {
                let chain = Chain::new(STREAM_DOMAIN, id.as_str(), stream.name());
                if (id != self.session.id() || stream != self.stream) && look.belongs_to(&chain)? {
                    return Ok(Some(self.name(id, stream)));
                }
            }
        }
        for stream in StreamName::ALL.into_iter().filter(|stream| *stream != self.stream) {
            if holds(self.session.dir(), stream, hash) {
                return Ok(Some(self.name(self.session.id(), stream)));
            }
        }
        for id in others.take(SESSIONS) {
            let Some(Ok(other)) = self.store.map(|store| store.session(id)) else { continue };
            if let Some(stream) = StreamName::ALL.into_iter().find(|stream| holds(other.dir(), *stream, hash)) {
                return Ok(Some(self.name(id, stream)));
            }
        }
        Ok(None)
    }

    fn name(&self, id: &SessionId, stream: StreamName) -> String {
        let file = stream_file(stream);
        if id == self.session.id() { format!("`{file}` of this session") } else { format!("`{file}` of session {id}") }
    }
}

/// Whether a stream has a record with this chain value.
fn holds(dir: &Dir, stream: StreamName, hash: Hash) -> bool {
    let Ok(file) = dir.open_file(stream_file(stream)) else { return false };
    let wanted = hash.to_hex();
    let finder = memchr::memmem::Finder::new(wanted.as_bytes());
    let mut input = file.take(SEARCHED);
    let overlap = wanted.len() - 1;
    let mut buffer = Vec::with_capacity((1 << 20) + overlap);
    loop {
        let kept = buffer.len();
        match input.by_ref().take(1 << 20).read_to_end(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        if finder.find(&buffer).is_some() {
            return true;
        }
        debug_assert!(kept <= overlap, "only the overlap is kept");
        buffer.drain(..buffer.len().saturating_sub(overlap));
    }
}
