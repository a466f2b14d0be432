//! The system calls behind waiting for the root and stopping with it.
#![expect(unsafe_code, reason = "wait4, kill and process groups, as plain numbers")]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;

use capsule_core::{ExitStatus, Pid, ResourceUsage};

/// Sends a signal to a process. One that is gone has what it needs.
pub(crate) fn kill(pid: u32, signal: c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: plain numbers.
        unsafe {
            libc::kill(pid, signal);
        }
    }
}

/// Whether there is a process `pid`, a zombie included.
pub(crate) fn exists(pid: u32) -> bool {
    // SAFETY: signal 0 is not sent: the call only says whether it could be.
    let asked =
        |pid| unsafe { libc::kill(pid, 0) } == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    libc::pid_t::try_from(pid).is_ok_and(asked)
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(group: u32, signal: c_int) {
    if let Ok(group) = libc::pid_t::try_from(group) {
        // SAFETY: plain numbers.
        unsafe {
            libc::killpg(group, signal);
        }
    }
}

/// Session and process group of a process.
pub(crate) fn session_and_group(pid: u32) -> (Option<u32>, Option<u32>) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return (None, None) };
    // SAFETY: plain numbers.
    let (session, group) = unsafe { (libc::getsid(pid), libc::getpgid(pid)) };
    (u32::try_from(session).ok(), u32::try_from(group).ok())
}

/// Whether a shell that does job control watches this process: its parent is in the same session and another group.
pub(crate) fn under_job_control() -> bool {
    // SAFETY: plain numbers; a parent that is gone makes the calls fail.
    unsafe {
        let parent = crate::handoff::shell().unwrap_or_else(|| libc::getppid());
        libc::getsid(parent) == libc::getsid(0) && libc::getpgid(parent) != libc::getpgrp()
    }
}

/// Stops this process, all threads, until somebody continues it.
pub(crate) fn stop_self() {
    // To this thread: sent to the process, another thread could take it while this one runs on.
    // SAFETY: plain numbers, and a thread that is there.
    unsafe {
        libc::pthread_kill(libc::pthread_self(), libc::SIGSTOP);
    }
}

/// A counter of the C library, whose type differs from system to system.
fn positive(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or(0)
}

/// What `getrusage(2)` counted.
pub(crate) fn resources(usage: &libc::rusage) -> ResourceUsage {
    let micros = |time: libc::timeval| positive(time.tv_sec).saturating_mul(1_000_000) + positive(time.tv_usec);
    ResourceUsage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_kib: positive(usage.ru_maxrss),
        major_faults: positive(usage.ru_majflt),
        blocks_in: positive(usage.ru_inblock),
        blocks_out: positive(usage.ru_oublock),
    }
}

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A signal stopped it.
    Stopped(c_int),
    /// It ended.
    Ended(ExitStatus, ResourceUsage),
}

/// Waits until the child `pid` stops or ends.
pub(crate) fn wait_for_child(pid: Pid) -> io::Result<Fate> {
    let child = libc::pid_t::try_from(pid.0).map_err(io::Error::other)?;
    loop {
        let mut status = 0;
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: both pointers are valid; a zeroed rusage is a valid one where the kernel writes none.
        if unsafe { libc::wait4(child, &raw mut status, libc::WUNTRACED, usage.as_mut_ptr()) } == -1 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        if libc::WIFSTOPPED(status) {
            return Ok(Fate::Stopped(libc::WSTOPSIG(status)));
        }
        // SAFETY: see above.
        let rusage = resources(unsafe { usage.assume_init_ref() });
        let ended = if libc::WIFEXITED(status) {
            ExitStatus::Exited(libc::WEXITSTATUS(status))
        } else {
            ExitStatus::Signaled { signal: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
        };
        return Ok(Fate::Ended(ended, rusage));
    }
}
