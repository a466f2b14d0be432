//! What a traced call of interest did: its arguments and its result, read while the program stands still.
//!
//! A call stops twice: before the kernel does it, and when it has. Nearly everything is read the second time, when it is
//! known whether there is anything to tell; only whether a file existed must be asked before.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule_core::{Argv, ByteString, Effect, EffectKind, Endpoint, FileState, Pid, Timestamp};

use super::before;
use super::calls::{Call, Flags, Place, Shape};
use super::sys as ptrace_sys;
use crate::keep::Keeper;
use crate::recorder;
use crate::sink::CaptureBody;

mod sys;

/// The longest path that the kernel takes.
const PATH_MAX: usize = 4096;
/// The longest argument vector that is read of an exec that failed.
const ARGV_MAX: usize = 4096;
/// How many bytes of it.
const ARGV_BYTES: usize = 256 << 10;
/// `ERESTARTSYS` to `ERESTART_RESTARTBLOCK`: the call was interrupted and begins again.
const RESTARTS: std::ops::RangeInclusive<i64> = 512..=516;

/// The flags of `unshare(2)` that are about namespaces.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | 0x80)
    .cast_unsigned();

/// A call that has begun.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    call: Call,
    args: [u64; 6],
    at: Timestamp,
    /// Whether the file that an open would create was there already.
    existed: Option<bool>,
    /// What the call may destroy, where that is kept.
    before: Option<Box<FileState>>,
}

impl Begun {
    /// Whether it is told when it begins, and only where the process is Capsule's.
    pub(super) const fn is_about_a_process(&self) -> bool {
        matches!(self.call.shape, Shape::Signal(..) | Shape::Handle(_))
    }
}

/// Reads calls of interest.
#[derive(Debug)]
pub(super) struct Effects {
    calls: HashMap<u64, Call>,
    /// Capsule's own processes.
    recorders: Vec<Pid>,
    /// Keeps what calls are about to destroy.
    keeper: Option<Arc<Keeper>>,
    /// How many rings of io_uring were made: what is done through them does not stop.
    pub(super) rings: u64,
}

impl Effects {
    pub(super) fn new(calls: &[Call], recorders: &[Pid]) -> Self {
        let calls = calls.iter().filter_map(|call| Some((u64::try_from(call.number).ok()?, *call))).collect();
        Self { calls, recorders: recorders.to_vec(), keeper: None, rings: 0 }
    }

    /// Keeps what calls are about to destroy.
    pub(super) fn keeping(mut self, keeper: Option<Arc<Keeper>>) -> Self {
        self.keeper = keeper;
        self
    }

    /// What the call that `tid` is stopped before is, where it is of interest.
    pub(super) fn begin(&self, tid: u32, at: Timestamp) -> Option<Begun> {
        let (number, args) = ptrace_sys::call_begun(tid).ok()?;
        let call = *self.calls.get(&number)?;
        let mut begun = Begun { call, args, at, existed: None, before: None };
        // Most messages go where their socket is connected to: no need to hear what became of them.
        if let Shape::Message(_, message) = call.shape {
            message_name(tid, *args.get(message)?)?;
        }
        if let Shape::Open(place, flags) = call.shape
            && open_flags(tid, flags, &args) & libc::O_CREAT.cast_unsigned() != 0
        {
            begun.existed = reachable(tid, place, &args).map(|path| path.exists());
        }
        begun.before = self.keeper.as_ref().and_then(|keeper| before::look(keeper, tid, &call, &args));
        Some(begun)
    }

