//! The machine that a session runs on.

use capsule_core::HostInfo;

/// The machine's name, system, kernel and architecture, as `uname(2)` tells them.
#[must_use]
pub fn host() -> HostInfo {
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    match nix::sys::utsname::uname() {
        Ok(names) => HostInfo {
            name: text(names.nodename()),
            os: std::env::consts::OS.to_owned(),
            kernel: text(names.release()),
            arch: std::env::consts::ARCH.to_owned(),
        },
        // Nothing on this system says more.
        Err(_) => HostInfo {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            ..HostInfo::default()
        },
    }
}
