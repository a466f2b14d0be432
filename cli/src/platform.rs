//! What differs between operating systems for the command line. No other file of this crate names one.

use std::ffi::c_int;

/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(target_os = "linux")]
pub(crate) const NO_ATIME: c_int = nix::libc::O_NOATIME;
/// The flag of `open(2)` that leaves a file's time of access alone; nothing where there is none.
#[cfg(not(target_os = "linux"))]
pub(crate) const NO_ATIME: c_int = 0;
