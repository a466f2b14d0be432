//! What the traced calls mean: their arguments and results, read from strace's notation.

use capsule_core::{Argv, ByteString, SpawnKind, quote};

use super::lexer;
use crate::linux;

/// What a finished call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A number, 0 or more.
    Returned(u64),
    /// An error's number.
    Failed(i32),
    /// `?`: the process ended inside the call, or the call starts over.
    Nothing,
}

/// How a call that makes processes was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CloneInfo {
    pub(super) how: SpawnKind,
    /// A thread of the caller's process.
    pub(super) thread: bool,
    /// The new process has the caller's working directory for good (`CLONE_FS`).
    pub(super) shares_cwd: bool,
    /// Its parent is the caller's parent (`CLONE_PARENT`).
    pub(super) sibling: bool,
}

/// An execve or execveat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExecCall {
    pub(super) filename: Option<ByteString>,
    /// The directory that a relative filename starts from, where the line names it.
    pub(super) base: Option<ByteString>,
    pub(super) argv: Option<Argv>,
    /// strace printed only a part of the arguments.
    pub(super) truncated: bool,
    /// The working directory, where the line names it.
    pub(super) cwd: Option<ByteString>,
}

/// The result of a call whose text from the parenthesis on is `text`. `None` where there is none to be seen.
pub(super) fn outcome(text: &[u8]) -> Option<Outcome> {
    let mut end = text.len();
    loop {
        let at = memchr::memmem::rfind(text.get(..end)?, b" = ")?;
        if text.get(..at)?.trim_ascii_end().ends_with(b")") {
            return result(text.get(at + 3..)?.trim_ascii_start());
        }
        end = at;
    }
}

fn result(text: &[u8]) -> Option<Outcome> {
    if text.starts_with(b"?") {
        return Some(Outcome::Nothing);
    }
    if let Some(failed) = text.strip_prefix(b"-1 ").or_else(|| text.strip_prefix(b"-")) {
        let length = failed.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let name = failed.get(..length)?;
        let number = linux::error_number(name).or_else(|| {
            // `-1 ENEW` of a newer kernel has no name here; `-38` has no name in strace.
            std::str::from_utf8(name).ok()?.parse().ok()
        });
        return Some(Outcome::Failed(number.unwrap_or(0)));
    }
    if let Some(hex) = text.strip_prefix(b"0x") {
        let length = hex.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let digits = std::str::from_utf8(hex.get(..length)?).ok()?;
        return u64::from_str_radix(digits, 16).ok().map(Outcome::Returned);
    }
    let (number, rest) = lexer::number(text)?;
    // `7 /* 30412 in strace's PID NS */`: the number that the lines are marked with.
    let outer = memchr::memmem::find(rest, b"/* ").and_then(|at| rest.get(at + 3..)).and_then(lexer::number);
    let outer = outer.filter(|(_, rest)| rest.starts_with(b" in strace's PID NS")).map(|(outer, _)| outer);
    Some(Outcome::Returned(outer.unwrap_or(number)))
}

/// The flags of a call that makes processes; `text` begins at the parenthesis and need not be whole.
pub(super) fn clone_info(name: &[u8], text: &[u8]) -> CloneInfo {
    let plain = CloneInfo { how: SpawnKind::Fork, thread: false, shares_cwd: false, sibling: false };
    match name {
        b"fork" => return plain,
        b"vfork" => return CloneInfo { how: SpawnKind::Vfork, ..plain },
        _ => {}
    }
    let flags = match memchr::memmem::find(text, b"flags=") {
        Some(at) => text.get(at + 6..).unwrap_or_default(),
        None => return CloneInfo { how: SpawnKind::Clone, ..plain },
    };
    let length = flags.iter().position(|b| matches!(b, b',' | b'}' | b')' | b' ')).unwrap_or(flags.len());
    let flags = flags.get(..length).unwrap_or_default();
    let bits = flags.strip_prefix(b"0x").and_then(|hex| {
        let length = hex.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        u64::from_str_radix(std::str::from_utf8(hex.get(..length)?).ok()?, 16).ok()
    });
    let has = |flag: &str, bit: u64| {
        bits.is_some_and(|bits| bits & bit != 0) || flags.split(|b| *b == b'|').any(|one| one == flag.as_bytes())
    };
    let thread = has("CLONE_THREAD", 0x1_0000);
    let how = if has("CLONE_VFORK", 0x4000) {
        SpawnKind::Vfork
    } else if has("CLONE_VM", 0x100)
        || has("CLONE_FS", 0x200)
        || has("CLONE_FILES", 0x400)
        || has("CLONE_PARENT", 0x8000)
        || has("CLONE_NEWNS", 0x2_0000)
        || has("CLONE_NEWUSER", 0x1000_0000)
        || has("CLONE_NEWPID", 0x2000_0000)
        || has("CLONE_NEWNET", 0x4000_0000)
    {
        SpawnKind::Clone
    } else {
        SpawnKind::Fork
    };
    CloneInfo { how, thread, shares_cwd: has("CLONE_FS", 0x200), sibling: has("CLONE_PARENT", 0x8000) }
}

