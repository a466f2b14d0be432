//! The records as the kernel programs write them: the layout of the structures in `bpf/capsule.bpf.c`.
//!
//! The ring is the kernel's and its bytes are ours, but they are read as if they were hostile: a record that is too
//! short, or whose parts claim to be longer than it is, is no record.

/// What every record begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub(super) time: u64,
    /// How many records the cpu had lost before this one.
    pub(super) lost: u64,
    pub(super) pid: u32,
    /// The thread in the initial pid namespace: joins a record and its continuations.
    pub(super) tid: u32,
    pub(super) cpu: u16,
    pub(super) flags: Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u32);

impl Flags {
    pub(super) const UNREADABLE: u32 = 1;
    pub(super) const EXE_DELETED: u32 = 2;
    pub(super) const CWD_DELETED: u32 = 4;
    pub(super) const EXE_CUT: u32 = 8;
    pub(super) const CWD_CUT: u32 = 16;
    /// Of a walk: the file was removed.
    pub(super) const WALK_DELETED: u32 = 1;
    /// Of a walk: the root was not reached.
    pub(super) const WALK_CUT: u32 = 2;
    /// Of a walk: the file is in no directory.
    pub(super) const WALK_PSEUDO: u32 = 8;
    /// Of a descriptor: the same open file as the one before.
    pub(super) const FD_SAME: u32 = 256;

    pub(super) const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Fork { parent: u32, how: u32 },
    Exec(Box<Exec<'a>>),
    More { data: &'a [u8], last: bool },
    Exit { status: u32, usage: Usage },
    ExecFailed { errno: i32, filename: &'a [u8], data: &'a [u8], whole: bool },
    Call(Box<CallRecord<'a>>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exec<'a> {
    pub(super) uid: u32,
    pub(super) euid: u32,
    pub(super) gid: u32,
    pub(super) egid: u32,
    pub(super) sid: u32,
    pub(super) pgid: u32,
    pub(super) ns_pid: u32,
    pub(super) old_tid: u32,
    pub(super) cgroup: u64,
    pub(super) start_time: u64,
    pub(super) tty_major: u32,
    pub(super) tty_minor: u32,
    pub(super) arg_len: u64,
    pub(super) env_len: u64,
    pub(super) tty_name: &'a [u8],
    pub(super) filename: &'a [u8],
    /// Names from the innermost directory outwards, each ended by a NUL.
    pub(super) exe: &'a [u8],
    pub(super) cwd: &'a [u8],
    /// Open descriptors, for [`descriptors`].
    pub(super) fds: &'a [u8],
    /// The beginning of the arguments and the environment, which follow one another in memory.
    pub(super) data: &'a [u8],
}

/// A system call that returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CallRecord<'a> {
    pub(super) result: i64,
    /// Six arguments, and an open's flags.
    pub(super) args: [u64; 8],
    pub(super) number: u32,
    pub(super) file_mode: u32,
    pub(super) walk1: Flags,
    pub(super) walk2: Flags,
    pub(super) socket_type: u16,
    pub(super) path1: &'a [u8],
    /// The names of the directory that the path starts at, or of the open file.
    pub(super) base1: &'a [u8],
    pub(super) path2: &'a [u8],
    pub(super) base2: &'a [u8],
    /// A `struct sockaddr`.
    pub(super) address: &'a [u8],
    /// The names of the directory that a unix socket's path starts at.
    pub(super) address_base: &'a [u8],
}

/// An open descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor<'a> {
    pub(super) fd: u32,
    pub(super) flags: Flags,
    pub(super) inode: u64,
    pub(super) mode: u32,
    pub(super) names: &'a [u8],
}

/// The descriptors of an exec, by number.
pub(super) fn descriptors(bytes: &[u8]) -> impl Iterator<Item = Descriptor<'_>> {
    let mut r = Reader(bytes);
    std::iter::from_fn(move || {
        let (fd, flags, inode, mode, len) = (r.u32()?, Flags(r.u32()?), r.u64()?, r.u32()?, r.u32()?);
        Some(Descriptor { fd, flags, inode, mode, names: r.part(len)? })
    })
}

/// Times in nanoseconds, sizes in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) utime: u64,
    pub(super) stime: u64,
    pub(super) runtime: u64,
    pub(super) cutime: u64,
    pub(super) cstime: u64,
    pub(super) maxrss: u64,
    pub(super) major_faults: u64,
    pub(super) blocks_in: u64,
    pub(super) blocks_out: u64,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn part(&mut self, count: u32) -> Option<&'a [u8]> {
        self.bytes(usize::try_from(count).ok()?)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_ne_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_ne_bytes(self.bytes(8)?.try_into().ok()?))
    }
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Reads one record; `None` where it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<(Head, Record<'_>)> {
    let mut r = Reader(bytes);
    let (time, lost, pid, tid) = (r.u64()?, r.u64()?, r.u32()?, r.u32()?);
    let (kind, cpu, flags) = (r.u16()?, r.u16()?, Flags(r.u32()?));
    let head = Head { time, lost, pid, tid, cpu, flags };
    let record = match kind {
        1 => Record::Fork { parent: r.u32()?, how: r.u32()? },
        2 => Record::Exec(Box::new(exec(&mut r)?)),
        3 => {
            let (len, last) = (r.u32()?, r.u32()? != 0);
            Record::More { data: r.part(len)?, last }
        }
        4 => {
            let (status, _pad) = (r.u32()?, r.u32()?);
            let usage = Usage {
                utime: r.u64()?,
                stime: r.u64()?,
                runtime: r.u64()?,
                cutime: r.u64()?,
                cstime: r.u64()?,
                maxrss: r.u64()?,
                major_faults: r.u64()?,
                blocks_in: r.u64()?,
                blocks_out: r.u64()?,
            };
            Record::Exit { status, usage }
        }
        5 => {
            let errno = i32::try_from(r.u32()?).ok()?;
            let (filename_len, data_len, last) = (r.u32()?, r.u32()?, r.u32()? != 0);
            Record::ExecFailed { errno, filename: text(r.part(filename_len)?), data: r.part(data_len)?, whole: last }
        }
        6 => Record::Call(Box::new(called(&mut r)?)),
        _ => return None,
    };
    Some((head, record))
}

