//! Calls that change something outside the process, in logs that have them.
//!
//! strace is asked for them when effects are wanted, and recorded logs often hold them. Paths are absolute where the line
//! or the followed directory allows it; a relative path from an unknown directory is kept in `detail`, not guessed.
//! A call that failed is a fact too, except for reads: a program looks for many files that are not there.

use std::borrow::Cow;

use capsule_core::{ByteString, Effect, EffectKind, Endpoint, quote};

use super::calls::{self, Outcome};
use super::lexer;

/// The calls that are read here.
pub(super) fn is_effect(name: &[u8]) -> bool {
    shape(name).is_some()
}

/// Where a call's path and its other facts stand among its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A path, and what else is said from the argument after it.
    Path(EffectKind),
    /// A directory's descriptor, a path.
    At(EffectKind),
    /// A descriptor whose path `-y` tells.
    Descriptor(EffectKind),
    /// Opens a path to write it anew.
    Creat,
    /// Opens a path; which kind, the flags at the index after it tell.
    Open { at: bool },
    /// Opens by a handle: only the result says what.
    OpenHandle,
    /// Two paths: old and new.
    Two { at: bool, kind: EffectKind },
    /// What a new link points to, and the link.
    Symlink { at: bool },
    /// A socket and an address.
    Address(EffectKind, usize),
    /// A socket and a message, which may have an address.
    Message,
    /// A socket and the address that it gets.
    Bind,
    /// A listening socket.
    Listen,
    /// No path: the arguments say it all.
    Plain(EffectKind),
    /// A process is attached to or written into.
    Trace,
    /// Source and target.
    Mount,
}

fn shape(name: &[u8]) -> Option<Shape> {
    use EffectKind::{FileCreate, FileDelete, FileMode, FileRename, FileWrite, Mount, NetConnect, Privilege};
    use Shape::{Address, At, Descriptor, Open, Path, Plain, Two};
    Some(match name {
        b"open" => Open { at: false },
        b"openat" | b"openat2" => Open { at: true },
        b"open_by_handle_at" => Shape::OpenHandle,
        b"creat" => Shape::Creat,
        b"truncate" | b"truncate64" => Path(FileWrite),
        b"ftruncate" | b"ftruncate64" | b"fallocate" => Descriptor(FileWrite),
        b"unlink" | b"rmdir" => Path(FileDelete),
        b"unlinkat" => At(FileDelete),
        b"mkdir" | b"mknod" => Path(FileCreate),
        b"mkdirat" | b"mknodat" => At(FileCreate),
        b"rename" => Two { at: false, kind: FileRename },
        b"renameat" | b"renameat2" => Two { at: true, kind: FileRename },
        b"link" => Two { at: false, kind: FileCreate },
        b"linkat" => Two { at: true, kind: FileCreate },
        b"symlink" => Shape::Symlink { at: false },
        b"symlinkat" => Shape::Symlink { at: true },
        b"chmod" | b"chown" | b"lchown" | b"setxattr" | b"lsetxattr" | b"removexattr" | b"lremovexattr" | b"utime"
        | b"utimes" => Path(FileMode),
        b"fchmod" | b"fchown" | b"fsetxattr" | b"fremovexattr" => Descriptor(FileMode),
        b"finit_module" => Descriptor(Mount),
        b"fchmodat" | b"fchmodat2" | b"fchownat" | b"utimensat" | b"futimesat" => At(FileMode),
        b"connect" => Address(NetConnect, 1),
        b"sendto" => Address(NetConnect, 4),
        b"sendmsg" | b"sendmmsg" => Shape::Message,
        b"bind" => Shape::Bind,
        b"listen" => Shape::Listen,
        b"setuid" | b"setgid" | b"setreuid" | b"setregid" | b"setresuid" | b"setresgid" | b"setgroups"
        | b"setfsuid" | b"setfsgid" | b"capset" | b"setns" | b"unshare" => Plain(Privilege),
        b"ptrace" | b"process_vm_writev" => Shape::Trace,
        b"mount" | b"move_mount" => Shape::Mount,
        b"umount" | b"umount2" | b"chroot" | b"pivot_root" | b"swapon" | b"swapoff" => Path(Mount),
        b"init_module" | b"delete_module" => Plain(Mount),
        _ => return None,
    })
}

