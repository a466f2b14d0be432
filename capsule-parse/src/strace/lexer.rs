//! One line of strace's output, taken apart: who, and what kind of line.
//!
//! Every form that `-f`, `-o`, `-t`, `-tt`, `-ttt`, `-r` and `-Y` give is read without being told which was used. The time
//! in front is passed over: the record has it already.

/// `PID_MAX_LIMIT`: a larger number in front of a line is a time in whole seconds.
const LARGEST_PID: u64 = 1 << 22;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `name(args) = result`, whole.
    Call {
        /// The system call.
        name: &'a [u8],
        /// From the opening parenthesis on.
        rest: &'a [u8],
    },
    /// `name(args <unfinished ...>`.
    Unfinished {
        /// The system call.
        name: &'a [u8],
        /// From the opening parenthesis to before the mark.
        rest: &'a [u8],
    },
    /// `<... name resumed>rest`.
    Resumed {
        /// The system call.
        name: &'a [u8],
        /// What follows the mark.
        rest: &'a [u8],
    },
    /// `+++ exited with N +++`.
    Exited(i32),
    /// `+++ killed by SIGNAME (core dumped) +++`.
    Killed {
        /// The signal's name.
        signal: &'a [u8],
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// `+++ superseded by execve in pid N +++`.
    Superseded(u32),
    /// strace let go of the process.
    Detached,
    /// Signals, notices, stack traces: nothing to record.
    Nothing,
    /// None of these.
    Unknown,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The thread, where the line names it.
    pub(super) tid: Option<u32>,
    pub(super) kind: Kind<'a>,
}

/// What stands before `strace: Process N attached`, where that ends the line without having begun it.
pub(super) fn before_notice(line: &[u8]) -> Option<&[u8]> {
    let notice = b"strace: Process ";
    let at = memchr::memmem::rfind(line.strip_suffix(b" attached")?, notice)?;
    let (id, _) = number(line.get(at + notice.len()..)?).filter(|(_, rest)| *rest == b" attached")?;
    (at > 0 && id > 0).then(|| line.get(..at)).flatten()
}

/// Takes `line` apart.
pub(super) fn line(line: &[u8]) -> Line<'_> {
    let line = line.trim_ascii_end();
    let mut rest = line;
    let mut tid = None;
    if let Some(bracketed) = rest.strip_prefix(b"[pid ") {
        if let Some((number, after)) = number(bracketed.trim_ascii_start())
            && let Some(after) = skip_comm(after).strip_prefix(b"]")
        {
            (tid, rest) = (u32::try_from(number).ok(), after.trim_ascii_start());
        }
    } else if let Some((number, after)) = number(rest.trim_ascii_start())
        && let Some(b' ' | b'<') = after.first()
        && after != b" "
        && number <= LARGEST_PID
    {
        let after = skip_comm(after);
        (tid, rest) = (u32::try_from(number).ok(), after.trim_ascii_start());
    }
    Line { tid, kind: kind(after_time(rest).trim_ascii_start()) }
}

/// Skips `<name>` after a pid (`-Y`); strace escapes `>` inside it.
fn skip_comm(text: &[u8]) -> &[u8] {
    match text {
        [b'<', rest @ ..] => memchr::memchr(b'>', rest).and_then(|end| rest.get(end + 1..)).unwrap_or(text),
        _ => text,
    }
}

/// The decimal number that `text` begins with, and what follows it.
pub(super) fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let (head, rest) = text.split_at_checked(digits)?;
    let number = std::str::from_utf8(head).ok()?.parse().ok()?;
    Some((number, rest))
}

/// What follows the time that `text` may begin with.
fn after_time(text: &[u8]) -> &[u8] {
    let trimmed = text.strip_prefix(b"+").unwrap_or(text).trim_ascii_start();
    let length = trimmed.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b':')).count();
    let (time, after) = trimmed.split_at(length);
    if !time.first().is_some_and(u8::is_ascii_digit) || after.first() != Some(&b' ') {
        return text;
    }
    // `-r` beside `-t`: `(+     0.000123)`.
    let rest = after.trim_ascii_start();
    let relative = rest.strip_prefix(b"(+").and_then(|inside| Some((inside, memchr::memchr(b')', inside)?)));
    relative.and_then(|(inside, end)| inside.get(end + 1..)).unwrap_or(rest)
}

fn kind(text: &[u8]) -> Kind<'_> {
    match text {
        [] | [b'>', ..] | [b'[', b' ', ..] => Kind::Nothing,
        [b'+', b'+', b'+', b' ', rest @ ..] => death(rest),
        [b'-', b'-', b'-', b' ', ..] => Kind::Nothing,
        [b'<', b'.', b'.', b'.', b' ', rest @ ..] => resumed(rest),
        [b'<', rest @ ..] if rest.starts_with(b"detached ...>") => Kind::Detached,
        _ if text.starts_with(b"strace: ") || text.starts_with(b"Process ") => Kind::Nothing,
        _ => call(text),
    }
}

