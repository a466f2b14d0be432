//! The system calls behind starting a command: what was inherited, and a forked child that waits to be released.
#![expect(unsafe_code, reason = "fork, exec, signal dispositions and the environment block have no safe interface")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use capsule_core::Pid;

use super::{Inherited, Prepared};
use crate::error::TraceError;
use crate::platform::{Confinement, Filter, LAST_SIGNAL, dispose, is_ignored, set_groups};

const SIGNALS: std::ops::RangeInclusive<c_int> = 1..=LAST_SIGNAL;

static EARLY_TAKEN: AtomicU8 = AtomicU8::new(0);
static EARLY_IGNORED: AtomicU64 = AtomicU64::new(0);
static EARLY_BLOCKED: AtomicU64 = AtomicU64::new(0);
static EARLY_CLOSED: AtomicU8 = AtomicU8::new(0);

/// Runs before `main` and before Rust's runtime, which ignores SIGPIPE and opens closed standard descriptors.
pub(crate) extern "C" fn take_early_note() {
    let now = read_signals();
    EARLY_IGNORED.store(now.ignored, Ordering::Relaxed);
    EARLY_BLOCKED.store(now.blocked, Ordering::Relaxed);
    EARLY_CLOSED.store(now.closed, Ordering::Relaxed);
    EARLY_TAKEN.store(1, Ordering::Relaxed);
}

/// What was noted before `main`, or what holds now where that was not possible.
pub(super) fn inherited() -> Inherited {
    if EARLY_TAKEN.load(Ordering::Relaxed) == 0 {
        return read_signals();
    }
    Inherited {
        ignored: EARLY_IGNORED.load(Ordering::Relaxed),
        blocked: EARLY_BLOCKED.load(Ordering::Relaxed),
        closed: EARLY_CLOSED.load(Ordering::Relaxed),
    }
}

fn bit(signal: c_int) -> u64 {
    1_u64.checked_shl(signal.unsigned_abs().wrapping_sub(1)).unwrap_or(0)
}

fn read_signals() -> Inherited {
    let mut now = Inherited::default();
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: a null set only asks; `mask` is large enough for the answer and is read only when the call succeeded.
    let masked = unsafe { libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr()) } == 0;
    for signal in SIGNALS {
        if is_ignored(signal) {
            now.ignored |= bit(signal);
        }
        // SAFETY: `mask` was filled in when `masked`.
        if masked && unsafe { libc::sigismember(mask.as_ptr(), signal) } == 1 {
            now.blocked |= bit(signal);
        }
    }
    for fd in 0..3_u8 {
        // SAFETY: F_GETFD takes no pointer; a closed descriptor is an error.
        if unsafe { libc::fcntl(c_int::from(fd), libc::F_GETFD) } == -1 {
            now.closed |= 1 << fd;
        }
    }
    now
}

/// The environment as the C library holds it, entries without `=` included.
pub(super) fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or an array of NUL-ended strings that ends with a null pointer. Nothing in Capsule changes
    // the environment (that would be `unsafe` itself), so it stays as it is while it is read.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}

/// A pipe that no command inherits.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = io::pipe()?;
    Ok((reading.into(), writing.into()))
}

/// The pointer arrays that `execve` wants, built before the fork because the child must not allocate.
struct Vectors {
    argv: Vec<*const c_char>,
    /// `/bin/sh CANDIDATE ARGS…`, for a script without a first line; the candidate is filled in by the child.
    shell: Vec<*const c_char>,
    env: Vec<*const c_char>,
    groups: Vec<libc::gid_t>,
    filter: Option<Confinement>,
}

const SHELL: &CStr = c"/bin/sh";