/// What the call did; `text` begins at the parenthesis, `cwd` is the process's directory.
pub(super) fn effect(name: &[u8], text: &[u8], outcome: Outcome, cwd: Option<&ByteString>) -> Option<Effect> {
    let errno = match outcome {
        Outcome::Returned(_) => None,
        Outcome::Failed(errno) => Some(errno),
        Outcome::Nothing => return None,
    };
    let arguments = arguments(text);
    let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
    let mut effect = Effect {
        kind: EffectKind::FileWrite,
        call: String::from_utf8_lossy(name).into_owned(),
        path: None,
        to: None,
        endpoint: None,
        detail: None,
        errno,
        before: None,
    };
    match shape(name)? {
        Shape::Path(kind) => {
            effect.kind = kind;
            effect.place(argument(0), cwd);
            effect.say(arguments.get(1..).unwrap_or_default());
        }
        Shape::At(kind) => {
            effect.kind = kind;
            // utimensat(2) without a path means the descriptor itself.
            if argument(1) == b"NULL" {
                effect.path = calls::descriptor(argument(0))?.0;
            } else {
                effect.place_at(argument(0), argument(1), cwd);
            }
            effect.say(arguments.get(2..).unwrap_or_default());
        }
        Shape::Descriptor(kind) => {
            effect.kind = kind;
            effect.path = descriptor(argument(0));
            effect.say(arguments.get(1..).unwrap_or_default());
        }
        Shape::Open { at } => {
            let flags = if at { argument(2) } else { argument(1) };
            effect.kind = opened(flags);
            if effect.kind == EffectKind::FileRead && errno.is_some() {
                return None;
            }
            if at {
                effect.place_at(argument(0), argument(1), cwd)
            } else {
                effect.place(argument(0), cwd)
            }
            if let Some(path) = returned_path(text) {
                effect.path = Some(path);
            }
            effect.say(&[flags]);
        }
        Shape::Creat => {
            effect.place(argument(0), cwd);
            if let Some(path) = returned_path(text) {
                effect.path = Some(path);
            }
            effect.say(&[b"O_WRONLY|O_CREAT|O_TRUNC"]);
        }
        Shape::OpenHandle => {
            effect.kind = opened(argument(2));
            // Some versions do not say which file it was.
            effect.path = returned_path(text);
            if effect.kind == EffectKind::FileRead && effect.path.is_none() {
                return None;
            }
            effect.say(&[argument(2)]);
        }
        Shape::Two { at, kind } => {
            effect.kind = kind;
            let (old, new) = if at {
                (located(argument(0), argument(1), cwd), located(argument(2), argument(3), cwd))
            } else {
                (located(b"AT_FDCWD", argument(0), cwd), located(b"AT_FDCWD", argument(1), cwd))
            };
            // A rename is of its old name; a link is made under its new one and points to the old.
            (effect.path, effect.to) = if kind == EffectKind::FileRename { (old, new) } else { (new, old) };
            effect.detail = rename_flags(argument(4)).filter(|_| name == b"renameat2");
        }
        Shape::Symlink { at } => {
            effect.kind = EffectKind::FileCreate;
            effect.to = string(argument(0));
            if at { effect.place_at(argument(1), argument(2), cwd) } else { effect.place(argument(1), cwd) }
        }
        Shape::Address(kind, index) => {
            effect.kind = kind;
            effect.endpoint = Some(endpoint(argument(0), argument(index))?);
            // A connection that goes on in the background has not failed.
            if errno == Some(IN_PROGRESS) {
                effect.errno = None;
                effect.detail = Some("in progress".to_owned());
            }
        }
        Shape::Message => {
            effect.kind = EffectKind::NetConnect;
            let at = memchr::memmem::find(argument(1), b"msg_name={sa_family=")?;
            effect.endpoint = Some(endpoint(argument(0), argument(1).get(at..)?)?);
        }
        Shape::Bind => {
            let end = endpoint(argument(0), argument(1))?;
            match (end.port, end.protocol.as_str()) {
                // A socket with a path is a file; an abstract one is only a name.
                (None, _) if !end.host.as_bytes().starts_with(b"@") => {
                    effect.kind = EffectKind::FileCreate;
                    effect.path = calls::join(cwd, end.host.as_bytes());
                }
                // Whoever binds a datagram socket to a port receives there without listening.
                (Some(1..), "udp") => effect.kind = EffectKind::NetListen,
                _ => return None,
            }
            effect.endpoint = Some(end);
        }
        Shape::Listen => {
            effect.kind = EffectKind::NetListen;
            effect.endpoint = listening(argument(0));
        }
        Shape::Plain(kind) => {
            effect.kind = kind;
            effect.say(&arguments);
        }
        Shape::Trace => {
            let attaches = [&b"PTRACE_ATTACH"[..], b"PTRACE_SEIZE", b"PTRACE_POKE"];
            if name == b"ptrace" && !attaches.iter().any(|request| argument(0).starts_with(request)) {
                return None;
            }
            effect.kind = EffectKind::Ptrace;
            effect.say(arguments.get(..2).unwrap_or(&arguments));
        }
        Shape::Mount => {
            effect.kind = EffectKind::Mount;
            effect.place(argument(1), cwd);
            effect.to = string(argument(0));
            effect.say(arguments.get(2..).unwrap_or_default());
        }
    }
    if errno == Some(FAULT) {
        return None;
    }
    let file = matches!(effect.kind, EffectKind::FileWrite | EffectKind::FileMode);
    if file && effect.path.as_ref().is_some_and(is_no_file) {
        return None;
    }
    Some(effect)
}

