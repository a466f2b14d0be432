//! The system calls of the ptrace tracer, each as a small safe function.
//!
//! All of them act on other processes by number; none can break the memory safety of this one.
#![expect(unsafe_code, reason = "ptrace, wait4, process_vm_readv and signals have no safe interface that fits")]

use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;
use std::sync::Once;

use capsule_core::ResourceUsage;

use super::arch;
use crate::root::sys::resources;

/// Stops where the filter says so, tells those stops from signals, and ends the traced with the tracer: without one, the
/// calls that the filter stops would fail.
pub(super) const FILTERED: c_int = libc::PTRACE_O_TRACESECCOMP | libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;

/// Stops on new processes and threads and on exec; nothing that kills or outlives the tracer.
pub(super) const FOLLOW: c_int =
    libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;

fn request(request: c_uint, tid: u32, address: *mut c_void, data: *mut c_void) -> io::Result<()> {
    let tid = libc::pid_t::try_from(tid).map_err(io::Error::other)?;
    // SAFETY: the requests made through here either take plain numbers or get pointers to objects of the size they write.
    if unsafe { libc::ptrace(request, tid, address, data) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn number(value: c_int) -> *mut c_void {
    ptr::without_provenance_mut(usize::try_from(value).unwrap_or(0))
}

/// Attaches without stopping it.
pub(super) fn seize(tid: u32, options: c_int) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, ptr::null_mut(), number(options))
}

/// Lets it go on, delivering `signal` (0: none).
pub(super) fn resume(tid: u32, signal: c_int) -> io::Result<()> {
    request(libc::PTRACE_CONT, tid, ptr::null_mut(), number(signal))
}

/// Lets it go on until the call that it is about to make has returned.
pub(super) fn resume_to_result(tid: u32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, ptr::null_mut(), ptr::null_mut())
}

/// What `PTRACE_GET_SYSCALL_INFO` writes, as words: what it is and the processor, where, the stack, then what belongs to it.
fn call_info(tid: u32) -> io::Result<[u64; 11]> {
    const GET_SYSCALL_INFO: c_uint = 0x420e;
    let mut info = [0_u64; 11];
    let size = ptr::without_provenance_mut(size_of_val(&info));
    request(GET_SYSCALL_INFO, tid, size, info.as_mut_ptr().cast())?;
    Ok(info)
}

/// The number and arguments of the call that it is stopped before.
pub(super) fn call_begun(tid: u32) -> io::Result<(u64, [u64; 6])> {
    let [_, _, _, number, args @ .., _] = call_info(tid)?;
    Ok((number, args))
}

/// What the call that it is stopped behind returned; negative error numbers for failures.
pub(super) fn call_result(tid: u32) -> io::Result<i64> {
    let [_, _, _, result, ..] = call_info(tid)?;
    Ok(result.cast_signed())
}

/// Leaves it in its job-control stop but reports when that ends.
pub(super) fn listen(tid: u32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, ptr::null_mut(), ptr::null_mut())
}

/// What the kernel says about the event it stopped for: a new pid, a former thread id.
pub(super) fn event_message(tid: u32) -> io::Result<u32> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, ptr::null_mut(), (&raw mut message).cast())?;
    u32::try_from(message).map_err(io::Error::other)
}

/// Who sent the signal that it is stopped for; 0 for the kernel.
pub(super) fn signal_sender(tid: u32) -> io::Result<u32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    request(libc::PTRACE_GETSIGINFO, tid, ptr::null_mut(), info.as_mut_ptr().cast())?;
    // SAFETY: the kernel filled it in, and a zeroed siginfo_t is valid too. `si_pid` reads a field that the layout of every
    // signal's siginfo has room for.
    Ok(u32::try_from(unsafe { info.assume_init_ref().si_pid() }).unwrap_or(0))
}