    /// What a call is that lays hands on Capsule itself. It is told before it is done: nothing may be able to tell of it later.
    pub(super) fn attack(&self, pid: u32, begun: &Begun) -> Option<CaptureBody> {
        let arg = |index: usize| begun.args.get(index).copied().unwrap_or(0);
        let int = |index: usize| ((arg(index) & 0xffff_ffff) as u32).cast_signed();
        let detail = match begun.call.shape {
            Shape::Signal(process, signal) if recorder::is_sent(arg(process), arg(signal), &self.recorders) => {
                format!("{} {}", int(process), int(signal))
            }
            Shape::Handle(process) if recorder::is_named(arg(process), &self.recorders) => int(process).to_string(),
            _ => return None,
        };
        let effect = Effect {
            kind: EffectKind::Ptrace,
            call: begun.call.name.to_owned(),
            path: None,
            to: None,
            endpoint: None,
            detail: Some(detail),
            errno: None,
            before: None,
        };
        Some(CaptureBody::Effect { pid: Pid(pid), effect: Box::new(effect) })
    }

    /// What the call came to, where it is worth telling: when, and what.
    pub(super) fn end(&mut self, tid: u32, pid: u32, begun: &mut Begun) -> Option<(Timestamp, CaptureBody)> {
        let before = begun.before.take();
        let mut told = self.result(tid, pid, begun);
        match (&mut told, before, &self.keeper) {
            (Some((_, CaptureBody::Effect { effect, .. })), before, _) if effect.errno.is_none() => {
                effect.before = before;
            }
            (_, Some(before), Some(keeper)) => keeper.forget(&before),
            _ => {}
        }
        told
    }

    fn result(&mut self, tid: u32, pid: u32, begun: &Begun) -> Option<(Timestamp, CaptureBody)> {
        let result = ptrace_sys::call_result(tid).ok()?;
        let Begun { call, args, at, .. } = begun;
        if RESTARTS.contains(&result.saturating_neg()) || result == -i64::from(libc::EFAULT) {
            return None;
        }
        let errno = (result < 0).then(|| i32::try_from(result.saturating_neg()).unwrap_or(i32::MAX));
        if let Shape::Exec(place, argv) = call.shape {
            return errno.map(|errno| {
                let filename = named(tid, place, args);
                let argv = read_argv(tid, args.get(argv).copied().unwrap_or(0));
                (*at, CaptureBody::ExecFailed { pid: Pid(pid), filename, argv, errno })
            });
        }
        if matches!(call.shape, Shape::Uring) {
            self.rings += u64::from(errno.is_none());
            return None;
        }
        let mut effect = Effect {
            kind: EffectKind::FileWrite,
            call: call.name.to_owned(),
            path: None,
            to: None,
            endpoint: None,
            detail: None,
            errno,
            before: None,
        };
        describe(tid, pid, begun, u32::try_from(result).ok(), &mut effect)?;
        Some((*at, CaptureBody::Effect { pid: Pid(pid), effect: Box::new(effect) }))
    }
}

