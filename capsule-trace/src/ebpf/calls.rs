//! The system calls that change something outside their process: what the kernel program is to record of each, and what
//! each one means.

use capsule_core::EffectKind;

/// One system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: i64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What the kernel program records, as in `bpf/capsule.bpf.c`.
    pub(super) record: u32,
    pub(super) detail: Detail,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads, writes or creates: its flags and the kernel say which.
    Open,
    /// Always this.
    Is(EffectKind),
    /// Its second path is text, and not relative to anything.
    WithText(EffectKind),
    /// Only counted: effects through it are not seen.
    IoUring,
}

/// What else there is to say of a call, by the indices of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Nothing,
    /// A mode, in octal.
    Mode(usize),
    /// A user id and a group id.
    Owner(usize),
    /// This many ids from the first argument on.
    Ids(usize),
    /// Flags, in hexadecimal.
    Flags(usize),
    /// A process.
    Process(usize),
    /// A process of Capsule's, and the signal sent to it; others are nobody's business.
    Signal(usize, usize),
    /// A process of Capsule's, of which a handle was taken.
    Handle(usize),
}

const fn path1(index: u32) -> u32 {
    index + 1
}

const fn dirfd1(index: u32) -> u32 {
    (index + 1) << 3
}

const fn path2(index: u32) -> u32 {
    (index + 1) << 6
}

const fn dirfd2(index: u32) -> u32 {
    (index + 1) << 9
}

const fn fd(index: u32) -> u32 {
    (index + 1) << 12
}

const fn address(index: u32) -> u32 {
    (index + 1) << 15
}

const fn flags(index: u32) -> u32 {
    (index + 1) << 18
}

const FLAGS_POINTER: u32 = 1 << 21;
const OPENS: u32 = 1 << 22;
const IF_WRITES: u32 = 1 << 23;
const SOCKET: u32 = 1 << 24;
const MESSAGE: u32 = 1 << 25;
const IF_ADDRESS: u32 = 1 << 26;
const IF_ATTACHES: u32 = 1 << 27;
/// A failure is recorded, as a failed exec.
const EXEC: u32 = 1 << 28;
const IF_STRANGER: u32 = 1 << 29;
/// Recorded, with nothing but its arguments.
const BARE: u32 = 1 << 31;

const AT1: u32 = dirfd1(0) | path1(1);
const AT2: u32 = dirfd2(2) | path2(3);

const fn call(number: i64, name: &'static str, kind: Kind, record: u32, detail: Detail) -> Call {
    Call { number, name, kind, record, detail }
}

use Detail::{Flags, Handle, Ids, Mode, Nothing, Owner, Process, Signal};
use EffectKind::{
    FileCreate, FileDelete, FileMode, FileRename, FileWrite, Mount, NetConnect, NetListen, Privilege, Ptrace,
};
use Kind::{Is, Open, WithText};

const FCHMODAT2: i64 = 452;