impl Vectors {
    fn new(prepared: &Prepared, filter: Option<&Filter>) -> Self {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
        };
        let argv = pointers(&prepared.argv);
        let mut shell = vec![SHELL.as_ptr(), ptr::null()];
        shell.extend(argv.iter().skip(1));
        let groups = prepared.user.as_ref().map(|user| user.groups.clone()).unwrap_or_default();
        let filter = filter.and_then(Confinement::new);
        Self { argv, shell, env: pointers(&prepared.env), groups, filter }
    }
}

/// Where a child failed before the command ran.
const AT_DIRECTORY: u8 = 1;
const AT_USER: u8 = 2;
const AT_EXEC: u8 = 3;
const AT_FILTER: u8 = 4;

/// A forked child that waits to be released before it executes the command.
///
/// If this process dies first, the child ends without executing anything.
#[derive(Debug)]
pub(crate) struct Held {
    pid: Pid,
    gate: OwnedFd,
    failure: OwnedFd,
    program: Vec<u8>,
    cwd: Option<std::path::PathBuf>,
}

/// A child that was released: it executes the command, or says why it cannot.
#[derive(Debug)]
pub(crate) struct Released {
    failure: OwnedFd,
    program: Vec<u8>,
    cwd: Option<std::path::PathBuf>,
}

impl Held {
    /// Forks a child for `launch`. It is a child of the calling thread and inherits everything else from the process.
    pub(crate) fn fork(launch: &super::Launch) -> Result<Self, TraceError> {
        Self::fork_filtered(launch, None)
    }

    /// The same, with a seccomp filter that the child takes on before the command runs.
    pub(crate) fn fork_filtered(launch: &super::Launch, filter: Option<&Filter>) -> Result<Self, TraceError> {
        use std::os::unix::ffi::OsStrExt as _;

        let failed = |source| TraceError::System { action: "make a pipe", source };
        let prepared = Prepared::new(launch)?;
        let mut vectors = Vectors::new(&prepared, filter);
        let (wait, gate) = pipe().map_err(failed)?;
        let (failure, tell) = pipe().map_err(failed)?;
        // A handler of ours must not run in the child, whose memory it would find half-way: block everything until the
        // child has put the dispositions back.
        let mask = block_all_signals();
        // SAFETY: the child calls async-signal-safe functions only (`child` says so) and never returns.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ends = Ends {
                wait: wait.as_raw_fd(),
                tell: tell.as_raw_fd(),
                others: [gate.as_raw_fd(), failure.as_raw_fd()],
            };
            // SAFETY: this is the only thread of the forked child.
            unsafe { child(&prepared, &mut vectors, ends) }
        }
        let source = io::Error::last_os_error();
        restore_signals(&mask);
        let pid = u32::try_from(pid).map_err(|_negative| TraceError::System { action: "fork", source })?;
        let program = launch.program().as_bytes().to_vec();
        Ok(Self { pid: Pid(pid), gate, failure, program, cwd: launch.cwd.clone() })
    }

    /// The child's pid.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Lets the child go on to the command.
    pub(crate) fn release(self) -> io::Result<Released> {
        let Self { gate, failure, program, cwd, .. } = self;
        // SAFETY: one byte from a valid buffer into a descriptor of ours.
        if unsafe { libc::write(gate.as_raw_fd(), [1_u8].as_ptr().cast(), 1) } != 1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Released { failure, program, cwd })
    }
}

impl Released {
    /// Why the command was not executed. Waits until it was, or until the child has failed or died: `None`.
    pub(crate) fn failure(self) -> Option<TraceError> {
        let mut told = [0_u8; 5];
        let read = loop {
            // SAFETY: the buffer is as long as said.
            let read = unsafe { libc::read(self.failure.as_raw_fd(), told.as_mut_ptr().cast(), told.len()) };
            if read >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                break read;
            }
        };
        let [at, errno @ ..] = told;
        if usize::try_from(read) != Ok(told.len()) {
            return None;
        }
        let errno = i32::from_ne_bytes(errno);
        let source = io::Error::from_raw_os_error(errno);
        Some(match at {
            AT_DIRECTORY => TraceError::Directory { path: self.cwd.unwrap_or_default(), source },
            AT_USER => TraceError::NotPermitted {
                action: "change the user",
                remedy: "run Capsule as root to run the command as somebody else".to_owned(),
                source,
            },
            AT_FILTER => TraceError::System { action: "install a seccomp filter", source },
            _ => TraceError::exec_failed(&self.program, errno),
        })
    }
}