/// Writing to these changes no file.
fn is_no_file(path: &ByteString) -> bool {
    let path = path.as_bytes();
    let devices: [&[u8]; 5] = [b"/dev/null", b"/dev/zero", b"/dev/full", b"/dev/tty", b"/dev/ptmx"];
    devices.contains(&path) || path.starts_with(b"/dev/pts/")
}

/// `EFAULT` on Linux: the arguments were not readable, and nothing happened.
const FAULT: i32 = 14;

/// `EINPROGRESS` on Linux.
const IN_PROGRESS: i32 = 115;

/// How an effect's fields are filled from arguments.
trait Fill {
    fn place(&mut self, path: &[u8], cwd: Option<&ByteString>);
    fn place_at(&mut self, directory: &[u8], path: &[u8], cwd: Option<&ByteString>);
    fn say(&mut self, arguments: &[&[u8]]);
}

impl Fill for Effect {
    fn place(&mut self, path: &[u8], cwd: Option<&ByteString>) {
        self.place_at(b"AT_FDCWD", path, cwd);
    }

    fn place_at(&mut self, directory: &[u8], path: &[u8], cwd: Option<&ByteString>) {
        self.path = located(directory, path, cwd);
        if self.path.is_none() {
            self.say(&[path]);
        }
    }

    /// Adds arguments to `detail` as strace wrote them: escaped, and so without control characters.
    fn say(&mut self, arguments: &[&[u8]]) {
        for argument in arguments.iter().filter(|argument| !argument.is_empty()) {
            let text = String::from_utf8_lossy(argument.get(..argument.len().min(200)).unwrap_or_default());
            self.detail = Some(match self.detail.take() {
                Some(before) => format!("{before}, {text}"),
                None => text.into_owned(),
            });
        }
    }
}

/// The flags of `renameat2(2)`, as a number; nothing where there are none.
fn rename_flags(argument: &[u8]) -> Option<String> {
    let known: [(&[u8], u32); 3] = [(b"RENAME_NOREPLACE", 1), (b"RENAME_EXCHANGE", 2), (b"RENAME_WHITEOUT", 4)];
    let set = known.iter().filter(|(name, _)| memchr::memmem::find(argument, name).is_some());
    let flags = set.fold(0, |flags, (_, bit)| flags | bit);
    (flags != 0).then(|| format!("{flags:#x}"))
}