/// The arguments of execve (or, with `at`, execveat); `text` begins at the parenthesis.
pub(super) fn exec(text: &[u8], at: bool) -> Option<ExecCall> {
    let mut rest = text.strip_prefix(b"(")?.trim_ascii_start();
    let mut call = ExecCall { filename: None, base: None, argv: None, truncated: false, cwd: None };
    if at {
        let (target, after) = descriptor(rest)?;
        if rest.starts_with(b"AT_FDCWD") {
            call.cwd = target;
        } else {
            call.base = target;
        }
        rest = comma(after)?;
    }
    let (filename, after) = string_or_word(rest, &mut call.truncated)?;
    call.filename = filename;
    rest = comma(after)?;
    match rest.first()? {
        b'[' => {
            let (argv, _) = array(rest, &mut call.truncated)?;
            call.argv = Some(argv);
        }
        // NULL: Linux makes it an empty vector.
        b'N' if rest.starts_with(b"NULL") => call.argv = Some(Argv::default()),
        // An address: strace could not read the vector.
        _ => {}
    }
    Some(call)
}

fn comma(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b",").map(<[u8]>::trim_ascii_start)
}

/// A quoted string, or `NULL` or an address instead of one.
fn string_or_word<'a>(text: &'a [u8], truncated: &mut bool) -> Option<(Option<ByteString>, &'a [u8])> {
    if text.first() == Some(&b'"') {
        let read = quote::read(text)?;
        *truncated |= read.truncated;
        return Some((Some(ByteString::from(read.bytes)), text.get(read.length..)?));
    }
    let length = text.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    (length > 0).then(|| (None, text.get(length..).unwrap_or_default()))
}

/// `["a", "b", ...]`: strings, separated by commas; `...` where strace stopped printing.
fn array<'a>(text: &'a [u8], truncated: &mut bool) -> Option<(Argv, &'a [u8])> {
    let mut rest = text.strip_prefix(b"[")?;
    let mut block = Vec::with_capacity(text.len().min(256));
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"]") {
            return Some((Argv::from_block(&block), after));
        }
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b"...") {
            *truncated = true;
            rest = after;
        } else if rest.first() == Some(&b'"') {
            let read = quote::read(rest)?;
            *truncated |= read.truncated;
            // An argument cannot hold a NUL; a line that says so lies, and the argument ends there.
            let end = memchr::memchr(0, &read.bytes).unwrap_or(read.bytes.len());
            block.extend_from_slice(read.bytes.get(..end).unwrap_or_default());
            block.push(0);
            rest = rest.get(read.length..)?;
        } else {
            // An address that could not be read, or NULL inside the vector (`-X raw`).
            let (_, after) = string_or_word(rest, truncated)?;
            *truncated = true;
            rest = after;
        }
    }
}

/// A descriptor with what `-y` says it is: `3</tmp>`, `AT_FDCWD</home>`.
pub(super) fn descriptor(text: &[u8]) -> Option<(Option<ByteString>, &[u8])> {
    let length = text.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
    let rest = text.get(length..).filter(|_| length > 0)?;
    let Some(annotated) = rest.strip_prefix(b"<") else { return Some((None, rest)) };
    // strace escapes `<` and `>` of names, so the first `>` ends it; `-yy` adds a device, `</dev/null<char 1:3>>`.
    let mut end = memchr::memchr(b'>', annotated)?;
    let mut inside = annotated.get(..end)?;
    if let Some(device) = memchr::memchr(b'<', inside) {
        inside = inside.get(..device)?;
        end += usize::from(annotated.get(end + 1) == Some(&b'>'));
    }
    let mut quoted = Vec::with_capacity(inside.len() + 2);
    quoted.push(b'"');
    quoted.extend(inside.iter().copied());
    quoted.push(b'"');
    let path = quote::read(&quoted).filter(|read| read.length == quoted.len() && read.bytes.starts_with(b"/"));
    let after = annotated.get(end + 1..)?;
    let after = after.strip_prefix(b"(deleted)").unwrap_or(after);
    Some((path.map(|read| ByteString::from(read.bytes)), after))
}

/// The path of `chdir("path")`; `text` begins at the parenthesis.
pub(super) fn path(text: &[u8]) -> Option<ByteString> {
    let read = quote::read(text.strip_prefix(b"(")?)?;
    (!read.truncated).then(|| ByteString::from(read.bytes))
}