/// The stack pointer, and the size of a word in the program's own mode.
pub(super) fn stack_pointer(tid: u32) -> io::Result<(u64, arch::Word)> {
    let mut registers = [0_u64; arch::REGISTER_WORDS];
    let mut vector = libc::iovec { iov_base: registers.as_mut_ptr().cast(), iov_len: size_of_val(&registers) };
    let kind = ptr::without_provenance_mut(usize::try_from(libc::NT_PRSTATUS).unwrap_or(1));
    request(libc::PTRACE_GETREGSET, tid, kind, (&raw mut vector).cast())?;
    arch::stack_pointer(&registers, vector.iov_len).ok_or_else(|| io::Error::other("unknown register layout"))
}

const PAGE: u64 = 4096;
/// Pages asked for in one call.
const PAGES_AT_ONCE: usize = 64;

/// Reads memory of another process from `address` on into `buffer`; gives how much could be read.
///
/// The request is split at pages, so that what is readable before a hole is read.
pub(super) fn read_memory(tid: u32, address: u64, buffer: &mut [u8]) -> usize {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return 0 };
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let mut remote = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PAGES_AT_ONCE];
        let mut asked = 0;
        let mut used = 0;
        for vector in &mut remote {
            let Some(at) = u64::try_from(done + asked).ok().and_then(|offset| address.checked_add(offset)) else {
                break;
            };
            let to_page_end = usize::try_from(PAGE - at % PAGE).unwrap_or(1);
            let length = to_page_end.min(rest.len() - asked);
            *vector = libc::iovec {
                iov_base: ptr::without_provenance_mut(usize::try_from(at).unwrap_or(usize::MAX)),
                iov_len: length,
            };
            used += 1;
            asked += length;
            if asked == rest.len() {
                break;
            }
        }
        let local = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: asked };
        // SAFETY: the local vector is within `rest`; remote addresses are checked by the kernel.
        let read = unsafe { libc::process_vm_readv(tid, &raw const local, 1, remote.as_ptr(), used, 0) };
        let Ok(read) = usize::try_from(read) else { break };
        done += read;
        if read < asked || read == 0 {
            break;
        }
    }
    done
}

/// A change of state of a tracee or child.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) tid: u32,
    pub(super) status: c_int,
    pub(super) rusage: ResourceUsage,
}

/// The next change of state among this thread's tracees and children. `None`: nothing now (only when not blocking).
///
/// # Errors
/// `ECHILD` when there is nobody left, `EINTR` when a signal came.
pub(super) fn wait(block: bool) -> io::Result<Option<Change>> {
    let flags = libc::__WALL | libc::__WNOTHREAD | if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid; a zeroed rusage is a valid one where the kernel writes none.
    let tid = unsafe { libc::wait4(-1, &raw mut status, flags, usage.as_mut_ptr()) };
    match u32::try_from(tid) {
        Ok(0) => Ok(None),
        Ok(tid) => {
            // SAFETY: see above.
            let usage = unsafe { usage.assume_init_ref() };
            Ok(Some(Change { tid, status, rusage: resources(usage) }))
        }
        Err(_negative) => Err(io::Error::last_os_error()),
    }
}

/// Whether the thread `tid` belongs to the process `tgid`.
pub(super) fn is_thread_of(tgid: u32, tid: u32) -> bool {
    // SAFETY: plain numbers; signal 0 only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, c_long::from(tgid), c_long::from(tid), 0) == 0 }
}

