//! Signal dispositions by POSIX alone, groups as the BSDs have them, and a note taken before `main`.
#![expect(unsafe_code, reason = "signal dispositions and group lists have no safe interface")]

use std::ffi::{CStr, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use crate::command::sys::take_early_note;

// SAFETY: the section holds pointers to functions that dyld calls before main; this one has the C calling convention,
// allocates nothing and calls async-signal-safe functions only.
#[used]
#[unsafe(link_section = "__DATA,__mod_init_func")]
static TAKE_EARLY_NOTE: extern "C" fn() = take_early_note;

/// Whether `signal` is ignored now.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null action only asks; the old one is read only when the call succeeded.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init_ref().sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores `signal`, or puts its default back.
///
/// # Safety
/// Must run where no other code of this process relies on the signal: in a forked child before its exec.
pub(crate) unsafe fn dispose(signal: c_int, ignore: bool) {
    // SAFETY: all bits zero is a valid action; neither disposition runs code.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = if ignore { libc::SIG_IGN } else { libc::SIG_DFL };
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

/// Sets the supplementary groups (`setgroups(2)`); 0 where that succeeded.
///
/// # Safety
/// Meant for a forked child: async-signal-safe, allocates nothing.
pub(crate) unsafe fn set_groups(groups: &[libc::gid_t]) -> c_int {
    let Ok(length) = c_int::try_from(groups.len()) else { return -1 };
    // SAFETY: a slice is as long as it says.
    unsafe { libc::setgroups(length, groups.as_ptr()) }
}

/// The ids of all groups that the group database has `name` in, `group` included (`getgrouplist(3)`).
pub(crate) fn groups_of(name: &CStr, group: u32) -> io::Result<Vec<u32>> {
    let group = c_int::try_from(group).map_err(io::Error::other)?;
    // What macOS lets a process have is 16; the database may name more.
    let mut room: c_int = 64;
    loop {
        let mut groups = vec![0; usize::try_from(room).map_err(io::Error::other)?];
        let mut count = room;
        // SAFETY: `groups` has room for `count` ids, and the call writes no more.
        let fitted = unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &raw mut count) } >= 0;
        if fitted {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return groups.into_iter().map(|id| u32::try_from(id).map_err(io::Error::other)).collect();
        }
        if room > 1 << 16 {
            return Err(io::Error::other("the user is in too many groups"));
        }
        room *= 2;
    }
}