/// `path` as seen from `base`: `.` and `..` taken away by name. Exact unless `..` follows a symbolic link.
pub(super) fn join(base: Option<&ByteString>, path: &[u8]) -> Option<ByteString> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let start = if path.starts_with(b"/") { &b""[..] } else { base?.as_bytes() };
    for part in start.split(|b| *b == b'/').chain(path.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut joined = Vec::new();
    for part in parts {
        joined.push(b'/');
        joined.extend_from_slice(part);
    }
    if joined.is_empty() {
        joined.push(b'/');
    }
    Some(ByteString::from(joined))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn results_are_read_in_every_form() {
        let cases: &[(&str, Option<Outcome>)] = &[
            ("() = 0", Some(Outcome::Returned(0))),
            ("(0)         = ?", Some(Outcome::Nothing)),
            ("() = 7 <0.000012>", Some(Outcome::Returned(7))),
            ("() = 7<sleep>", Some(Outcome::Returned(7))),
            ("() = 7 /* 30412 in strace's PID NS */", Some(Outcome::Returned(30412))),
            ("(\") = 0\", [\"x) = 9\"], 0x1) = -1 ENOENT (No such file or directory)", Some(Outcome::Failed(2))),
            ("() = ? ERESTARTNOINTR (To be restarted)", Some(Outcome::Nothing)),
            ("() = -38", Some(Outcome::Failed(38))),
            ("() = 0x1f", Some(Outcome::Returned(31))),
            ("(\"a = b\"", None),
            ("() = ", None),
        ];
        for (text, expect) in cases {
            assert_eq!(outcome(text.as_bytes()), *expect, "{text}");
        }
    }

    #[test]
    fn clone_flags_tell_threads_from_processes() {
        let info = |text: &str| clone_info(b"clone", text.as_bytes());
        let fork = info("(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7)");
        assert_eq!((fork.how, fork.thread), (SpawnKind::Fork, false));
        let thread = info("({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM, child");
        assert!(thread.thread);
        let spawn = info("({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x7}, 88");
        assert_eq!((spawn.how, spawn.thread), (SpawnKind::Vfork, false));
        assert!(info("(child_stack=0x7, flags=0x3d0f00, x").thread);
        assert_eq!(info("(flags=CLONE_NEWPID|SIGCHLD)").how, SpawnKind::Clone);
        assert!(info("(flags=CLONE_PARENT|SIGCHLD)").sibling);
        assert_eq!(info("(?").how, SpawnKind::Clone);
    }

    #[test]
    fn exec_arguments_are_exact() {
        let call = exec(br#"("/bin/a", ["", "x\ny", "\377", "q\"]"], 0x7ffc /* 9 vars */) = 0"#, false).unwrap();
        assert_eq!(call.filename, Some(ByteString::from("/bin/a")));
        assert_eq!(call.argv.unwrap().iter().collect::<Vec<_>>(), [&b""[..], b"x\ny", b"\xff", b"q\"]"]);
        assert!(!call.truncated);
        assert_eq!(exec(br#"("/a", [], 0x0) = 0"#, false).unwrap().argv, Some(Argv::default()));
        assert_eq!(exec(br#"("/a", NULL, 0x0) = 0"#, false).unwrap().argv, Some(Argv::default()));
        assert_eq!(exec(br#"("/a", 0x5, 0x0) = -1 EFAULT (Bad address)"#, false).unwrap().argv, None);
        assert!(exec(br#"("/a", ["abc"..., "d", ...], 0x0) = 0"#, false).unwrap().truncated);
        let at = exec(br#"(AT_FDCWD</home/a\76b>, "x", ["x"], 0x0, 0) = 0"#, true).unwrap();
        assert_eq!(at.cwd, Some(ByteString::from("/home/a>b")));
        let fd = exec(br#"(3</bin/true>, "", ["true"], 0x0, AT_EMPTY_PATH) = 0"#, true).unwrap();
        assert_eq!(fd.base, Some(ByteString::from("/bin/true")));
        assert_eq!(exec(br#"("/a", ["x", "#, false), None);
        assert_eq!(exec(b"(", false), None);
    }

    #[test]
    fn directories_are_joined_by_name() {
        let home = ByteString::from("/home/a");
        let cases =
            [("b", "/home/a/b"), ("../..", "/"), ("/x/./y//z/", "/x/y/z"), (".", "/home/a"), ("../../../..", "/")];
        for (path, expect) in cases {
            assert_eq!(join(Some(&home), path.as_bytes()), Some(ByteString::from(expect)), "{path}");
        }
        assert_eq!(join(None, b"b"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text: Vec<u8>) {
            outcome(&text);
            clone_info(b"clone3", &text);
            exec(&text, false);
            exec(&text, true);
            descriptor(&text);
            path(&text);
        }

        #[test]
        fn arguments_round_trip_through_the_quoting(args: Vec<Vec<u8>>, all_hex: bool) {
            let argv: Argv = args.iter().collect();
            let mut text = b"(\"/x\", [".to_vec();
            for (index, arg) in argv.iter().enumerate() {
                if index > 0 {
                    text.extend_from_slice(b", ");
                }
                quote::write(arg, all_hex, &mut text);
            }
            text.extend_from_slice(b"], 0x1 /* 3 vars */) = 0");
            prop_assert_eq!(exec(&text, false).unwrap().argv, Some(argv));
            prop_assert_eq!(outcome(&text), Some(Outcome::Returned(0)));
        }
    }
}
