//! Tracers: start a command, watch its whole process tree from the outside, hand over what they see.
//!
//! ```text
//!  Launch ──► Tracer (ptrace | ebpf | strace | dtrace | eslogger | replay) ──Capture──► RawSink ═══► RawReceiver ──RawRecord──► pipeline
//!             one OS thread, one a backend               bounded in bytes     redacts, filters, numbers
//! ```
//!
//! A [`Tracer`] is opened by [`open`], which is also where the platform is chosen. What it pushes are captures: in
//! memory, unredacted. A [`RawRecord`](capsule_core::RawRecord) exists only behind the receiver.
//!
//! The traced program must not notice: it inherits exactly what Capsule was given ([`Inherited`]), and if Capsule
//! dies, it lives on.

mod backend;
mod clock;
mod command;
mod daemon;
mod dtrace;
#[cfg(target_os = "linux")]
mod ebpf;
mod error;
mod eslogger;
pub mod handoff;
mod ptrace;
mod replay;
mod root;
mod sink;
mod strace;
mod tracer;
mod watcher;
mod witness;

pub use backend::{Choice, PREFERENCE, Probe, choose, open, probe, witnessed};
pub use command::{Inherited, Launch, User};
pub use error::TraceError;
pub use replay::{import_strace, replay};
pub use sink::{Capture, CaptureBody, DEFAULT_BUFFER_BYTES, ExecCapture, RawReceiver, RawSink, channel};
pub use tracer::{
    Control, DEFAULT_RING_BYTES, EffectLevel, Linger, Outcome, Running, StayWith, TraceOptions, Tracer, Watch,
};
