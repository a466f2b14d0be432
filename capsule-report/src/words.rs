//! Durations, counts and signals in words, the same in every rendering.

/// `2.3 s`, `4 min 5 s`: three digits at most where that is enough.
#[must_use]
pub fn duration(ns: u64) -> String {
    let ms = ns / 1_000_000;
    let seconds = ms / 1000;
    match ms {
        0 if ns == 0 => "0 ms".to_owned(),
        0 => "<1 ms".to_owned(),
        1..=999 => format!("{ms} ms"),
        1000..=59_949 => {
            let tenths = (ms + 50) / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `100,000`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 process`, `2 processes`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

const LINUX: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

const MACOS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGEMT",
    "SIGFPE",
    "SIGKILL",
    "SIGBUS",
    "SIGSEGV",
    "SIGSYS",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGURG",
    "SIGSTOP",
    "SIGTSTP",
    "SIGCONT",
    "SIGCHLD",
    "SIGTTIN",
    "SIGTTOU",
    "SIGIO",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGINFO",
    "SIGUSR1",
    "SIGUSR2",
];

/// A signal's name on the recorded machine (`signal(7)`).
pub(crate) fn signal(number: i32, os: &str) -> String {
    let names = if os == "macos" { &MACOS } else { &LINUX };
    let known = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).and_then(|index| names.get(index));
    match known {
        Some(name) => (*name).to_owned(),
        None if (34..=64).contains(&number) && os != "macos" => format!("SIGRTMIN+{}", number - 34),
        None => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_and_never_show_sixty_seconds() {
        let of = |ms: u64| duration(ms * 1_000_000);
        assert_eq!(
            (of(0), of(999), of(1000), of(1234)),
            ("0 ms".into(), "999 ms".into(), "1.0 s".into(), "1.2 s".into())
        );
        assert_eq!((of(59_949), of(59_999), of(60_000)), ("59.9 s".into(), "0 min 59 s".into(), "1 min 0 s".into()));
        assert_eq!(duration(10), "<1 ms");
        assert_eq!(number(1_234_567), "1,234,567");
    }

    #[test]
    fn signals_are_named_as_on_their_system() {
        assert_eq!((signal(9, "linux").as_str(), signal(30, "macos").as_str()), ("SIGKILL", "SIGUSR1"));
        assert_eq!((signal(35, "linux").as_str(), signal(-1, "linux").as_str()), ("SIGRTMIN+1", "signal -1"));
    }
}
