//! The system calls of Linux behind starting a command: dispositions of all 64 signals, and a seccomp filter.
#![expect(unsafe_code, reason = "signal dispositions and seccomp(2) have no safe interface")]

use std::ffi::c_int;
use std::ptr;

use super::Filter;
use crate::command::sys::take_early_note;
use crate::ptrace::filter::Instruction;

/// The largest signal number.
pub(crate) const LAST_SIGNAL: c_int = 64;

// SAFETY: the section holds pointers to functions that the C runtime calls before main; this one has the C calling
// convention, allocates nothing and calls async-signal-safe functions only.
#[used]
#[unsafe(link_section = ".init_array")]
static TAKE_EARLY_NOTE: extern "C" fn() = take_early_note;

/// `struct sigaction` of the kernel: handler, flags, restorer, mask (the same on x86_64 and aarch64).
///
/// The C library's own function refuses the two signals that its threads use (32 and 33), although a program can
/// inherit them ignored like any other.
type KernelAction = [usize; 4];

/// Whether `signal` is ignored now.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    let mut action: KernelAction = [0; 4];
    // SAFETY: a null action only asks; `action` is as large as the kernel's structure with a mask of 8 bytes.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, ptr::null::<KernelAction>(), action.as_mut_ptr(), 8_usize)
    };
    done == 0 && action.first() == Some(&libc::SIG_IGN)
}

/// Ignores `signal`, or puts its default back.
///
/// # Safety
/// Must run where no other code of this process relies on the signal: in a forked child before its exec.
pub(crate) unsafe fn dispose(signal: c_int, ignore: bool) {
    let action: KernelAction = [if ignore { libc::SIG_IGN } else { libc::SIG_DFL }, 0, 0, 0];
    // SAFETY: `action` is a whole kernel structure with a mask of 8 bytes; neither disposition runs code.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), ptr::null_mut::<KernelAction>(), 8_usize) };
}

/// Sets the supplementary groups (`setgroups(2)`); 0 where that succeeded.
///
/// # Safety
/// Meant for a forked child: async-signal-safe, allocates nothing.
pub(crate) unsafe fn set_groups(groups: &[libc::gid_t]) -> c_int {
    // SAFETY: a slice is as long as it says.
    unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }
}

/// `struct sock_fprog`.
#[repr(C)]
struct FilterProgram {
    length: u16,
    instructions: *const Instruction,
}

/// A seccomp filter as the kernel wants it, made before the fork.
pub(crate) struct Confinement {
    program: FilterProgram,
    no_new_privs: bool,
}

impl Confinement {
    /// `filter`, which must outlive this. `None`: it is longer than the kernel takes.
    pub(crate) fn new(filter: &Filter) -> Option<Self> {
        let length = u16::try_from(filter.program.len()).ok()?;
        let program = FilterProgram { length, instructions: filter.program.as_ptr() };
        Some(Self { program, no_new_privs: filter.no_new_privs })
    }

    /// Puts it on this process for ever; whether that succeeded, else `errno` says why not.
    ///
    /// # Safety
    /// The filter that it was made of must still be there. Meant for a forked child: async-signal-safe, allocates nothing.
    pub(crate) unsafe fn take_on(&self) -> bool {
        const SET_MODE_FILTER: libc::c_long = 1;
        // Without it the kernel would slow the program down for fear of the filter's being spied on.
        const SPEC_ALLOW: libc::c_long = 4;
        let (one, zero): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: the pointers are to a whole program that the caller keeps.
        unsafe {
            (!self.no_new_privs || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) == 0)
                && libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, SPEC_ALLOW, ptr::from_ref(&self.program)) == 0
        }
    }
}