fn called<'a>(r: &mut Reader<'a>) -> Option<CallRecord<'a>> {
    let result = i64::from_ne_bytes(r.bytes(8)?.try_into().ok()?);
    let mut args = [0; 8];
    for arg in &mut args {
        *arg = r.u64()?;
    }
    let (number, file_mode, walk1, walk2) = (r.u32()?, r.u32()?, Flags(r.u32()?), Flags(r.u32()?));
    let (path1, base1, path2, base2, address) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?);
    let (socket_type, _family, address_base, _pad) = (r.u16()?, r.u16()?, r.u32()?, r.u32()?);
    Some(CallRecord {
        result,
        args,
        number,
        file_mode,
        walk1,
        walk2,
        socket_type,
        path1: text(r.part(path1)?),
        base1: r.part(base1)?,
        path2: text(r.part(path2)?),
        base2: r.part(base2)?,
        address: r.part(address)?,
        address_base: r.part(address_base)?,
    })
}

fn exec<'a>(r: &mut Reader<'a>) -> Option<Exec<'a>> {
    let (uid, euid, gid, egid) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
    let (sid, pgid, ns_pid, old_tid) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
    let (cgroup, start_time) = (r.u64()?, r.u64()?);
    let (tty_major, tty_minor) = (r.u32()?, r.u32()?);
    let (arg_len, env_len) = (r.u64()?, r.u64()?);
    let (filename_len, exe_len, cwd_len) = (r.u32()?, r.u32()?, r.u32()?);
    let (fds_len, data_len, _pad) = (r.u32()?, r.u32()?, r.u32()?);
    let tty_name = text(r.bytes(16)?);
    Some(Exec {
        uid,
        euid,
        gid,
        egid,
        sid,
        pgid,
        ns_pid,
        old_tid,
        cgroup,
        start_time,
        tty_major,
        tty_minor,
        arg_len,
        env_len,
        tty_name,
        filename: text(r.part(filename_len)?),
        exe: r.part(exe_len)?,
        cwd: r.part(cwd_len)?,
        fds: r.part(fds_len)?,
        data: r.part(data_len)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, kind in 0_u8..8) {
            if let Some(low) = bytes.get_mut(24) {
                *low = kind;
            }
            prop_assert!(parse(&bytes).is_none_or(|(head, _)| usize::from(head.cpu) <= usize::from(u16::MAX)));
        }
    }

    #[test]
    fn lengths_beyond_the_record_are_refused() {
        let mut bytes = vec![0_u8; 32];
        bytes[24] = 3;
        bytes.extend_from_slice(&100_u32.to_ne_bytes());
        bytes.extend_from_slice(&1_u32.to_ne_bytes());
        bytes.extend_from_slice(b"short");
        assert_eq!(parse(&bytes), None);
    }
}
