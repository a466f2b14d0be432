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
mod dtrace;
mod error;
mod eslogger;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, unused_imports, reason = "only eBPF leaves its ring behind"))]
pub mod handoff;
mod keep;
mod lines;
mod replay;
mod root;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only a witness is told what was pushed"))]
mod sink;
mod tracer;
mod watcher;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the eBPF backend is the witness"))]
mod witness;

// What only Linux has, and what stands for it elsewhere. No other file of this crate names an operating system.
#[cfg(target_os = "linux")]
mod daemon;
#[cfg(target_os = "linux")]
mod ebpf;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod ptrace;
#[cfg(target_os = "linux")]
mod recorder;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod strace;

#[cfg(not(target_os = "linux"))]
use elsewhere as platform;
#[cfg(target_os = "linux")]
use linux as platform;

pub use backend::{Choice, PREFERENCE, Probe, choose, open, probe, witnessed};
pub use command::{Inherited, Launch, User};
pub use error::TraceError;
pub use keep::{Keeper, Kept};
pub use platform::{killer, replay_ring};
pub use replay::{import_strace, replay};
pub use sink::{Capture, CaptureBody, DEFAULT_BUFFER_BYTES, ExecCapture, RawReceiver, RawSink, channel};
pub use tracer::{
    Control, DEFAULT_RING_BYTES, EffectLevel, Linger, Outcome, Running, StayWith, TraceOptions, Tracer, Watch,
};
