//! The root command seen from its parent: its end, and its job-control stops.
//!
//! The user's shell waits for Capsule and knows nothing of the root. When Ctrl-Z stops the root, Capsule must be seen to
//! stop, or the terminal is lost to both.

use std::ffi::c_int;
use std::fs::File;
use std::io;

use capsule_core::{ExitStatus, Pid, ResourceUsage};
use nix::unistd::{tcgetpgrp, tcsetpgrp};

pub(crate) mod sys;

use sys::Fate;

/// Waits for the end of the root, a child of this process that another program or the kernel watches, and stops with it.
///
/// Blocks: it is for a thread of its own.
pub(crate) fn wait_for_end(root: Pid) -> io::Result<(ExitStatus, ResourceUsage)> {
    loop {
        match sys::wait_for_child(root)? {
            Fate::Stopped(signal) => {
                if must_stop_too(root, signal) {
                    stop_too(root);
                }
            }
            Fate::Ended(status, rusage) => return Ok((status, rusage)),
        }
    }
}

/// Whether Capsule must stop because `signal` stopped the root: a shell waits for it, and the stop is meant for the job.
fn must_stop_too(root: Pid, signal: c_int) -> bool {
    // SIGSTOP is also what programs stop each other with. The one in the foreground keeps the terminal from everybody.
    (signal != libc::SIGSTOP || has_terminal(root)) && sys::under_job_control()
}

/// Stops Capsule until the shell continues it, and sees to it that the root continues as it would have without Capsule.
pub(crate) fn stop_too(root: Pid) {
    let had_terminal = has_terminal(root);
    sys::stop_self();
    // The shell continued Capsule's group and gave it the terminal; the root may have left that group for its own.
    let (_, group) = sys::session_and_group(root.0);
    let Some(group) = group.filter(|group| Some(*group) != own_group()) else { return };
    if had_terminal
        && let Some(terminal) = terminal()
        && foreground(&terminal) == own_group()
        && let Ok(group) = i32::try_from(group)
    {
        // Without the terminal the root would only stop again, which says what is wrong.
        let _given = tcsetpgrp(&terminal, nix::unistd::Pid::from_raw(group));
    }
    sys::kill_group(group, libc::SIGCONT);
}

fn terminal() -> Option<File> {
    File::options().read(true).write(true).open("/dev/tty").ok()
}

fn foreground(terminal: &File) -> Option<u32> {
    tcgetpgrp(terminal).ok().and_then(|group| u32::try_from(group.as_raw()).ok())
}

fn own_group() -> Option<u32> {
    sys::session_and_group(0).1
}

/// Whether the root's group has the terminal.
fn has_terminal(root: Pid) -> bool {
    let group = sys::session_and_group(root.0).1;
    group.is_some() && terminal().is_some_and(|terminal| foreground(&terminal) == group)
}
