//! Which ways of watching exist on this platform, which of them work here, and which is taken.
//!
//! What each platform has is in `linux.rs` and `elsewhere.rs`.

use capsule_core::Backend;

use crate::error::TraceError;
use crate::platform;
use crate::tracer::{TraceOptions, Tracer};

/// Whether a backend works here, found out by trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Which.
    pub backend: Backend,
    /// Whether it can be used.
    pub usable: bool,
    /// Why, or why not.
    pub because: String,
    /// What the user can do about it, where it cannot be used and something would help.
    pub remedy: Option<String>,
}

impl Probe {
    pub(crate) fn usable(backend: Backend, because: impl Into<String>) -> Self {
        Self { backend, usable: true, because: because.into(), remedy: None }
    }

    pub(crate) fn unusable(backend: Backend, because: impl Into<String>, remedy: Option<&str>) -> Self {
        Self { backend, usable: false, because: because.into(), remedy: remedy.map(str::to_owned) }
    }
}

/// The backend to use and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub backend: Backend,
    /// Why this one.
    pub because: String,
}

/// The backends that record live, best first: the order in which `auto` tries them.
pub const PREFERENCE: [Backend; 5] =
    [Backend::Ebpf, Backend::Ptrace, Backend::Strace, Backend::Eslogger, Backend::Dtrace];

/// Finds out whether `backend` works here. Harmless, but not free: it may start a process or load a program.
#[must_use]
pub fn probe(backend: Backend) -> Probe {
    match backend {
        Backend::Dtrace => crate::dtrace::probe(),
        Backend::Eslogger => crate::eslogger::probe(),
        Backend::Replay => Probe::usable(backend, "reads a recording"),
        other => platform::probe(other).unwrap_or_else(|| Probe::unusable(other, NOT_HERE, None)),
    }
}

/// The backend to record with: `wanted`, or the best that works here.
///
/// # Errors
/// When `wanted` does not work here, or nothing does; the error says what would help.
pub fn choose(wanted: Option<Backend>) -> Result<Choice, TraceError> {
    let refused =
        |probe: Probe| TraceError::Unavailable { backend: probe.backend, because: probe.because, remedy: probe.remedy };
    if let Some(backend) = wanted {
        let found = probe(backend);
        return if found.usable {
            Ok(Choice { backend, because: "asked for".to_owned() })
        } else {
            Err(refused(found))
        };
    }
    let mut passed_over = Vec::new();
    for backend in PREFERENCE {
        let found = probe(backend);
        if found.usable {
            let mut because = format!("best that works here: {}", found.because);
            for Probe { backend, because: why, .. } in &passed_over {
                because.push_str(&format!("; not {backend}: {why}"));
            }
            return Ok(Choice { backend, because });
        }
        passed_over.push(found);
    }
    let default = passed_over.into_iter().find(|probe| probe.backend == Backend::Ptrace);
    Err(refused(default.unwrap_or_else(|| Probe::unusable(Backend::Ptrace, "no tracer for this platform", None))))
}

/// A tracer of the kind `backend`.
///
/// # Errors
/// When the backend is not in this build, or cannot be opened without more (a recording to replay).
pub fn open(backend: Backend, options: TraceOptions) -> Result<Box<dyn Tracer>, TraceError> {
    match backend {
        Backend::Dtrace => Ok(Box::new(crate::dtrace::Dtrace::new(options))),
        Backend::Eslogger => Ok(Box::new(crate::eslogger::Eslogger::new(options))),
        other => platform::open(other, options).ok_or_else(|| not_here(other)),
    }
}

/// The tracer `first` with a second opinion: the eBPF backend watches the same run, and every disagreement about a
/// process, its programs and its end becomes part of the coverage statement.
///
/// # Errors
/// When the eBPF backend is not in this build, or is `first` itself.
pub fn witnessed(first: Box<dyn Tracer>) -> Result<Box<dyn Tracer>, TraceError> {
    platform::witnessed(first)
}

const NOT_HERE: &str = "not in this build of Capsule";

/// The error of a backend that this platform does not have.
pub(crate) fn not_here(backend: Backend) -> TraceError {
    TraceError::Unavailable { backend, because: NOT_HERE.to_owned(), remedy: None }
}