/// Calls of every architecture.
const COMMON: &[Call] = &[
    call(libc::SYS_openat, "openat", Open, AT1 | flags(2) | OPENS, Nothing),
    call(libc::SYS_openat2, "openat2", Open, AT1 | flags(2) | FLAGS_POINTER | OPENS, Nothing),
    call(libc::SYS_open_by_handle_at, "open_by_handle_at", Open, flags(2) | OPENS, Nothing),
    call(libc::SYS_truncate, "truncate", Is(FileWrite), path1(0), Nothing),
    call(libc::SYS_ftruncate, "ftruncate", Is(FileWrite), fd(0), Nothing),
    call(libc::SYS_unlinkat, "unlinkat", Is(FileDelete), AT1, Nothing),
    call(libc::SYS_renameat, "renameat", Is(FileRename), AT1 | AT2, Nothing),
    call(libc::SYS_renameat2, "renameat2", Is(FileRename), AT1 | AT2, Flags(4)),
    call(libc::SYS_linkat, "linkat", Is(FileCreate), dirfd1(2) | path1(3) | dirfd2(0) | path2(1), Nothing),
    call(libc::SYS_symlinkat, "symlinkat", WithText(FileCreate), dirfd1(1) | path1(2) | path2(0), Nothing),
    call(libc::SYS_mkdirat, "mkdirat", Is(FileCreate), AT1, Mode(2)),
    call(libc::SYS_mknodat, "mknodat", Is(FileCreate), AT1, Mode(2)),
    call(libc::SYS_fchmod, "fchmod", Is(FileMode), fd(0), Mode(1)),
    call(libc::SYS_fchmodat, "fchmodat", Is(FileMode), AT1, Mode(2)),
    call(FCHMODAT2, "fchmodat2", Is(FileMode), AT1, Mode(2)),
    call(libc::SYS_fchown, "fchown", Is(FileMode), fd(0), Owner(1)),
    call(libc::SYS_fchownat, "fchownat", Is(FileMode), AT1, Owner(2)),
    call(libc::SYS_utimensat, "utimensat", Is(FileMode), AT1, Nothing),
    call(libc::SYS_setxattr, "setxattr", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_lsetxattr, "lsetxattr", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_fsetxattr, "fsetxattr", Is(FileMode), fd(0), Nothing),
    call(libc::SYS_removexattr, "removexattr", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_lremovexattr, "lremovexattr", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_fremovexattr, "fremovexattr", Is(FileMode), fd(0), Nothing),
    call(libc::SYS_connect, "connect", Is(NetConnect), SOCKET | address(1), Nothing),
    call(libc::SYS_sendto, "sendto", Is(NetConnect), SOCKET | address(4) | IF_ADDRESS, Nothing),
    call(libc::SYS_sendmsg, "sendmsg", Is(NetConnect), SOCKET | MESSAGE | IF_ADDRESS, Nothing),
    call(libc::SYS_sendmmsg, "sendmmsg", Is(NetConnect), SOCKET | MESSAGE | IF_ADDRESS, Nothing),
    call(libc::SYS_bind, "bind", Is(NetListen), SOCKET | address(1), Nothing),
    call(libc::SYS_listen, "listen", Is(NetListen), SOCKET, Nothing),
    call(libc::SYS_setuid, "setuid", Is(Privilege), BARE, Ids(1)),
    call(libc::SYS_setgid, "setgid", Is(Privilege), BARE, Ids(1)),
    call(libc::SYS_setreuid, "setreuid", Is(Privilege), BARE, Ids(2)),
    call(libc::SYS_setregid, "setregid", Is(Privilege), BARE, Ids(2)),
    call(libc::SYS_setresuid, "setresuid", Is(Privilege), BARE, Ids(3)),
    call(libc::SYS_setresgid, "setresgid", Is(Privilege), BARE, Ids(3)),
    call(libc::SYS_setgroups, "setgroups", Is(Privilege), BARE, Nothing),
    call(libc::SYS_capset, "capset", Is(Privilege), BARE, Nothing),
    call(libc::SYS_setns, "setns", Is(Privilege), BARE, Flags(1)),
    call(libc::SYS_unshare, "unshare", Is(Privilege), BARE, Flags(0)),
    call(libc::SYS_ptrace, "ptrace", Is(Ptrace), BARE | IF_ATTACHES, Process(1)),
    call(libc::SYS_process_vm_writev, "process_vm_writev", Is(Ptrace), BARE, Process(0)),
    call(libc::SYS_kill, "kill", Is(Ptrace), BARE | IF_STRANGER, Signal(0, 1)),
    call(libc::SYS_tkill, "tkill", Is(Ptrace), BARE | IF_STRANGER, Signal(0, 1)),
    call(libc::SYS_tgkill, "tgkill", Is(Ptrace), BARE | IF_STRANGER, Signal(0, 2)),
    call(libc::SYS_pidfd_open, "pidfd_open", Is(Ptrace), BARE | IF_STRANGER, Handle(0)),
    call(libc::SYS_mount, "mount", WithText(Mount), path1(1) | path2(0), Nothing),
    call(libc::SYS_umount2, "umount2", Is(Mount), path1(0), Nothing),
    call(libc::SYS_move_mount, "move_mount", Is(Mount), dirfd1(2) | path1(3) | dirfd2(0) | path2(1), Nothing),
    call(libc::SYS_pivot_root, "pivot_root", Is(Mount), path1(0) | path2(1), Nothing),
    call(libc::SYS_chroot, "chroot", Is(Mount), path1(0), Nothing),
    call(libc::SYS_init_module, "init_module", Is(Mount), BARE, Nothing),
    call(libc::SYS_finit_module, "finit_module", Is(Mount), fd(0), Nothing),
    call(libc::SYS_delete_module, "delete_module", Is(Mount), BARE, Nothing),
    call(libc::SYS_io_uring_setup, "io_uring_setup", Kind::IoUring, BARE, Nothing),
];

/// The older forms that newer architectures left out.
#[cfg(target_arch = "x86_64")]
const OLDER: &[Call] = &[
    call(libc::SYS_open, "open", Open, path1(0) | flags(1) | OPENS, Nothing),
    call(libc::SYS_creat, "creat", Open, path1(0) | OPENS, Nothing),
    call(libc::SYS_unlink, "unlink", Is(FileDelete), path1(0), Nothing),
    call(libc::SYS_rmdir, "rmdir", Is(FileDelete), path1(0), Nothing),
    call(libc::SYS_rename, "rename", Is(FileRename), path1(0) | path2(1), Nothing),
    call(libc::SYS_link, "link", Is(FileCreate), path1(1) | path2(0), Nothing),
    call(libc::SYS_symlink, "symlink", WithText(FileCreate), path1(1) | path2(0), Nothing),
    call(libc::SYS_mkdir, "mkdir", Is(FileCreate), path1(0), Mode(1)),
    call(libc::SYS_mknod, "mknod", Is(FileCreate), path1(0), Mode(1)),
    call(libc::SYS_chmod, "chmod", Is(FileMode), path1(0), Mode(1)),
    call(libc::SYS_chown, "chown", Is(FileMode), path1(0), Owner(1)),
    call(libc::SYS_lchown, "lchown", Is(FileMode), path1(0), Owner(1)),
    call(libc::SYS_utime, "utime", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_utimes, "utimes", Is(FileMode), path1(0), Nothing),
    call(libc::SYS_futimesat, "futimesat", Is(FileMode), AT1, Nothing),
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[Call] = &[];

/// What the kernel program is told where it records failed execs beside the effects.
pub(super) const EXECS: [(i64, u32); 2] = [(libc::SYS_execve, EXEC), (libc::SYS_execveat, EXEC)];

/// Every call that is recorded.
pub(super) fn all() -> impl Iterator<Item = &'static Call> {
    COMMON.iter().chain(OLDER)
}

impl Call {
    /// What the kernel program is told: opens that only read are left out unless `reads`.
    pub(super) const fn instruction(&self, reads: bool) -> u32 {
        match self.kind {
            // A creat has no flags and always writes.
            Open if !reads && self.record >> 18 & 7 != 0 => self.record | IF_WRITES,
            _ => self.record,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_place_in_the_kernels_table() {
        let mut numbers: Vec<i64> = all().map(|call| call.number).collect();
        assert!(numbers.iter().all(|number| (0..512).contains(number)));
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        assert!(all().all(|call| call.instruction(true) != 0));
    }
}
