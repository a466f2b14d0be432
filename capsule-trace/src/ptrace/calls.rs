//! The system calls that change something outside their process: which there are, when one matters, where its arguments
//! stand.
//!
//! One table serves the filter that stops at them and the reader that says what they did.

use libc::{
    O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, SYS_bind, SYS_capset, SYS_chroot, SYS_connect, SYS_delete_module, SYS_execve,
    SYS_execveat, SYS_fchmod, SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_finit_module, SYS_fremovexattr,
    SYS_fsetxattr, SYS_ftruncate, SYS_init_module, SYS_io_uring_setup, SYS_kill, SYS_linkat, SYS_listen,
    SYS_lremovexattr, SYS_lsetxattr, SYS_mkdirat, SYS_mknodat, SYS_mount, SYS_move_mount, SYS_open_by_handle_at,
    SYS_openat, SYS_openat2, SYS_pidfd_open, SYS_pivot_root, SYS_process_vm_writev, SYS_ptrace, SYS_removexattr,
    SYS_renameat2, SYS_sendmmsg, SYS_sendmsg, SYS_sendto, SYS_setgid, SYS_setgroups, SYS_setns, SYS_setregid,
    SYS_setresgid, SYS_setresuid, SYS_setreuid, SYS_setuid, SYS_setxattr, SYS_symlinkat, SYS_tgkill, SYS_tkill,
    SYS_truncate, SYS_umount2, SYS_unlinkat, SYS_unshare, SYS_utimensat, c_long,
};

use super::arch;

/// A file that a call names: the argument that is a directory's descriptor, and the one that is the path. A descriptor
/// alone is the file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: Option<usize>,
    pub(super) path: Option<usize>,
}

const fn path(argument: usize) -> Place {
    Place { dir: None, path: Some(argument) }
}

const fn at(dir: usize) -> Place {
    Place { dir: Some(dir), path: Some(dir + 1) }
}

const fn descriptor(argument: usize) -> Place {
    Place { dir: Some(argument), path: None }
}

/// Where an open's flags stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flags {
    /// In an argument.
    In(usize),
    /// At the beginning of the `struct open_how` that an argument points to.
    How(usize),
    /// `creat(2)` has none to give.
    Creat,
}

/// What a call does, and where it says to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Open(Place, Flags),
    /// A file opened by a handle: only the descriptor it gives says which.
    OpenHandle(usize),
    Truncate(Place),
    /// With the argument that is its mode.
    Create(Place, usize),
    /// The new name, and the existing file.
    Link(Place, Place),
    /// The new name, and the argument that is the text it holds.
    Symlink(Place, usize),
    Delete(Place),
    /// With the argument that has flags, where there is one.
    Rename(Place, Place, Option<usize>),
    /// With the argument that is the new mode.
    Mode(Place, usize),
    /// With the argument that is the new owner; the group follows.
    Owner(Place, usize),
    /// Times or extended attributes.
    Attribute(Place),
    /// Descriptor, address and its length.
    Connect(usize, usize, usize),
    /// Descriptor, address and its length: a unix socket's name is a file.
    Bind(usize, usize, usize),
    /// Descriptor, and the argument that points to a `struct msghdr`, which may have an address.
    Message(usize, usize),
    Listen(usize),
    /// New ids, in so many arguments.
    Ids(usize),
    /// Capabilities, groups.
    Credentials,
    /// Namespaces, with the argument that has their flags.
    Namespaces(usize),
    /// The argument that is the process.
    Other(usize),
    /// The process, and the signal sent to it. Told before it is sent, and only where it is Capsule's own.
    Signal(usize, usize),
    /// The process of which a handle is taken, told likewise.
    Handle(usize),
    /// The place, and the argument that is the text of what is mounted there, where there are such.
    Mount(Option<Place>, Option<usize>),
    Exec(Place, usize),
    Uring,
}

/// When a call matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Any of these bits is set in the low half of an argument.
    AnyOf(usize, u32),
    /// An argument is not 0.
    Given(usize),
    /// The low half of an argument is one of these.
    Is(usize, &'static [u32]),
    /// An argument names one of Capsule's own processes, its group, or everybody.
    NamesRecorder(usize),
}

/// A system call of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: c_long,
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) when: When,
}

pub(super) const fn call(number: c_long, name: &'static str, shape: Shape) -> Call {
    Call { number, name, shape, when: When::Always }
}

pub(super) const fn call_when(number: c_long, name: &'static str, shape: Shape, when: When) -> Call {
    Call { number, name, shape, when }
}

/// The open flags that change something. `O_TMPFILE` needs one of the first two.
pub(super) const WRITE_FLAGS: u32 = (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC).cast_unsigned();

/// `PTRACE_ATTACH` and `PTRACE_SEIZE`: what takes hold of somebody else.
const TAKES_HOLD: &[u32] = &[16, 0x4206];

const SYS_FCHMODAT2: c_long = 452;