/// Fills in what the call did; nothing where it is not worth telling.
fn describe(tid: u32, pid: u32, begun: &Begun, result: Option<u32>, effect: &mut Effect) -> Option<()> {
    let Begun { call, args, .. } = begun;
    let arg = |index: usize| args.get(index).copied().unwrap_or(0);
    // Small arguments are ints: the upper half of the register is nobody's.
    let int = |index: usize| u32::try_from(arg(index) & 0xffff_ffff).unwrap_or(0);
    match call.shape {
        Shape::Open(place, flags) => {
            let flags = open_flags(tid, flags, args);
            let path = result.and_then(|fd| link(tid, &format!("fd/{fd}"))).or_else(|| path_of(tid, place, args))?;
            opened(effect, flags, begun.existed, path)?;
        }
        Shape::OpenHandle(flags) => opened(effect, int(flags), Some(true), link(tid, &format!("fd/{}", result?))?)?,
        Shape::Truncate(place) => effect.path = Some(file_of(tid, place, args)?),
        Shape::Create(place, mode) => {
            effect.kind = EffectKind::FileCreate;
            effect.path = Some(path_of(tid, place, args)?.into());
            effect.detail = Some(octal(int(mode)));
        }
        Shape::Link(new, existing) => {
            effect.kind = EffectKind::FileCreate;
            effect.path = Some(path_of(tid, new, args)?.into());
            effect.to = path_of(tid, existing, args).map(ByteString::from);
        }
        Shape::Symlink(new, text) => {
            effect.kind = EffectKind::FileCreate;
            effect.path = Some(path_of(tid, new, args)?.into());
            effect.to = read_string(tid, arg(text)).map(ByteString::from);
        }
        Shape::Delete(place) => {
            effect.kind = EffectKind::FileDelete;
            effect.path = Some(path_of(tid, place, args)?.into());
        }
        Shape::Rename(from, to, flags) => {
            effect.kind = EffectKind::FileRename;
            effect.path = Some(path_of(tid, from, args)?.into());
            effect.to = path_of(tid, to, args).map(ByteString::from);
            effect.detail = flags.map(int).filter(|flags| *flags != 0).map(|flags| format!("{flags:#x}"));
        }
        Shape::Mode(place, mode) => {
            effect.kind = EffectKind::FileMode;
            effect.path = Some(file_of(tid, place, args)?);
            effect.detail = Some(octal(int(mode)));
        }
        Shape::Owner(place, owner) => {
            effect.kind = EffectKind::FileMode;
            effect.path = Some(file_of(tid, place, args)?);
            effect.detail = Some(format!("{}:{}", int(owner).cast_signed(), int(owner + 1).cast_signed()));
        }
        Shape::Attribute(place) => {
            effect.kind = EffectKind::FileMode;
            // utimensat(2) without a path means the descriptor itself.
            let path = place.path.filter(|index| arg(*index) != 0);
            effect.path = Some(file_of(tid, Place { path, ..place }, args)?);
        }
        Shape::Connect(socket, address, length) => {
            effect.kind = EffectKind::NetConnect;
            let address = read_address(tid, arg(address), arg(length))?;
            effect.endpoint = Some(endpoint(&address, socket_type(pid, int(socket)))?);
            if effect.errno == Some(libc::EINPROGRESS) {
                effect.errno = None;
                effect.detail = Some("in progress".to_owned());
            }
        }
        Shape::Message(socket, message) => {
            effect.kind = EffectKind::NetConnect;
            let (address, length) = message_name(tid, arg(message))?;
            let address = read_address(tid, address, length)?;
            effect.endpoint = Some(endpoint(&address, socket_type(pid, int(socket)))?);
        }
        Shape::Bind(socket, address, length) => {
            let address = read_address(tid, arg(address), arg(length))?;
            let kind = socket_type(pid, int(socket));
            let end = endpoint(&address, kind)?;
            match (end.port, kind) {
                // A socket with a path is a file; an abstract one is only a name.
                (None, _) if !end.host.as_bytes().starts_with(b"@") => {
                    effect.kind = EffectKind::FileCreate;
                    effect.path = Some(match end.host.as_bytes().starts_with(b"/") {
                        true => end.host.clone(),
                        false => [&link(tid, "cwd")?, &b"/"[..], end.host.as_bytes()].concat().into(),
                    });
                }
                // Whoever binds a datagram socket to a port receives there without listening.
                (Some(1..), Some(libc::SOCK_DGRAM)) => effect.kind = EffectKind::NetListen,
                _ => return None,
            }
            effect.endpoint = Some(end);
        }
        Shape::Listen(socket) => {
            effect.kind = EffectKind::NetListen;
            let copy = sys::duplicate(pid, int(socket))?;
            effect.endpoint = Some(endpoint(&sys::own_address(&copy)?, socket_type(pid, int(socket)))?);
        }
        Shape::Ids(count) => {
            effect.kind = EffectKind::Privilege;
            let ids: Vec<String> = (0..count).map(|index| int(index).cast_signed().to_string()).collect();
            effect.detail = Some(ids.join(" "));
        }
        Shape::Credentials => effect.kind = EffectKind::Privilege,
        Shape::Namespaces(flags) => {
            effect.kind = EffectKind::Privilege;
            let flags = int(flags);
            if call.name == "unshare" && flags & NAMESPACES == 0 {
                return None;
            }
            effect.detail = (flags != 0).then(|| format!("{flags:#x}"));
        }
        Shape::Other(process) => {
            effect.kind = EffectKind::Ptrace;
            effect.detail = Some(int(process).cast_signed().to_string());
        }
        Shape::Mount(place, what) => {
            effect.kind = EffectKind::Mount;
            effect.path = place.and_then(|place| path_of(tid, place, args)).map(ByteString::from);
            effect.to = what.and_then(|what| read_string(tid, arg(what))).map(ByteString::from);
        }
        Shape::Exec(..) | Shape::Uring | Shape::Signal(..) | Shape::Handle(_) => return None,
    }
    Some(())
}