fn opened(flags: &[u8]) -> EffectKind {
    let has = |flag: &[u8]| memchr::memmem::find(flags, flag).is_some();
    if has(b"O_EXCL") && has(b"O_CREAT") || has(b"O_TMPFILE") {
        EffectKind::FileCreate
    } else if [&b"O_WRONLY"[..], b"O_RDWR", b"O_CREAT", b"O_TRUNC"].into_iter().any(has) {
        EffectKind::FileWrite
    } else {
        EffectKind::FileRead
    }
}

fn string(argument: &[u8]) -> Option<ByteString> {
    quote::read(argument).filter(|read| !read.truncated).map(|read| ByteString::from(read.bytes))
}

/// The absolute form of a path that starts from a directory's descriptor.
fn located(directory: &[u8], path: &[u8], cwd: Option<&ByteString>) -> Option<ByteString> {
    let path = string(path)?;
    if path.as_bytes().starts_with(b"/") {
        return Some(path);
    }
    let named = calls::descriptor(directory)?.0;
    let base = match &named {
        Some(base) => Some(base),
        None if directory.starts_with(b"AT_FDCWD") => cwd,
        None => None,
    };
    calls::join(base, path.as_bytes())
}

/// What `-y` says of a descriptor, in the form of readlink(2) of a link under `/proc`.
fn descriptor(argument: &[u8]) -> Option<ByteString> {
    let path = calls::descriptor(argument)?.0?;
    let nameless = memchr::memmem::find(argument, b">(deleted)").is_some();
    Some(if nameless { [path.as_bytes(), b" (deleted)"].concat().into() } else { path })
}

/// What `-y` says of the descriptor that a call returned.
fn returned_path(text: &[u8]) -> Option<ByteString> {
    let at = memchr::memmem::rfind(text, b" = ")?;
    let result = text.get(at + 3..)?.trim_ascii_start();
    descriptor(result)
}

/// The other end of a connection: the protocol by `-yy`'s word for the socket, the rest by the address.
fn endpoint(socket: &[u8], address: &[u8]) -> Option<Endpoint> {
    let field = |name: &[u8]| {
        let at = memchr::memmem::find(address, name)?;
        address.get(at + name.len()..)
    };
    let number = |text: &[u8]| lexer::number(text).and_then(|(number, _)| u16::try_from(number).ok());
    if field(b"sa_family=AF_UNIX").is_some() {
        let path = field(b"sun_path=")?;
        // `@"name"`: in the abstract namespace.
        let host = match path.strip_prefix(b"@") {
            Some(name) => ByteString::from([&b"@"[..], string_prefix(name)?.as_bytes()].concat()),
            None => string_prefix(path)?,
        };
        return Some(Endpoint { protocol: "unix".to_owned(), host, port: None });
    }
    let (host, port) = if field(b"sa_family=AF_INET6").is_some() {
        let host = field(b"inet_pton(AF_INET6, ").and_then(string_prefix)?;
        (host, field(b"sin6_port=htons(").and_then(number))
    } else if field(b"sa_family=AF_INET").is_some() {
        (field(b"inet_addr(").and_then(string_prefix)?, field(b"sin_port=htons(").and_then(number))
    } else {
        return None;
    };
    Some(Endpoint { protocol: protocol(socket).into_owned(), host, port })
}

fn string_prefix(text: &[u8]) -> Option<ByteString> {
    quote::read(text).map(|read| ByteString::from(read.bytes))
}

/// `tcp`, `udp`, … where `-yy` names the socket, else `ip`.
fn protocol(socket: &[u8]) -> Cow<'static, str> {
    let name = memchr::memchr(b'<', socket).and_then(|at| socket.get(at + 1..)).unwrap_or_default();
    let length = name.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    match name.get(..length).unwrap_or_default() {
        b"TCP" | b"TCPv6" => "tcp".into(),
        b"UDP" | b"UDPv6" => "udp".into(),
        b"PING" | b"PINGv6" | b"RAW" | b"RAWv6" => "icmp".into(),
        _ => "ip".into(),
    }
}