/// Calls that every processor has, apart from exec.
const CALLS: &[Call] = &[
    call_when(SYS_openat, "openat", Shape::Open(at(0), Flags::In(2)), When::AnyOf(2, WRITE_FLAGS)),
    call(SYS_openat2, "openat2", Shape::Open(at(0), Flags::How(2))),
    call_when(SYS_open_by_handle_at, "open_by_handle_at", Shape::OpenHandle(2), When::AnyOf(2, WRITE_FLAGS)),
    call(SYS_truncate, "truncate", Shape::Truncate(path(0))),
    call(SYS_ftruncate, "ftruncate", Shape::Truncate(descriptor(0))),
    call(SYS_mkdirat, "mkdirat", Shape::Create(at(0), 2)),
    call(SYS_mknodat, "mknodat", Shape::Create(at(0), 2)),
    call(SYS_linkat, "linkat", Shape::Link(at(2), at(0))),
    call(SYS_symlinkat, "symlinkat", Shape::Symlink(at(1), 0)),
    call(SYS_unlinkat, "unlinkat", Shape::Delete(at(0))),
    call(SYS_renameat2, "renameat2", Shape::Rename(at(0), at(2), Some(4))),
    call(SYS_fchmod, "fchmod", Shape::Mode(descriptor(0), 1)),
    call(SYS_fchmodat, "fchmodat", Shape::Mode(at(0), 2)),
    call(SYS_FCHMODAT2, "fchmodat2", Shape::Mode(at(0), 2)),
    call(SYS_fchown, "fchown", Shape::Owner(descriptor(0), 1)),
    call(SYS_fchownat, "fchownat", Shape::Owner(at(0), 2)),
    call(SYS_utimensat, "utimensat", Shape::Attribute(at(0))),
    call(SYS_setxattr, "setxattr", Shape::Attribute(path(0))),
    call(SYS_lsetxattr, "lsetxattr", Shape::Attribute(path(0))),
    call(SYS_fsetxattr, "fsetxattr", Shape::Attribute(descriptor(0))),
    call(SYS_removexattr, "removexattr", Shape::Attribute(path(0))),
    call(SYS_lremovexattr, "lremovexattr", Shape::Attribute(path(0))),
    call(SYS_fremovexattr, "fremovexattr", Shape::Attribute(descriptor(0))),
    call(SYS_connect, "connect", Shape::Connect(0, 1, 2)),
    call_when(SYS_sendto, "sendto", Shape::Connect(0, 4, 5), When::Given(4)),
    call(SYS_sendmsg, "sendmsg", Shape::Message(0, 1)),
    call(SYS_sendmmsg, "sendmmsg", Shape::Message(0, 1)),
    call(SYS_bind, "bind", Shape::Bind(0, 1, 2)),
    call(SYS_listen, "listen", Shape::Listen(0)),
    call(SYS_setuid, "setuid", Shape::Ids(1)),
    call(SYS_setgid, "setgid", Shape::Ids(1)),
    call(SYS_setreuid, "setreuid", Shape::Ids(2)),
    call(SYS_setregid, "setregid", Shape::Ids(2)),
    call(SYS_setresuid, "setresuid", Shape::Ids(3)),
    call(SYS_setresgid, "setresgid", Shape::Ids(3)),
    call(SYS_setgroups, "setgroups", Shape::Credentials),
    call(SYS_capset, "capset", Shape::Credentials),
    call(SYS_setns, "setns", Shape::Namespaces(1)),
    call(SYS_unshare, "unshare", Shape::Namespaces(0)),
    call_when(SYS_ptrace, "ptrace", Shape::Other(1), When::Is(0, TAKES_HOLD)),
    call(SYS_process_vm_writev, "process_vm_writev", Shape::Other(0)),
    call_when(SYS_kill, "kill", Shape::Signal(0, 1), When::NamesRecorder(0)),
    call_when(SYS_tkill, "tkill", Shape::Signal(0, 1), When::NamesRecorder(0)),
    call_when(SYS_tgkill, "tgkill", Shape::Signal(0, 2), When::NamesRecorder(0)),
    call_when(SYS_pidfd_open, "pidfd_open", Shape::Handle(0), When::NamesRecorder(0)),
    call(SYS_mount, "mount", Shape::Mount(Some(path(1)), Some(0))),
    call(SYS_umount2, "umount2", Shape::Mount(Some(path(0)), None)),
    call(SYS_move_mount, "move_mount", Shape::Mount(Some(at(2)), None)),
    call(SYS_pivot_root, "pivot_root", Shape::Mount(Some(path(0)), None)),
    call(SYS_chroot, "chroot", Shape::Mount(Some(path(0)), None)),
    call(SYS_init_module, "init_module", Shape::Mount(None, None)),
    call(SYS_finit_module, "finit_module", Shape::Mount(Some(descriptor(0)), None)),
    call(SYS_delete_module, "delete_module", Shape::Mount(None, None)),
    call(SYS_io_uring_setup, "io_uring_setup", Shape::Uring),
];

/// What starts programs: of interest for its failures.
const EXECS: &[Call] =
    &[call(SYS_execve, "execve", Shape::Exec(path(0), 1)), call(SYS_execveat, "execveat", Shape::Exec(at(0), 2))];

/// The calls to stop at: those that change something, with `reads` every open too, with `execs` the starting of programs.
pub(super) fn of_interest(writes: bool, reads: bool, execs: bool) -> Vec<Call> {
    let mut calls = Vec::new();
    if writes || reads {
        calls.extend(CALLS.iter().chain(arch::older_calls()).copied());
    }
    if reads {
        for call in &mut calls {
            if matches!(call.shape, Shape::Open(..) | Shape::OpenHandle(_)) {
                call.when = When::Always;
            }
        }
    }
    if execs {
        calls.extend_from_slice(EXECS);
    }
    calls
}
