//! The system's own answer to "what is this process now?". The one file here that names a platform.

use capsule_core::{NoProc, ProcSource};

use crate::procfs::LinuxProc;

#[cfg(target_os = "macos")]
mod mac;
#[cfg(any(target_os = "macos", test))]
mod procargs;
#[cfg(target_os = "macos")]
mod sys;

/// What this platform offers: `/proc` on Linux, libproc on macOS, nothing elsewhere.
#[must_use]
pub fn system() -> Box<dyn ProcSource> {
    if cfg!(target_os = "linux") {
        return Box::new(LinuxProc::default());
    }
    #[cfg(target_os = "macos")]
    {
        Box::new(mac::MacProc::default())
    }
    #[cfg(not(target_os = "macos"))]
    {
        Box::new(NoProc)
    }
}

/// Nobody to ask: for recordings, whose processes are gone.
#[must_use]
pub fn nobody() -> Box<dyn ProcSource> {
    Box::new(NoProc)
}
