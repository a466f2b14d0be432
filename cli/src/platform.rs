//! What differs between operating systems for the command line. No other file of this crate names one.

use std::ffi::c_int;

/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(target_os = "linux")]
pub(crate) const NO_ATIME: c_int = nix::libc::O_NOATIME;
/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(not(target_os = "linux"))]
pub(crate) const NO_ATIME: c_int = 0;

/// Lets everybody else go first from now on. The niceness is the calling thread's, and of what it starts.
#[cfg(target_os = "linux")]
pub(crate) fn give_way() {
    // A system that refuses leaves it as it is: the work gets done all the same.
    let _refused = rustix::process::setpriority_process(None, 10);
}
/// Lets nobody go first: niceness would be the whole process's.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_way() {}