/// Reads a symbolic link relative to `dir` into `buffer`; gives its length.
pub(super) fn read_link(dir: BorrowedFd<'_>, path: &CStr, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the path is NUL-ended and the buffer as long as said.
    let length = unsafe { libc::readlinkat(dir.as_raw_fd(), path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(length).ok().filter(|length| *length < buffer.len())
}

/// Owner and size of a file relative to `dir`.
pub(super) fn owner_and_size(dir: BorrowedFd<'_>, path: &CStr) -> Option<(u32, u32, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is NUL-ended; the result is read only when the call succeeded.
    let stat = unsafe {
        if libc::fstatat(dir.as_raw_fd(), path.as_ptr(), stat.as_mut_ptr(), 0) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some((stat.st_uid, stat.st_gid, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Whether the descriptor `fd` of the process is the same open file as this process's own (`kcmp(2)`). No where the kernel
/// does not say.
pub(super) fn same_file(pid: u32, fd: u32) -> bool {
    const KCMP_FILE: c_long = 0;
    let fd = c_long::from(fd);
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, c_long::from(pid), c_long::from(libc::getpid()), KCMP_FILE, fd, fd) == 0 }
}

/// Whether this process's descriptor `fd` is open and stays so across an exec.
pub(super) fn is_handed_on(fd: u32) -> bool {
    let Ok(fd) = c_int::try_from(fd) else { return false };
    // SAFETY: F_GETFD takes no pointer; a closed descriptor is an error.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// Whether the kernel knows filters that stop for a tracer.
pub(super) fn can_filter() -> bool {
    const GET_ACTION_AVAIL: c_long = 2;
    let action = libc::SECCOMP_RET_TRACE;
    // SAFETY: the pointer is to the number that the call reads.
    unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0 as c_long, &raw const action) == 0 }
}

/// This thread's id.
pub(super) fn thread_id() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// The signal that interrupts the tracer's wait; a real-time one that no runtime uses.
fn nudge_signal() -> c_int {
    libc::SIGRTMAX() - 2
}

extern "C" fn nudged(_signal: c_int) {}

/// Makes this thread deaf to every signal but [`nudge`]: signals for Capsule are for its other threads.
///
/// SIGCHLD is the exception, for its cost: the kernel sends one at each stop of a tracee, and while this thread blocks it, it
/// wakes another one to ignore it. So nobody is told of stops, and this thread ignores the rest.
pub(super) fn listen_to_nudges_only() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // SAFETY: the handler does nothing; no SA_RESTART, so that it interrupts. An all-zero sigaction is valid.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nudged as extern "C" fn(c_int) as *const () as libc::sighandler_t;
            libc::sigaction(nudge_signal(), &raw const action, ptr::null_mut());
        }
    });
    // SAFETY: the sets and actions are valid and filled in before use.
    unsafe {
        let mut deaf_to: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut deaf_to);
        libc::sigdelset(&raw mut deaf_to, nudge_signal());
        let mut child: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut child) == 0 && child.sa_sigaction == libc::SIG_DFL {
            child.sa_flags |= libc::SA_NOCLDSTOP;
            libc::sigaction(libc::SIGCHLD, &raw const child, ptr::null_mut());
            libc::sigdelset(&raw mut deaf_to, libc::SIGCHLD);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const deaf_to, ptr::null_mut());
    }
}

/// Interrupts the wait of the thread `tid` of this process. It may come a moment too early: repeat it.
pub(super) fn nudge(tid: u32) {
    // SAFETY: plain numbers.
    unsafe {
        libc::syscall(libc::SYS_tgkill, c_long::from(libc::getpid()), c_long::from(tid), c_long::from(nudge_signal()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_behind_a_hole_is_not_asked_for_in_vain() {
        // SAFETY: a fresh anonymous mapping of two pages, the second of which is taken away again.
        let pages = unsafe {
            let at = libc::mmap(
                ptr::null_mut(),
                8192,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::munmap(at.byte_add(4096), 4096), 0);
            at
        };
        let mut buffer = vec![1_u8; 8192];
        let start = pages as u64 + 96;
        assert_eq!(read_memory(std::process::id(), start, &mut buffer), 4000);
        assert!(buffer[..4000].iter().all(|byte| *byte == 0));
        // SAFETY: the page mapped above.
        assert_eq!(unsafe { libc::munmap(pages, 4096) }, 0);
    }
}
