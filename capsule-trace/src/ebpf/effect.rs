//! What a recorded system call did.
//!
//! The record has the call's arguments as they were when it returned, its result, and directories as the kernel knows
//! them. An opened file's path is the kernel's own; any other is put together from what the program passed, without
//! resolving symbolic links: the kernel did that, and does not say to what.

use std::net::{Ipv4Addr, Ipv6Addr};

use capsule_core::{ByteString, Effect, EffectKind, Endpoint, Pid};

use super::calls::{Call, Detail, Kind};
use super::paths;
use super::wire::{CallRecord, Flags};
use crate::recorder;

const FMODE_CREATED: u32 = 0x10_0000;
const O_ACCMODE: u64 = 3;
const O_PATH: u64 = 0x20_0000;
const O_TMPFILE: u64 = libc::O_TMPFILE as u64;

/// Writing to these changes no file.
const NO_FILES: &[&[u8]] = &[b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty", b"/dev/ptmx"];

/// The effect of a call, where it had one that is of interest. `recorders` are Capsule's own processes.
pub(super) fn effect(call: &Call, record: &CallRecord<'_>, recorders: &[Pid]) -> Option<Effect> {
    let argument = |index: usize| record.args.get(index).copied().unwrap_or(0);
    match call.detail {
        Detail::Signal(process, signal) if !recorder::is_sent(argument(process), argument(signal), recorders) => {
            return None;
        }
        Detail::Handle(process) if !recorder::is_named(argument(process), recorders) => return None,
        _ => {}
    }
    let errno = i32::try_from(record.result.min(0).unsigned_abs()).ok().filter(|errno| *errno != 0);
    if errno == Some(libc::EFAULT) {
        return None;
    }
    let (kind, text) = match call.kind {
        Kind::Open => return opened(call, record, errno),
        Kind::Is(kind) => (kind, false),
        Kind::WithText(kind) => (kind, true),
        Kind::IoUring => return None,
    };
    let mut effect = Effect { kind, errno, ..empty(call, kind) };
    effect.detail = detail(call.detail, record);
    match kind {
        EffectKind::NetConnect | EffectKind::NetListen => {
            let endpoint = endpoint(record)?;
            if call.name == "bind" {
                match (endpoint.protocol.as_str(), endpoint.host.as_bytes()) {
                    // A socket in the file system is made by being bound.
                    ("unix", path) if !matches!(path, b"" | [b'@', ..]) => {
                        effect.kind = EffectKind::FileCreate;
                        effect.path = absolute(path, record.address_base, record.walk1);
                    }
                    ("udp", _) => {}
                    // What it is bound for is the listen that follows.
                    _ => return None,
                }
            }
            if errno == Some(libc::EINPROGRESS) {
                effect.errno = None;
                effect.detail = Some("in progress".to_owned());
            }
            effect.endpoint = Some(endpoint);
        }
        EffectKind::FileCreate if call.name.starts_with("link") => {
            effect.path = absolute(record.path1, record.base1, record.walk1);
            effect.to = absolute(record.path2, record.base2, record.walk2);
        }
        _ => {
            effect.path = absolute(record.path1, record.base1, record.walk1);
            effect.to = if text { some(record.path2) } else { absolute(record.path2, record.base2, record.walk2) };
        }
    }
    // A descriptor of a pipe, a socket or a terminal is no file.
    let file = matches!(kind, EffectKind::FileWrite | EffectKind::FileMode);
    if file && effect.path.as_ref().is_none_or(is_no_file) {
        return None;
    }
    Some(effect)
}

fn empty(call: &Call, kind: EffectKind) -> Effect {
    Effect {
        kind,
        call: call.name.to_owned(),
        path: None,
        to: None,
        endpoint: None,
        detail: None,
        errno: None,
        before: None,
    }
}

fn is_no_file(path: &ByteString) -> bool {
    let path = path.as_bytes();
    NO_FILES.contains(&path) || path.starts_with(b"/dev/pts/")
}

fn opened(call: &Call, record: &CallRecord<'_>, errno: Option<i32>) -> Option<Effect> {
    let creat = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC).unsigned_abs();
    let flags = if call.name == "creat" { u64::from(creat) } else { *record.args.get(6)? };
    let has = |flag: i32| flags & u64::from(flag.unsigned_abs()) != 0;
    if flags & O_PATH != 0 {
        return None;
    }
    let writes = flags & O_ACCMODE != 0 || has(libc::O_TRUNC);
    let kind = match errno {
        None if record.file_mode & FMODE_CREATED != 0 || flags & O_TMPFILE == O_TMPFILE => EffectKind::FileCreate,
        Some(_) if has(libc::O_CREAT) && has(libc::O_EXCL) => EffectKind::FileCreate,
        _ if writes => EffectKind::FileWrite,
        // Looking for files that are not there is no effect; being refused one is.
        Some(errno) if !matches!(errno, libc::EACCES | libc::EPERM) => return None,
        _ => EffectKind::FileRead,
    };
    let path = absolute(record.path1, record.base1, record.walk1)?;
    if is_no_file(&path) {
        return None;
    }
    let detail = (kind != EffectKind::FileRead).then(|| open_flags(flags));
    Some(Effect { path: Some(path), detail, errno, ..empty(call, kind) })
}

