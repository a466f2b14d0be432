//! The calls to macOS's `libproc.h` and `sysctl(3)`.
#![expect(unsafe_code, reason = "libproc and sysctl are C interfaces")]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use nix::libc;

/// `PROC_PIDTBSDINFO`: ids, group, terminal.
pub(super) fn basic(pid: u32) -> Option<libc::proc_bsdinfo> {
    info(pid, libc::PROC_PIDTBSDINFO)
}

/// The working directory.
pub(super) fn directory(pid: u32) -> Option<Vec<u8>> {
    let info: libc::proc_vnodepathinfo = info(pid, libc::PROC_PIDVNODEPATHINFO)?;
    let path = info.pvi_cdir.vip_path.as_flattened();
    let bytes: Vec<u8> = path.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned()).collect();
    (!bytes.is_empty()).then_some(bytes)
}

/// A whole structure of `proc_pidinfo`; `None` where the process is gone or not ours to ask about.
fn info<T>(pid: u32, flavor: libc::c_int) -> Option<T> {
    let size = libc::c_int::try_from(size_of::<T>()).ok()?;
    let pid = libc::c_int::try_from(pid).ok()?;
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `value` is a writable buffer of exactly `size` bytes, which is all that the call may write.
    let written = unsafe { libc::proc_pidinfo(pid, flavor, 0, value.as_mut_ptr().cast(), size) };
    // SAFETY: the types asked for are plain C structures of integers and arrays of integers, for which zeroes, and
    // whatever the kernel wrote over them, are valid values.
    (written == size).then(|| unsafe { value.assume_init() })
}

/// The executable's path.
pub(super) fn path(pid: u32) -> Option<Vec<u8>> {
    let mut buffer = vec![0_u8; usize::try_from(libc::PROC_PIDPATHINFO_MAXSIZE).ok()?];
    let size = u32::try_from(buffer.len()).ok()?;
    // SAFETY: the buffer is writable for `size` bytes.
    let length = unsafe { libc::proc_pidpath(libc::c_int::try_from(pid).ok()?, buffer.as_mut_ptr().cast(), size) };
    let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
    buffer.truncate(length);
    Some(buffer)
}

/// The session's id.
pub(super) fn session(pid: u32) -> Option<u32> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).ok()?);
    u32::try_from(nix::unistd::getsid(Some(pid)).ok()?.as_raw()).ok()
}

/// The path of a terminal by its device number.
pub(super) fn terminal(device: u32) -> Option<Vec<u8>> {
    // SAFETY: devname takes two numbers and returns null or a string in memory of its own, which stays until the next call
    // from this thread; it is copied at once.
    let name = unsafe {
        let name = libc::devname(device.cast_signed(), libc::S_IFCHR);
        if name.is_null() {
            return None;
        }
        CStr::from_ptr(name).to_bytes().to_vec()
    };
    Some([&b"/dev/"[..], &name].concat())
}

/// The block of `KERN_PROCARGS2`: argument count, executable's path, arguments, environment.
pub(super) fn arguments(pid: u32) -> Option<Vec<u8>> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, libc::c_int::try_from(pid).ok()?];
    let mut size = 1_usize << 20;
    let mut buffer = vec![0_u8; size];
    // SAFETY: `name` has the three elements announced, and `buffer` is writable for `size` bytes; nothing is set.
    let failed =
        unsafe { libc::sysctl(name.as_mut_ptr(), 3, buffer.as_mut_ptr().cast(), &raw mut size, ptr::null_mut(), 0) };
    if failed != 0 {
        return None;
    }
    buffer.truncate(size);
    Some(buffer)
}
