//! What a wait status means. Pure, and the one place that takes status words apart.

use std::ffi::c_int;

use capsule_core::{ExitStatus, SpawnKind};

/// Why a tracee or child changed state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It ended; for a thread group's leader: the whole process has.
    Ended(ExitStatus),
    /// It made a process or thread; the kernel's guess at how.
    Spawned(SpawnKind),
    /// It executed a program.
    Executed,
    /// A job-control stop by this signal.
    Group(c_int),
    /// The first stop of a new tracee, the end of a job-control stop, or an interrupt.
    Trap,
    /// It is about to make a call that the filter stops at.
    Call,
    /// A call that was waited for has returned.
    Returned,
    /// It is about to get this signal.
    Signal(c_int),
    /// Something this tracer did not ask for.
    Other,
}

const EVENT_STOP: c_int = 128;

/// Takes a status of `wait4(2)` apart.
pub(super) fn decode(status: c_int) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Ended(ExitStatus::Exited(libc::WEXITSTATUS(status)));
    }
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        return Stop::Ended(ExitStatus::Signaled { signal, core_dumped: libc::WCOREDUMP(status) });
    }
    if !libc::WIFSTOPPED(status) {
        return Stop::Other;
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Stop::Returned,
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_SECCOMP => Stop::Call,
        libc::PTRACE_EVENT_FORK => Stop::Spawned(SpawnKind::Fork),
        libc::PTRACE_EVENT_VFORK => Stop::Spawned(SpawnKind::Vfork),
        libc::PTRACE_EVENT_CLONE => Stop::Spawned(SpawnKind::Clone),
        libc::PTRACE_EVENT_EXEC => Stop::Executed,
        EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Stop::Group(signal),
            _ => Stop::Trap,
        },
        _ => Stop::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stop_is_not_a_signal_to_deliver() {
        let stopped = |signal: c_int, event: c_int| event << 16 | signal << 8 | 0x7f;
        assert_eq!(decode(stopped(libc::SIGTSTP, 128)), Stop::Group(libc::SIGTSTP));
        assert_eq!(decode(stopped(libc::SIGTSTP, 0)), Stop::Signal(libc::SIGTSTP));
        assert_eq!(decode(stopped(libc::SIGTRAP, 128)), Stop::Trap);
        assert_eq!(decode(stopped(libc::SIGTRAP, 4)), Stop::Executed);
        assert_eq!(decode(stopped(libc::SIGTRAP, 0)), Stop::Signal(libc::SIGTRAP));
        assert_eq!(decode(3 << 8), Stop::Ended(ExitStatus::Exited(3)));
        assert_eq!(decode(9), Stop::Ended(ExitStatus::Signaled { signal: 9, core_dumped: false }));
        assert_eq!(decode(0x80 | 11), Stop::Ended(ExitStatus::Signaled { signal: 11, core_dumped: true }));
    }
}