fn death(text: &[u8]) -> Kind<'_> {
    let Some(text) = text.strip_suffix(b" +++") else { return Kind::Unknown };
    if let Some(code) = text.strip_prefix(b"exited with ") {
        let code = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        return code.map_or(Kind::Unknown, Kind::Exited);
    }
    if let Some(signal) = text.strip_prefix(b"killed by ") {
        let (signal, core_dumped) = match signal.strip_suffix(b" (core dumped)") {
            Some(signal) => (signal, true),
            None => (signal, false),
        };
        return Kind::Killed { signal, core_dumped };
    }
    match text.strip_prefix(b"superseded by execve in pid ").and_then(number) {
        Some((tid, _)) => u32::try_from(tid).map_or(Kind::Unknown, Kind::Superseded),
        None => Kind::Unknown,
    }
}

fn resumed(text: &[u8]) -> Kind<'_> {
    let length = text.iter().take_while(|b| is_name(**b)).count();
    let (name, rest) = text.split_at(length);
    match rest.strip_prefix(b" resumed>") {
        Some(rest) if !name.is_empty() => Kind::Resumed { name, rest },
        _ => Kind::Unknown,
    }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'?')
}

fn call(text: &[u8]) -> Kind<'_> {
    let length = text.iter().take_while(|b| is_name(**b)).count();
    let (name, rest) = text.split_at(length);
    if name.is_empty() || rest.first() != Some(&b'(') {
        return Kind::Unknown;
    }
    if let Some(begun) = rest.strip_suffix(b"<unfinished ...>") {
        return Kind::Unfinished { name, rest: begun.strip_suffix(b" ").unwrap_or(begun) };
    }
    // strace's word for an exec by a thread that is not the leader: the leader's pid will resume it.
    if let Some(mark) = rest.strip_suffix(b" ...>")
        && let Some(start) = mark.iter().rposition(|byte| *byte == b'<')
        && let (begun, mark) = mark.split_at(start)
        && mark.strip_prefix(b"<pid changed to ").is_some_and(|pid| number(pid).is_some())
    {
        return Kind::Unfinished { name, rest: begun.strip_suffix(b" ").unwrap_or(begun) };
    }
    if rest.ends_with(b"<detached ...>") {
        return Kind::Detached;
    }
    Kind::Call { name, rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_prefix_is_read() {
        let with_pid = [
            "12 ",
            "12    ",
            "[pid 12] ",
            "[pid    12] ",
            "[pid 12<my (sh>] ",
            "12<sh> 1795388042.673031 ",
            "12 1795388042.673031 ",
            "12 1795388042 ",
            "12 1795388042.673031123 ",
            "12 00:01:02 ",
            "12 00:01:02.5 ",
            "[pid 12] 00:01:02.000001 ",
            "12      0.000123 ",
            "12 1795388042.673031 (+     0.000123) ",
        ];
        let call = Kind::Call { name: b"fork", rest: b"() = 2" };
        for prefix in with_pid {
            assert_eq!(line(format!("{prefix}fork() = 2").as_bytes()), Line { tid: Some(12), kind: call }, "{prefix}");
        }
        for prefix in ["", "1795388042.673031 ", "     0.000123 ", "00:01:02 ", "1795388042 "] {
            assert_eq!(line(format!("{prefix}fork() = 2").as_bytes()), Line { tid: None, kind: call }, "{prefix}");
        }
    }

    #[test]
    fn every_kind_of_line_is_told_apart() {
        let cases: &[(&str, Kind<'_>)] = &[
            ("1 +++ exited with 7 +++", Kind::Exited(7)),
            ("1 +++ killed by SIGSEGV +++", Kind::Killed { signal: b"SIGSEGV", core_dumped: false }),
            ("1 +++ killed by SIGABRT (core dumped) +++", Kind::Killed { signal: b"SIGABRT", core_dumped: true }),
            ("1 +++ superseded by execve in pid 32721 +++", Kind::Superseded(32721)),
            ("1 --- SIGCHLD {si_signo=SIGCHLD} ---", Kind::Nothing),
            ("1 --- stopped by SIGSTOP ---", Kind::Nothing),
            ("strace: Process 7 attached", Kind::Nothing),
            ("1 clone3({flags=0 <unfinished ...>", Kind::Unfinished { name: b"clone3", rest: b"({flags=0" }),
            (
                "1 execve(\"a\", [\"b\"], 0x1 <pid changed to 7 ...>",
                Kind::Unfinished { name: b"execve", rest: b"(\"a\", [\"b\"], 0x1" },
            ),
            ("1 vfork( <unfinished ...>", Kind::Unfinished { name: b"vfork", rest: b"(" }),
            ("1 <... vfork resumed>) = 7", Kind::Resumed { name: b"vfork", rest: b") = 7" }),
            ("1 <... vfork resumed> ) = 7", Kind::Resumed { name: b"vfork", rest: b" ) = 7" }),
            ("1 wait4(-1,  <detached ...>", Kind::Detached),
            (" > /lib/libc.so.6(execve+0x7) [0xcc]", Kind::Nothing),
            ("", Kind::Nothing),
            ("1 ???", Kind::Unknown),
            ("1 +++ exited with x +++", Kind::Unknown),
            ("hello world", Kind::Unknown),
        ];
        for (text, kind) in cases {
            assert_eq!(line(text.as_bytes()).kind, *kind, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text: Vec<u8>) {
            line(&text);
        }

        #[test]
        fn any_text_after_a_prefix_is_taken(prefix in "(\\[pid [0-9]{0,12}\\]|[0-9]{0,22})[ <>.:+(]{0,3}[0-9:.]{0,20}", rest in "[ -~]{0,30}") {
            line(format!("{prefix}{rest}").as_bytes());
        }
    }
}
