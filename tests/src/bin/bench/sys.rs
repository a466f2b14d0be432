//! What a program used, by `wait4(2)`: the standard library waits without asking.
#![expect(unsafe_code, reason = "the standard library and nix have no wait4")]

use std::io;
use std::process::Child;
use std::time::Duration;

/// What one program used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    /// Whether it ended with 0.
    pub(super) success: bool,
    /// CPU time of all its threads, in the kernel too.
    pub(super) cpu: Duration,
    /// The most memory that it held at once, in KiB (`ru_maxrss`).
    pub(super) peak_kib: u64,
}

/// Waits for `child` and says what it used.
///
/// # Errors
/// When it cannot be waited for.
pub(super) fn wait(child: &Child) -> io::Result<Usage> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zeroes is a valid rusage, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to our own memory, of the right types, and outlive the call.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.unsigned_abs()) + Duration::from_micros(value.tv_usec.unsigned_abs())
    };
    Ok(Usage {
        success: libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak_kib: usage.ru_maxrss.unsigned_abs(),
    })
}