/// What `-yy` says of a listening socket: `<TCP:[127.0.0.1:80]>`, `<TCPv6:[[::1]:80]>`.
fn listening(socket: &[u8]) -> Option<Endpoint> {
    if let Some(at) = memchr::memmem::find(socket, b"<UNIX") {
        // `<UNIX-STREAM:[123,"path"]>`
        let comma = at + memchr::memchr(b',', socket.get(at..)?)?;
        let name = socket.get(comma + 1..)?;
        let host = match name.strip_prefix(b"@") {
            Some(name) => ByteString::from([&b"@"[..], string_prefix(name)?.as_bytes()].concat()),
            None => string_prefix(name)?,
        };
        return Some(Endpoint { protocol: "unix".to_owned(), host, port: None });
    }
    let text = std::str::from_utf8(socket).ok()?;
    let (_, address) = text.split_once(":[")?;
    let (host, port) = address.trim_end_matches(['>', ']']).rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    let port = port.parse().ok()?;
    Some(Endpoint { protocol: protocol(socket).into_owned(), host: ByteString::from(host), port: Some(port) })
}

/// The arguments of a call, as written: split at commas outside quotes and brackets.
fn arguments(text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let Some(body) = text.strip_prefix(b"(") else { return found };
    let (mut depth, mut start, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => {
                // A string that does not end is the last thing to be read.
                let Some(read) = body.get(at..).and_then(quote::read) else { break };
                at += read.length.max(1);
                continue;
            }
            // What a descriptor is; strace escapes the closing mark inside.
            b'<' => match body.get(at..).and_then(|rest| memchr::memchr(b'>', rest)) {
                Some(length) => at += length,
                None => break,
            },
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => break,
            b']' | b'}' | b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                found.push(body.get(start..at).unwrap_or_default().trim_ascii());
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let last = body.get(start..at.min(body.len())).unwrap_or_default().trim_ascii();
    if !last.is_empty() || !found.is_empty() {
        found.push(last);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_are_split_outside_of_everything() {
        let text = br#"(3</a, b>, "x, \")", [1, {a=2, b="]"}], f(1, 2), 0) = 0"#;
        let expect: [&[u8]; 5] = [b"3</a, b>", br#""x, \")""#, br#"[1, {a=2, b="]"}]"#, b"f(1, 2)", b"0"];
        assert_eq!(arguments(text), expect);
        assert!(arguments(b"()").is_empty());
    }

    #[test]
    fn a_relative_path_from_nowhere_is_not_guessed() {
        let made = |cwd: Option<&ByteString>| {
            effect(b"unlink", br#"("a") = 0"#, Outcome::Returned(0), cwd).map(|e| (e.path, e.detail))
        };
        assert_eq!(made(None), Some((None, Some("\"a\"".to_owned()))));
        assert_eq!(made(Some(&ByteString::from("/w"))), Some((Some(ByteString::from("/w/a")), None)));
    }

    #[test]
    fn a_socket_is_named_by_what_the_line_tells() {
        let connect = |text: &str| effect(b"connect", text.as_bytes(), Outcome::Returned(0), None)?.endpoint;
        let unix = connect(r#"(3, {sa_family=AF_UNIX, sun_path=@"/tmp/.X11"}, 20) = 0"#).unwrap();
        assert_eq!((unix.protocol.as_str(), unix.host), ("unix", ByteString::from("@/tmp/.X11")));
        let bare = connect(r#"(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("1.1.1.1")}, 16) = 0"#);
        assert_eq!(bare.map(|end| (end.protocol, end.port)), Some(("ip".to_owned(), Some(53))));
        assert_eq!(connect("(3, {sa_family=AF_NETLINK, nl_pid=0}, 12) = 0"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text: Vec<u8>, index in 0_usize..14) {
            const NAMES: [&[u8]; 14] = [
                b"open", b"openat", b"creat", b"unlinkat", b"rename", b"linkat", b"symlinkat", b"connect", b"sendto", b"listen",
                b"setuid", b"ptrace", b"mount", b"fchmod",
            ];
            let text = [&b"("[..], &text].concat();
            effect(NAMES[index], &text, Outcome::Returned(0), None);
        }
    }
}