struct Ends {
    wait: RawFd,
    tell: RawFd,
    others: [RawFd; 2],
}

/// `errno` of this thread.
fn errno() -> c_int {
    nix::errno::Errno::last_raw()
}

/// What the child does: waits for the gate, puts back what was inherited, executes.
///
/// # Safety
/// Must run in a freshly forked child. It calls only functions that signal-safety(7) lists and allocates nothing.
unsafe fn child(prepared: &Prepared, vectors: &mut Vectors, ends: Ends) -> ! {
    // SAFETY: async-signal-safe calls on descriptors and memory that outlive them; the child's copy of the memory is its own.
    unsafe {
        for fd in ends.others {
            libc::close(fd);
        }
        let mut byte = 0_u8;
        loop {
            match libc::read(ends.wait, (&raw mut byte).cast(), 1) {
                1 => break,
                -1 if errno() == libc::EINTR => {}
                // The gate was dropped: Capsule is gone or could not trace.
                _ => libc::_exit(125),
            }
        }
        let inherited = prepared.inherited;
        for signal in SIGNALS {
            dispose(signal, inherited.ignored & bit(signal) != 0);
        }
        let fail = |at: u8, errno: c_int| -> ! {
            let [a, b, c, d] = errno.to_ne_bytes();
            let told = [at, a, b, c, d];
            // Nobody is left to tell if this fails, and the exit status says that something did.
            let _told = libc::write(ends.tell, told.as_ptr().cast(), told.len());
            libc::_exit(127)
        };
        if let Some(cwd) = &prepared.cwd
            && libc::chdir(cwd.as_ptr()) != 0
        {
            fail(AT_DIRECTORY, errno());
        }
        if let Some(filter) = &vectors.filter
            && !filter.take_on()
        {
            fail(AT_FILTER, errno());
        }
        if let Some(user) = &prepared.user
            && (set_groups(&vectors.groups) != 0 || libc::setgid(user.gid) != 0 || libc::setuid(user.uid) != 0)
        {
            fail(AT_USER, errno());
        }
        for fd in 0..3_u8 {
            if inherited.closed & (1 << fd) != 0 {
                libc::close(c_int::from(fd));
            }
        }
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        for signal in SIGNALS {
            if inherited.blocked & bit(signal) != 0 {
                libc::sigaddset(&raw mut mask, signal);
            }
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut());
        let mut refused = libc::ENOENT;
        for candidate in &prepared.candidates {
            libc::execve(candidate.as_ptr(), vectors.argv.as_ptr(), vectors.env.as_ptr());
            match errno() {
                libc::ENOEXEC => {
                    if let Some(slot) = vectors.shell.get_mut(1) {
                        *slot = candidate.as_ptr();
                    }
                    libc::execve(SHELL.as_ptr(), vectors.shell.as_ptr(), vectors.env.as_ptr());
                    fail(AT_EXEC, libc::ENOEXEC);
                }
                libc::EACCES => refused = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP | libc::ESTALE => {}
                other => fail(AT_EXEC, other),
            }
        }
        fail(AT_EXEC, refused)
    }
}

/// Blocks every signal in this thread; gives what was blocked before.
pub(crate) fn block_all_signals() -> libc::sigset_t {
    // SAFETY: both sets are valid for the calls, and an all-zero sigset_t is a valid (empty) one.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

/// Puts back what [`block_all_signals`] gave.
pub(crate) fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: `before` is a set that pthread_sigmask filled in.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut());
    }
}
