//! What another process's socket is: a duplicate of its descriptor is asked.
#![expect(unsafe_code, reason = "pidfd_getfd and the socket's own questions, with buffers of known size")]

use std::ffi::{c_int, c_long};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// A duplicate of the descriptor `fd` of the process `pid`. Closed again when dropped.
pub(super) fn duplicate(pid: u32, fd: u32) -> Option<OwnedFd> {
    // SAFETY: plain numbers; each new descriptor is owned at once, so that none leaks.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0 as c_long);
        let process = OwnedFd::from_raw_fd(c_int::try_from(process).ok().filter(|fd| *fd >= 0)?);
        let copy =
            libc::syscall(libc::SYS_pidfd_getfd, c_long::from(process.as_raw_fd()), c_long::from(fd), 0 as c_long);
        Some(OwnedFd::from_raw_fd(c_int::try_from(copy).ok().filter(|fd| *fd >= 0)?))
    }
}

/// An option of a socket that is a number.
pub(super) fn option(socket: &OwnedFd, option: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<c_int>()).ok()?;
    // SAFETY: the value is as long as said.
    let asked = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length)
    };
    (asked == 0).then_some(value)
}

/// The address that a socket is bound to.
pub(super) fn own_address(socket: &OwnedFd) -> Option<Vec<u8>> {
    let mut address = MaybeUninit::<[u8; 128]>::zeroed();
    let mut length = 128;
    // SAFETY: the buffer is as long as said; zeroed bytes are bytes.
    unsafe {
        if libc::getsockname(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length) != 0 {
            return None;
        }
        address.assume_init_ref().get(..usize::try_from(length).ok()?).map(<[u8]>::to_vec)
    }
}
