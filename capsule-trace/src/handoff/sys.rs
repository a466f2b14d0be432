//! The system calls behind the two processes of a run.
#![expect(unsafe_code, reason = "fork, and signals that are waited for one after the other")]

use std::ffi::c_int;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use capsule_core::Pid;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::{Part, Recorder};

/// What the waiter answers to.
const HEARD: [c_int; 6] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP];

/// The process that waits for the waiter: usually a shell. 0: this process has no waiter.
static SHELL: AtomicI32 = AtomicI32::new(0);

/// Where the recorder puts what its waiter is to have if it is killed: the kernel keeps it there.
static LEFT_BEHIND: OnceLock<UnixDatagram> = OnceLock::new();

/// Leaves a descriptor behind, for the waiter of a recorder that is killed. Without a waiter, nothing happens.
pub(crate) fn leave_behind(fd: BorrowedFd<'_>) -> io::Result<()> {
    let Some(socket) = LEFT_BEHIND.get() else { return Ok(()) };
    let fds = [fd.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&[0])], &message, MsgFlags::empty(), None)?;
    Ok(())
}

/// What the recorder left behind.
fn left_behind(socket: &UnixDatagram) -> Option<OwnedFd> {
    let (mut byte, mut space) = ([0], nix::cmsg_space!(RawFd));
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).ok()?;
    message.cmsgs().ok()?.find_map(|part| match part {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
        _ => None,
    })
}

/// The pid of the process that waits for this run, seen from the recorder.
pub(crate) fn shell() -> Option<libc::pid_t> {
    Some(SHELL.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
}

pub(super) fn part() -> io::Result<Part> {
    let (reading, writing) = io::pipe()?;
    let (reading, writing) = (OwnedFd::from(reading), OwnedFd::from(writing));
    // The waiter looks after every signal, and must not wait there.
    fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fcntl(&writing, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let (waiters, recorders) = UnixDatagram::pair()?;
    waiters.set_nonblocking(true)?;
    recorders.set_nonblocking(true)?;
    // SAFETY: plain numbers.
    let shell = unsafe { libc::getppid() };
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let heard = heard();
    // SAFETY: both sets are valid; the old one is read only when the call succeeded. Blocked before the fork, so that the
    // waiter misses nothing.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const heard, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the documentation of `handoff::part` asks for a process with one thread.
    let child = unsafe { libc::fork() };
    if child != 0 {
        drop((writing, recorders));
        if child > 0 {
            return Ok(wait(child, &reading, &waiters));
        }
        let refused = io::Error::last_os_error();
        // SAFETY: it was filled in above.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
        return Err(refused);
    }
    SHELL.store(shell, Ordering::Relaxed);
    // A process is parted once.
    LEFT_BEHIND.set(recorders).unwrap_or(());
    // SAFETY: a mask that was filled in above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    Ok(Part::Recorder(Recorder { waiter: writing }))
}

fn heard() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` makes the set valid; the signals are known ones.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in HEARD {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// Waits for the recorder, and says how to end.
fn wait(recorder: libc::pid_t, told: &OwnedFd, left: &UnixDatagram) -> Part {
    let heard = heard();
    loop {
        let mut signal = 0;
        // SAFETY: the set is valid and blocked; `signal` has room for the answer.
        if unsafe { libc::sigwait(&raw const heard, &raw mut signal) } != 0 {
            continue;
        }
        match signal {
            libc::SIGCHLD => {}
            // Meant for Capsule: the recorder knows what to do with them.
            libc::SIGTERM | libc::SIGHUP => {
                // SAFETY: plain numbers; the recorder is our child and not yet waited for.
                unsafe { libc::kill(recorder, signal) };
            }
            // The terminal sent these to everybody: they belong to the command.
            _ => continue,
        }
        let mut code = 0_u8;
        // SAFETY: one byte, into a byte.
        if unsafe { libc::read(told.as_raw_fd(), (&raw mut code).cast(), 1) } == 1 {
            return Part::Waiter(code);
        }
        loop {
            let mut status = 0;
            // SAFETY: `status` has room for the answer.
            if unsafe { libc::waitpid(recorder, &raw mut status, libc::WNOHANG | libc::WUNTRACED) } != recorder {
                break;
            }
            if libc::WIFEXITED(status) {
                return Part::Waiter(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(125));
            }
            if libc::WIFSIGNALED(status) {
                let (recorder, signal) = (Pid(recorder.unsigned_abs()), libc::WTERMSIG(status));
                return Part::Bereft { recorder, signal, left: left_behind(left) };
            }
            // Stopped, because the command was: the shell must see it here.
            // SAFETY: plain numbers.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
    }
}

/// From now on the terminal's end is not the recorder's.
pub(super) fn ignore_hang_up() {
    // SAFETY: plain numbers; ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// Puts `nothing` in the place of stdin, stdout and stderr, so that no reader waits for this process.
pub(super) fn leave_the_terminal(nothing: &File) {
    for fd in 0..3 {
        // SAFETY: plain numbers of descriptors that are open, or become so.
        unsafe { libc::dup2(nothing.as_raw_fd(), fd) };
    }
}

/// Makes the waiter look.
pub(super) fn wake_the_waiter() {
    // SAFETY: plain numbers. Where the waiter is gone, the parent ignores a SIGCHLD.
    unsafe { libc::kill(libc::getppid(), libc::SIGCHLD) };
}