fn opened(effect: &mut Effect, flags: u32, existed: Option<bool>, path: Vec<u8>) -> Option<()> {
    let has = |flag: i32| flags & flag.cast_unsigned() == flag.cast_unsigned();
    let made = existed == Some(false) && has(libc::O_CREAT) || has(libc::O_TMPFILE);
    let refused_to_make = has(libc::O_CREAT) && has(libc::O_EXCL);
    effect.kind = match effect.errno {
        _ if has(libc::O_PATH) => return None,
        None if made => EffectKind::FileCreate,
        Some(_) if refused_to_make => EffectKind::FileCreate,
        _ if flags & libc::O_ACCMODE.cast_unsigned() != 0 || has(libc::O_TRUNC) => EffectKind::FileWrite,
        // Looking for files that are not there is no effect; being refused one is.
        Some(errno) if !matches!(errno, libc::EACCES | libc::EPERM) => return None,
        _ => EffectKind::FileRead,
    };
    if is_no_file(&path) {
        return None;
    }
    if effect.kind != EffectKind::FileRead {
        let mode = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_RDWR"].get((flags & 3) as usize).copied().unwrap_or("");
        let names = [
            (libc::O_CREAT, "O_CREAT"),
            (libc::O_EXCL, "O_EXCL"),
            (libc::O_TRUNC, "O_TRUNC"),
            (libc::O_APPEND, "O_APPEND"),
            (libc::O_TMPFILE, "O_TMPFILE"),
        ];
        let set = names.iter().filter(|(flag, _)| has(*flag)).map(|(_, name)| *name);
        effect.detail = Some([mode].into_iter().chain(set).collect::<Vec<_>>().join("|"));
    }
    effect.path = Some(path.into());
    Some(())
}

