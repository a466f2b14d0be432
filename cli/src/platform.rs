//! What differs between operating systems for the command line. No other file of this crate names one.

use std::ffi::c_int;

/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(target_os = "linux")]
pub(crate) const NO_ATIME: c_int = nix::libc::O_NOATIME;
/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(not(target_os = "linux"))]
pub(crate) const NO_ATIME: c_int = 0;

/// How much nicer than the rest of Capsule: enough that the scheduler prefers the traced program by far, and not so much
/// that others who want every core bring the recording to a stop.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Makes the calling thread, and what it starts, nicer (`setpriority(2)`). On Linux niceness belongs to a thread.
#[cfg(target_os = "linux")]
pub(crate) fn give_way() {
    let now = rustix::process::getpriority_process(None).unwrap_or(0);
    // A system that refuses leaves it as it is: the work gets done all the same.
    rustix::process::setpriority_process(None, now.saturating_add(NICER).min(19)).unwrap_or(());
}
/// Nothing: elsewhere niceness would be the whole process's.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn give_way() {}

/// The flag of `open(2)` with which a directory is only passed through, which needs no right to read it.
#[cfg(target_os = "linux")]
pub(crate) const PASS: c_int = nix::libc::O_PATH;
/// The flag of `open(2)` with which a directory is only passed through; here it is read.
#[cfg(not(target_os = "linux"))]
pub(crate) const PASS: c_int = nix::libc::O_RDONLY;

/// This program, whatever was put in the place of its file since it was started; none where the system has no such name.
#[cfg(target_os = "linux")]
pub(crate) const THIS_PROGRAM: Option<&str> = Some("/proc/self/exe");
/// This program; here only a path could name it, and something else may stand there by now.
#[cfg(not(target_os = "linux"))]
pub(crate) const THIS_PROGRAM: Option<&str> = None;
