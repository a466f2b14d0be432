//! What differs between processors: where the registers hold the stack pointer, which older calls there are.

#[cfg(target_arch = "x86_64")]
use super::calls::{self, Flags, When, call_when};
use super::calls::{Call, Place, Shape, call};

/// The size of a pointer in the traced program, which may be a 32-bit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Four bytes.
    Four,
    /// Eight bytes.
    Eight,
}

impl Word {
    /// In bytes.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// Room for the largest general register set (`NT_PRSTATUS`): aarch64 has 34 words, x86_64 has 27.
pub(super) const REGISTER_WORDS: usize = 40;

/// The stack pointer of a register set of `length` bytes. Its length tells the mode of the program.
#[cfg(target_arch = "x86_64")]
pub(super) fn stack_pointer(registers: &[u64], length: usize) -> Option<(u64, Word)> {
    match length {
        // struct user_regs_struct: rsp is the 20th.
        216 => registers.get(19).map(|rsp| (*rsp, Word::Eight)),
        // i386: seventeen 32-bit registers, esp is the 16th.
        68 => registers.get(7).map(|pair| (pair >> 32, Word::Four)),
        _ => None,
    }
}

/// The stack pointer of a register set of `length` bytes. Its length tells the mode of the program.
#[cfg(target_arch = "aarch64")]
pub(super) fn stack_pointer(registers: &[u64], length: usize) -> Option<(u64, Word)> {
    match length {
        // x0 to x30, sp, pc, pstate.
        272 => registers.get(31).map(|sp| (*sp, Word::Eight)),
        // arm: eighteen 32-bit registers, sp is the 14th.
        72 => registers.get(6).map(|pair| (pair >> 32, Word::Four)),
        _ => None,
    }
}

/// The stack pointer: unknown on this processor, where `/proc` is read instead.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn stack_pointer(_registers: &[u64], _length: usize) -> Option<(u64, Word)> {
    None
}

/// How seccomp names this processor's own calls (`AUDIT_ARCH_…`).
#[cfg(target_arch = "x86_64")]
pub(super) const AUDIT: Option<u32> = Some(0xc000_003e);
/// How seccomp names this processor's own calls (`AUDIT_ARCH_…`).
#[cfg(target_arch = "aarch64")]
pub(super) const AUDIT: Option<u32> = Some(0xc000_00b7);
/// Not known for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const AUDIT: Option<u32> = None;

/// Calls that only older processors have.
#[cfg(target_arch = "x86_64")]
pub(super) fn older_calls() -> &'static [Call] {
    const fn path(argument: usize) -> Place {
        Place { dir: None, path: Some(argument) }
    }
    const CALLS: &[Call] = &[
        call_when(libc::SYS_open, "open", Shape::Open(path(0), Flags::In(1)), When::AnyOf(1, calls::WRITE_FLAGS)),
        call(libc::SYS_creat, "creat", Shape::Open(path(0), Flags::Creat)),
        call(libc::SYS_mkdir, "mkdir", Shape::Create(path(0), 1)),
        call(libc::SYS_mknod, "mknod", Shape::Create(path(0), 1)),
        call(libc::SYS_link, "link", Shape::Link(path(1), path(0))),
        call(libc::SYS_symlink, "symlink", Shape::Symlink(path(1), 0)),
        call(libc::SYS_unlink, "unlink", Shape::Delete(path(0))),
        call(libc::SYS_rmdir, "rmdir", Shape::Delete(path(0))),
        call(libc::SYS_rename, "rename", Shape::Rename(path(0), path(1), None)),
        call(
            libc::SYS_renameat,
            "renameat",
            Shape::Rename(Place { dir: Some(0), path: Some(1) }, Place { dir: Some(2), path: Some(3) }, None),
        ),
        call(libc::SYS_chmod, "chmod", Shape::Mode(path(0), 1)),
        call(libc::SYS_chown, "chown", Shape::Owner(path(0), 1)),
        call(libc::SYS_utime, "utime", Shape::Attribute(path(0))),
        call(libc::SYS_utimes, "utimes", Shape::Attribute(path(0))),
        call(libc::SYS_futimesat, "futimesat", Shape::Attribute(Place { dir: Some(0), path: Some(1) })),
        call(libc::SYS_lchown, "lchown", Shape::Owner(path(0), 1)),
    ];
    CALLS
}

/// Calls that only older processors have.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn older_calls() -> &'static [Call] {
    const CALLS: &[Call] = &[call(
        libc::SYS_renameat,
        "renameat",
        Shape::Rename(Place { dir: Some(0), path: Some(1) }, Place { dir: Some(2), path: Some(3) }, None),
    )];
    CALLS
}