/// Writing there changes no file, and every other shell command says `2>/dev/null`.
fn is_no_file(path: &[u8]) -> bool {
    let devices: [&[u8]; 5] = [b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty", b"/dev/ptmx"];
    devices.contains(&path) || path.starts_with(b"/dev/pts/") || !path.starts_with(b"/")
}

fn octal(mode: u32) -> String {
    format!("{:04o}", mode & 0o177_777)
}

/// The path of a call's file, where it is one: not a pipe, a socket or a terminal.
fn file_of(tid: u32, place: Place, args: &[u64; 6]) -> Option<ByteString> {
    path_of(tid, place, args).filter(|path| !is_no_file(path)).map(ByteString::from)
}

pub(super) fn open_flags(tid: u32, flags: Flags, args: &[u64; 6]) -> u32 {
    let arg = |index: usize| args.get(index).copied().unwrap_or(0);
    match flags {
        Flags::In(index) => u32::try_from(arg(index) & 0xffff_ffff).unwrap_or(0),
        Flags::Creat => (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC).cast_unsigned(),
        Flags::How(index) => {
            let mut how = [0; 8];
            match ptrace_sys::read_memory(tid, arg(index), &mut how) {
                8 => u32::try_from(u64::from_ne_bytes(how) & 0xffff_ffff).unwrap_or(0),
                _ => 0,
            }
        }
    }
}

/// The path as the program gave it.
fn named(tid: u32, place: Place, args: &[u64; 6]) -> Option<Vec<u8>> {
    read_string(tid, *args.get(place.path?)?)
}

/// The file as this process can reach it, through the program's own directory and descriptors.
pub(super) fn reachable(tid: u32, place: Place, args: &[u64; 6]) -> Option<PathBuf> {
    let dir = |base: &str, rest: &[u8]| {
        let mut path = PathBuf::from(format!("/proc/{tid}"));
        path.push(base);
        if !rest.is_empty() {
            path.push(std::ffi::OsStr::from_bytes(rest));
        }
        path
    };
    let descriptor = place.dir.and_then(|index| args.get(index)).map(|fd| (fd & 0xffff_ffff) as u32);
    let name = match place.path {
        Some(_) => named(tid, place, args)?,
        None => Vec::new(),
    };
    if let Some(own) = of_itself(&name) {
        return Some(dir("", own));
    }
    match (name.strip_prefix(b"/"), descriptor) {
        (Some(rest), _) => {
            let rest = rest.iter().skip_while(|byte| **byte == b'/').copied().collect::<Vec<u8>>();
            Some(dir("root", &rest))
        }
        (None, Some(fd)) if fd.cast_signed() != libc::AT_FDCWD => Some(dir(&format!("fd/{fd}"), &name)),
        _ => Some(dir("cwd", &name)),
    }
}

/// What of a name is below the program's own directory in `/proc`: read by this process, `self` would be this process.
fn of_itself(name: &[u8]) -> Option<&[u8]> {
    let below = |prefix: &[u8]| name.strip_prefix(prefix);
    below(b"/proc/self/").or_else(|| below(b"/proc/thread-self/")).or_else(|| {
        // A link to `/proc/self/fd`.
        name.starts_with(b"/dev/fd/").then(|| name.get(5..)).flatten()
    })
}

/// The absolute path of a file that a call named: its directory as the kernel calls it, and its name in there.
fn path_of(tid: u32, place: Place, args: &[u64; 6]) -> Option<Vec<u8>> {
    let path = reachable(tid, place, args)?;
    let bytes = path.as_os_str().as_bytes();
    let trimmed = bytes.strip_suffix(b"/").unwrap_or(bytes);
    let last = trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if place.path.is_none() || matches!(last, b"." | b".." | b"") {
        // The file itself, which is there. A magic link says what it is without being opened.
        return if place.path.is_none() { link_at(&path) } else { canonical(&path) };
    }
    if place.path.is_some() && trimmed == [format!("/proc/{tid}/fd/").as_bytes(), last].concat() {
        // A descriptor by its name: as the program said it.
        return named(tid, place, args);
    }
    let parent = Path::new(std::ffi::OsStr::from_bytes(trimmed)).parent()?;
    let mut full = match canonical(parent) {
        Some(full) => full,
        // Its directory is not there: the path is what the program said, from where it said it.
        None => {
            let name = named(tid, place, args)?;
            if name.starts_with(b"/") {
                return Some(name);
            }
            let mut full = link(tid, "cwd")?;
            full.push(b'/');
            full.extend_from_slice(&name);
            return Some(full);
        }
    };
    if full != b"/" {
        full.push(b'/');
    }
    full.extend_from_slice(last);
    Some(full)
}

/// The path by which the kernel knows a file that can be reached by another one.
fn canonical(path: &Path) -> Option<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    link_at(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

fn link(tid: u32, name: &str) -> Option<Vec<u8>> {
    link_at(Path::new(&format!("/proc/{tid}/{name}")))
}

fn link_at(path: &Path) -> Option<Vec<u8>> {
    std::fs::read_link(path).ok().map(|target| target.into_os_string().into_vec())
}

/// A string of the program's memory.
fn read_string(tid: u32, address: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for size in [256, PATH_MAX] {
        let have = text.len();
        text.resize(size, 0);
        let at = address.checked_add(u64::try_from(have).ok()?)?;
        let read = ptrace_sys::read_memory(tid, at, text.get_mut(have..)?);
        text.truncate(have + read);
        if let Some(end) = memchr::memchr(0, &text) {
            text.truncate(end);
            return Some(text);
        }
        if text.len() < size {
            return None;
        }
    }
    None
}

/// An argument vector of the program's memory, as long as it is not absurdly long.
fn read_argv(tid: u32, mut address: u64) -> Argv {
    let mut args: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    while args.len() < ARGV_MAX && bytes < ARGV_BYTES {
        let mut pointer = [0; 8];
        if ptrace_sys::read_memory(tid, address, &mut pointer) != 8 {
            break;
        }
        let Some(arg) = Some(u64::from_ne_bytes(pointer)).filter(|at| *at != 0).and_then(|at| read_string(tid, at))
        else {
            break;
        };
        bytes += arg.len();
        args.push(arg);
        address = address.saturating_add(8);
    }
    args.into_iter().collect()
}

/// The address of a message and its length: a `struct msghdr` begins with a pointer and an int. Of several messages the first's.
fn message_name(tid: u32, message: u64) -> Option<(u64, u64)> {
    let mut head = [0; 12];
    if ptrace_sys::read_memory(tid, message, &mut head) != head.len() {
        return None;
    }
    let name = u64::from_ne_bytes(*head.first_chunk()?);
    let length = u32::from_ne_bytes(*head.last_chunk()?);
    (name != 0 && length != 0).then_some((name, u64::from(length)))
}

fn read_address(tid: u32, address: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length & 0xffff_ffff).ok()?.min(128)];
    (ptrace_sys::read_memory(tid, address, &mut bytes) == bytes.len()).then_some(bytes)
}

