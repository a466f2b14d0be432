//! Unix systems other than Linux: no tracer but those that a program of the system's own makes, and no filters.

use std::ffi::c_int;
use std::os::fd::OwnedFd;

use capsule_core::{Backend, Pid};

use crate::backend::{Probe, not_here};
use crate::error::TraceError;
use crate::sink::RawSink;
use crate::tracer::{TraceOptions, Tracer};

mod sys;

pub(crate) use sys::{dispose, groups_of, is_ignored, set_groups};

/// The largest signal number (`signal.h` of macOS: `NSIG` is 32).
pub(crate) const LAST_SIGNAL: c_int = 31;

/// The flag of `open(2)` that leaves a file's time of access alone: there is none.
pub(crate) const NO_ATIME: c_int = 0;

/// Whether a backend of Linux works here: never.
pub(crate) fn probe(_backend: Backend) -> Option<Probe> {
    None
}

/// A tracer of Linux: none here.
pub(crate) fn open(_backend: Backend, _options: TraceOptions) -> Option<Box<dyn Tracer>> {
    None
}

/// `first` with a witness: there is none here.
pub(crate) fn witnessed(first: Box<dyn Tracer>) -> Result<Box<dyn Tracer>, TraceError> {
    drop(first);
    Err(not_here(Backend::Ebpf))
}

/// Records of Linux's kernel programs: nothing here reads them, and nothing is said.
pub fn replay_ring(_records: &[u8], _root: Pid, sink: RawSink) {
    drop(sink);
}

/// Who killed a recorder: no tracer here leaves anything behind.
#[must_use]
pub fn killer(_left: OwnedFd, _recorder: Pid, _signal: i32) -> Option<Pid> {
    None
}

/// What a child must do before its exec: nothing can be asked of it here.
#[derive(Debug)]
pub(crate) enum Filter {}

/// A filter made ready for a child: there is none.
pub(crate) enum Confinement {}

impl Confinement {
    /// Never called, as there is no filter.
    pub(crate) fn new(filter: &Filter) -> Option<Self> {
        match *filter {}
    }

    /// Never called, as there is none.
    #[expect(unsafe_code, reason = "the same interface as where there are filters")]
    pub(crate) unsafe fn take_on(&self) -> bool {
        match *self {}
    }
}
