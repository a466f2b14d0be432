//! What only Linux has: its tracers, and what starting a command needs from its kernel alone.

use std::ffi::{CStr, c_int};
use std::io;

use capsule_core::Backend;
use nix::unistd::Gid;

use crate::backend::Probe;
use crate::error::TraceError;
use crate::tracer::{TraceOptions, Tracer};
use crate::{ebpf, ptrace, strace};

mod sys;

pub use ebpf::{killer, replay_ring};
pub(crate) use ptrace::filter::Filter;
pub(crate) use sys::{Confinement, LAST_SIGNAL, dispose, is_ignored, set_groups};

/// The flag of `open(2)` that leaves a file's time of access alone.
pub(crate) const NO_ATIME: c_int = libc::O_NOATIME;

/// Whether a backend of Linux works here; `None` where it is not one.
pub(crate) fn probe(backend: Backend) -> Option<Probe> {
    match backend {
        Backend::Ebpf => Some(ebpf::probe()),
        Backend::Ptrace => Some(ptrace::probe()),
        Backend::Strace => Some(strace::probe()),
        _ => None,
    }
}

/// A tracer of Linux; `None` where `backend` is not one.
pub(crate) fn open(backend: Backend, options: TraceOptions) -> Option<Box<dyn Tracer>> {
    match backend {
        Backend::Ebpf => Some(Box::new(ebpf::Bpf::new(options))),
        Backend::Ptrace => Some(Box::new(ptrace::Ptrace::new(options))),
        Backend::Strace => Some(Box::new(strace::Strace::new(options))),
        _ => None,
    }
}

/// The ids of all groups that the group database has `name` in, `group` included.
pub(crate) fn groups_of(name: &CStr, group: u32) -> io::Result<Vec<u32>> {
    let groups = nix::unistd::getgrouplist(name, Gid::from_raw(group))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// `first` with the eBPF backend as its witness.
pub(crate) fn witnessed(first: Box<dyn Tracer>) -> Result<Box<dyn Tracer>, TraceError> {
    Ok(Box::new(ebpf::Witnessed::new(first)?))
}
