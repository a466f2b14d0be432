//! The vocabulary of Capsule: what a record is, who a process is, what a stage does.
//!
//! ```text
//!                  capsule-core   types, Stage, ProcSource; no tokio, no clap, no I/O
//!    ┌──────┬───────┬──────┴┬───────┬─────────┬────────┬───────┐
//!  trace  parse   enrich  track  classify  report     io         (each: core only)
//!    └──────┴───────┴──────┬┴───────┴─────────┴────────┴───────┘
//!                         cli  (wires, prints)        tests  (drives the binary)
//! ```
//!
//! Records flow forward only: [`RawRecord`] → [`ProcessEvent`] → [`EnrichedEvent`] →
//! [`TrackedEvent`] → [`ActionEvent`] and [`RiskEvent`]. Everything here is data and pure
//! functions over data; nothing opens a file, starts a task or reads a clock.

mod context;
mod effect;
mod environ;
mod event;
pub mod exit;
mod file;
mod finding;
mod git;
mod id;
pub mod quote;
mod raw;
pub mod redact;
mod session;
mod source;
mod stage;
mod text;
mod time;
mod tree;
mod wire;

pub use context::{Context, Fact, Ids, OpenFile, Origin, Snapshot};
pub use effect::{Effect, EffectKind, Endpoint};
pub use environ::{EnvRef, EnvTable, Environment, is_allowed_value};
pub use event::{
    Anomaly, EnrichedEvent, EventKind, ExecInfo, ExitStatus, ProcessEvent, ResourceUsage, SpawnKind, TrackedEvent,
};
pub use file::{FileKind, FileState};
pub use finding::{
    ActionEvent, ActionPhase, Evidence, Finding, Label, Resource, ResourceKind, RiskEvent, Role, Severity, Workflow,
};
pub use git::{GitChange, GitDiff, GitOther, GitState, GitWhy};
pub use id::{Pid, ProcId, Seq, SessionId, SessionIdError, Tid};
pub use raw::{Backend, RawBody, RawRecord};
pub use session::{
    ChangedFiles, Coverage, EndedFile, FORMAT_VERSION, FormatVersion, HostInfo, LeftRunning, SessionMetadata,
    SessionStatus, Snapshots, StreamName, StreamSeal, TracerInfo, TreeChange, TreeChangeKind, UserInfo, WorkTree,
};
pub use source::{NoProc, ProcSource};
pub use stage::{Stage, run_to_end};
pub use text::{Argv, ByteString, escape_terminal};
pub use time::Timestamp;
pub use tree::{ExecRecord, Life, ProcessNode, ProcessTree};
pub use wire::Outlined;
