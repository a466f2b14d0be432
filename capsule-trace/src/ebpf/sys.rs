//! bpf(2) as far as loading programs needs it, and a file of the kernel's as memory.
#![expect(unsafe_code, reason = "bpf(2) and mmap(2) have no safe interface")]

use std::ffi::{CStr, c_char, c_int};
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;
use std::slice;

use aya_obj::Function;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};

/// How often a load is tried that a signal interrupts.
const TRIES: usize = 5;

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<c_int> {
    // SAFETY: the kernel is told the attribute's whole size; the callers see to it that every pointer in it is valid for what
    // the command reads or writes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as c_int, ptr::from_mut(attr), size_of::<bpf_attr>()) };
    match c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the commands that this is called with return a new descriptor, which is closed at an exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn empty() -> bpf_attr {
    // SAFETY: a union of numbers; the kernel wants what is not used to be zero.
    unsafe { mem::zeroed() }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn address<T>(items: &[T]) -> u64 {
    items.as_ptr() as u64
}

/// Gives the kernel the type information of an object.
pub(super) fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.__bindgen_anon_7.btf = address(types);
    attr.__bindgen_anon_7.btf_size = count(types.len());
    bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr)
}

/// Fills a map of one element with constants, which the verifier then knows for good.
pub(super) fn set_constants(map: BorrowedFd<'_>, mut data: Vec<u8>) -> io::Result<()> {
    let mut attr = empty();
    let mut key = 0_u32;
    attr.__bindgen_anon_2.map_fd = number(map);
    attr.__bindgen_anon_2.key = ptr::from_mut(&mut key) as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = data.as_mut_ptr() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr)?;
    let mut attr = empty();
    attr.__bindgen_anon_2.map_fd = number(map);
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// Has a raw tracepoint's program verified and translated; `typed` is the kernel's type of the tracepoint, where the program is
/// of the kind that knows it. With a log the verifier says in it what it thinks.
pub(super) fn load_program(
    name: &str,
    function: &Function,
    license: &CStr,
    types: BorrowedFd<'_>,
    typed: Option<u32>,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let functions = function.func_info.func_info_bytes();
    let lines = function.line_info.line_info_bytes();
    let mut attr = empty();
    // SAFETY: all parts of the union are numbers, and all of it was zeroed.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    // The last byte stays a NUL.
    let room = load.prog_name.len() - 1;
    for (to, from) in load.prog_name.iter_mut().take(room).zip(name.bytes()) {
        *to = from as c_char;
    }
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    if let Some(id) = typed {
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING as u32;
        load.expected_attach_type = bpf_attach_type::BPF_TRACE_RAW_TP as u32;
        load.attach_btf_id = id;
    }
    load.insns = address(&function.instructions);
    load.insn_cnt = count(function.instructions.len());
    load.license = license.as_ptr() as u64;
    load.prog_btf_fd = number(types);
    if function.func_info_rec_size > 0 {
        load.func_info = address(&functions);
        load.func_info_cnt = count(function.func_info.len());
        load.func_info_rec_size = count(function.func_info_rec_size);
    }
    if !log.is_empty() {
        // Which line of the source the verifier is at only matters to who reads the log.
        if function.line_info_rec_size > 0 {
            load.line_info = address(&lines);
            load.line_info_cnt = count(function.line_info.len());
            load.line_info_rec_size = count(function.line_info_rec_size);
        }
        load.log_level = 1;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = count(log.len());
    }
    let mut result = bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr);
    for _ in 1..TRIES {
        match &result {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                result = bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr);
            }
            _ => break,
        }
    }
    result
}

/// Attaches a program to a raw tracepoint, until the descriptor is closed. Without a name: to the one that it was verified for.
pub(super) fn open_raw_tracepoint(name: Option<&CStr>, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.raw_tracepoint.name = name.map_or(0, |name| name.as_ptr() as u64);
    attr.raw_tracepoint.prog_fd = number(program);
    bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

/// A file mapped into memory, to be read.
#[derive(Debug)]
pub(super) struct Mapped {
    at: ptr::NonNull<u8>,
    len: usize,
}

impl Mapped {
    /// Maps the first `len` bytes of a file that nobody changes: one that the kernel itself provides.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a descriptor that is open.
        let at = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ, flags, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        ptr::NonNull::new(at.cast()).map(|at| Self { at, len }).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has `len` bytes, stays until `self` is dropped, and the kernel's type information does not
        // change while it runs.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing borrows from it any more. That it fails cannot be helped.
        let _unmapped = unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}