fn open_flags(flags: u64) -> String {
    let mut text = match flags & O_ACCMODE {
        0 => "O_RDONLY",
        1 => "O_WRONLY",
        _ => "O_RDWR",
    }
    .to_owned();
    for (flag, name) in [
        (libc::O_CREAT, "|O_CREAT"),
        (libc::O_EXCL, "|O_EXCL"),
        (libc::O_TRUNC, "|O_TRUNC"),
        (libc::O_APPEND, "|O_APPEND"),
    ] {
        if flags & u64::from(flag.unsigned_abs()) != 0 {
            text.push_str(name);
        }
    }
    if flags & O_TMPFILE == O_TMPFILE {
        text.push_str("|O_TMPFILE");
    }
    text
}

fn detail(detail: Detail, record: &CallRecord<'_>) -> Option<String> {
    let argument = |index: usize| record.args.get(index).copied().unwrap_or(0);
    // The kernel takes the lower half.
    let id = |index: usize| (argument(index) & 0xffff_ffff) as i64 as u32 as i32;
    match detail {
        Detail::Nothing => None,
        Detail::Mode(index) => Some(format!("{:04o}", argument(index) & 0o177_777)),
        Detail::Owner(index) => Some(format!("{}:{}", id(index), id(index + 1))),
        Detail::Ids(count) => Some((0..count).map(|index| id(index).to_string()).collect::<Vec<_>>().join(" ")),
        Detail::Flags(index) => match argument(index) {
            0 => None,
            flags => Some(format!("{flags:#x}")),
        },
        Detail::Process(index) | Detail::Handle(index) => Some(id(index).to_string()),
        Detail::Signal(process, signal) => Some(format!("{} {}", id(process), id(signal))),
    }
}

fn some(text: &[u8]) -> Option<ByteString> {
    (!text.is_empty()).then(|| ByteString::new(text))
}

/// A path as the program gave it, from the directory that it starts at. Without a path: the directory, or the open file,
/// itself.
fn absolute(path: &[u8], base: &[u8], walk: Flags) -> Option<ByteString> {
    if path.first() == Some(&b'/') {
        return Some(ByteString::from(paths::normal(path)));
    }
    if base.is_empty() && path.is_empty() {
        return None;
    }
    if walk.has(Flags::WALK_PSEUDO) {
        let name = base.strip_suffix(b"\0").unwrap_or(base);
        // memfd_create(2) and the like have a name; pipes and sockets have none.
        return (path.is_empty() && !name.is_empty() && name.first() != Some(&b'['))
            .then(|| paths::from_names(base, true));
    }
    if walk.has(Flags::WALK_CUT) {
        return some(path);
    }
    let deleted = walk.has(Flags::WALK_DELETED);
    let base = paths::from_names(base, deleted && path.is_empty());
    if path.is_empty() {
        return Some(base);
    }
    Some(ByteString::from(paths::normal(&[base.as_bytes(), b"/", path].concat())))
}

fn endpoint(record: &CallRecord<'_>) -> Option<Endpoint> {
    let address = record.address;
    let family = u16::from_ne_bytes(*address.first_chunk::<2>()?);
    let kind = match record.socket_type {
        1 => "tcp",
        2 => "udp",
        3 => "raw",
        5 => "seqpacket",
        _ => "other",
    };
    let port = || Some(u16::from_be_bytes(address.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let host: [u8; 4] = address.get(4..8)?.try_into().ok()?;
            let host = ByteString::from(Ipv4Addr::from(host).to_string());
            Some(Endpoint { protocol: kind.to_owned(), host, port: port() })
        }
        libc::AF_INET6 => {
            let host: [u8; 16] = address.get(8..24)?.try_into().ok()?;
            let host = ByteString::from(Ipv6Addr::from(host).to_string());
            Some(Endpoint { protocol: kind.to_owned(), host, port: port() })
        }
        libc::AF_UNIX => {
            let path = address.get(2..)?;
            let host = match path {
                // The abstract namespace, as the kernel shows it in /proc/net/unix.
                [0, name @ ..] => [b"@", name].concat(),
                path => path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            };
            Some(Endpoint { protocol: "unix".to_owned(), host: ByteString::from(host), port: None })
        }
        // Routing tables, audit and the like are the machine's own business.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_where_the_kernel_says() {
        let none = Flags(0);
        let text = |path: &[u8], base: &[u8]| absolute(path, base, none).map(|path| path.to_lossy().into_owned());
        assert_eq!(text(b"../x//./y", b"dir\0home\0").as_deref(), Some("/home/x/y"));
        assert_eq!(text(b"/a/../..//b/", b"").as_deref(), Some("/b"));
        assert_eq!(text(b"", b"dir\0home\0").as_deref(), Some("/home/dir"));
        assert_eq!(text(b"", b""), None);
        assert_eq!(absolute(b"x", b"", Flags(Flags::WALK_CUT)), Some(ByteString::from("x")));
    }
}