/// A socket's type.
fn socket_type(pid: u32, fd: u32) -> Option<i32> {
    sys::option(&sys::duplicate(pid, fd)?, libc::SO_TYPE)
}

/// What a `struct sockaddr` says; nothing for those that are not about a network.
fn endpoint(address: &[u8], kind: Option<i32>) -> Option<Endpoint> {
    let family = i32::from(u16::from_ne_bytes(address.get(..2)?.try_into().ok()?));
    let port = || Some(u16::from_be_bytes(address.get(2..4)?.try_into().ok()?));
    let protocol = || match kind {
        Some(libc::SOCK_STREAM) => "tcp",
        Some(libc::SOCK_DGRAM) => "udp",
        Some(libc::SOCK_RAW) => "raw",
        Some(libc::SOCK_SEQPACKET) => "seqpacket",
        _ => "other",
    };
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = address.get(4..8)?.try_into().ok()?;
            let host = std::net::Ipv4Addr::from(octets).to_string().into();
            Some(Endpoint { protocol: protocol().to_owned(), host, port: port() })
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = address.get(8..24)?.try_into().ok()?;
            let host = std::net::Ipv6Addr::from(octets).to_string().into();
            Some(Endpoint { protocol: protocol().to_owned(), host, port: port() })
        }
        libc::AF_UNIX => {
            let name = address.get(2..)?;
            let host = match name.split_first() {
                Some((0, rest)) => [b"@", rest].concat(),
                _ => name.split(|byte| *byte == 0).next()?.to_vec(),
            };
            (!host.is_empty()).then(|| Endpoint { protocol: "unix".to_owned(), host: host.into(), port: None })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_what_they_are() {
        let v4 = [&2_u16.to_ne_bytes()[..], &443_u16.to_be_bytes(), &[192, 0, 2, 1], &[0; 8]].concat();
        let end = endpoint(&v4, Some(libc::SOCK_STREAM)).unwrap();
        assert_eq!((end.protocol.as_str(), end.host.as_bytes(), end.port), ("tcp", &b"192.0.2.1"[..], Some(443)));
        let unix = [&1_u16.to_ne_bytes()[..], b"/run/docker.sock\0\0"].concat();
        assert_eq!(endpoint(&unix, None).unwrap().host.as_bytes(), b"/run/docker.sock");
        let hidden = [&1_u16.to_ne_bytes()[..], b"\0dbus"].concat();
        assert_eq!(endpoint(&hidden, None).unwrap().host.as_bytes(), b"@dbus");
        for length in 0..v4.len().min(8) {
            assert_eq!(endpoint(&v4[..length], None), None);
        }
        assert_eq!(endpoint(&16_u16.to_ne_bytes(), None), None);
    }
}
