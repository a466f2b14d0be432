//! What happened to processes, the same for every backend and platform.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::{Context, Snapshot};
use crate::effect::Effect;
use crate::id::{Pid, ProcId, Seq, Tid};
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

/// How a new process came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnKind {
    /// The command that Capsule started itself.
    Root,
    /// `fork(2)`, or a clone that signals SIGCHLD and shares nothing.
    Fork,
    /// `vfork(2)`: the parent waits until the child's exec or exit.
    Vfork,
    /// `clone(2)` or `clone3(2)` with other flags, without `CLONE_THREAD`.
    Clone,
    /// It was already running when Capsule attached.
    Attached,
}

/// A successful exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecInfo {
    /// The path as given to `execve(2)` (`AT_EXECFN`): for a script, the script.
    pub filename: Option<ByteString>,
    /// The argument vector as the new program sees it: for a script, interpreter first.
    pub argv: Argv,
    /// The executable's path, where the trace tells it: for a script, the interpreter's.
    pub exe: Option<ByteString>,
    /// Working directory at the exec, where the trace tells it.
    pub cwd: Option<ByteString>,
    /// The thread that called exec, where it was not the leader.
    pub from_tid: Option<Tid>,
    /// What the tracer read at the exec.
    pub snapshot: Option<Snapshot>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It called exit with this code, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// The signal's number on this platform.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
}

impl ExitStatus {
    /// Exit code 0.
    #[must_use]
    pub const fn success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The code a shell would report: the exit code, or 128 + signal.
    #[must_use]
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled { signal, .. } => 128 + signal,
        }
    }
}

/// What a process used, as `getrusage(2)` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// Largest resident set, KiB.
    pub max_rss_kib: u64,
    /// Page faults that needed input or output.
    pub major_faults: u64,
    /// Block input operations.
    pub blocks_in: u64,
    /// Block output operations.
    pub blocks_out: u64,
}

/// What kind of thing happened, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A new process (threads are folded into theirs). The event's pid is the child's.
    Spawn(SpawnKind),
    /// A successful exec.
    Exec(Arc<ExecInfo>),
    /// An exec that failed.
    ExecFailed {
        /// The path as given.
        filename: Option<ByteString>,
        /// The arguments as given.
        argv: Argv,
        /// Why (`errno(3)`).
        errno: i32,
    },
    /// The process ended.
    Exit {
        /// How.
        status: ExitStatus,
        /// What it used, where the backend knows.
        rusage: Option<ResourceUsage>,
    },
    /// It lived on when recording ended.
    LeftRunning,
    /// What it did outside itself.
    Effect(Arc<Effect>),
    /// Records were lost before this one.
    Gap {
        /// How many; 0 where the source cannot say.
        count: u64,
        /// From when, where known; the event's timestamp is until when.
        since: Option<Timestamp>,
        /// Where and why they were lost.
        reason: String,
    },
    /// A raw record could not be read.
    Diagnostic {
        /// What is wrong with it.
        reason: String,
    },
}

impl EventKind {
    /// The name in a record's `event_type`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Spawn(_) => "spawn",
            Self::Exec(_) => "exec",
            Self::ExecFailed { .. } => "exec_failed",
            Self::Exit { .. } => "exit",
            Self::LeftRunning => "left_running",
            Self::Effect(effect) => effect.kind.name(),
            Self::Gap { .. } => "gap",
            Self::Diagnostic { .. } => "diagnostic",
        }
    }
}

/// One thing that happened to one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEvent {
    /// Ordinal in `events.jsonl`; `enriched.jsonl` keeps it.
    pub seq: Seq,
    /// The raw record it was made from.
    pub raw: Seq,
    /// When.
    pub timestamp: Timestamp,
    /// To whom. `Pid(0)` in gap and diagnostic events, which are nobody's.
    pub pid: Pid,
    /// The parent's pid at that moment, where the backend knows it.
    pub ppid: Option<Pid>,
    /// What.
    pub kind: EventKind,
}

/// An event with the process's context at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichedEvent {
    /// The event.
    pub event: ProcessEvent,
    /// Present for `exec`, and for the first sight of a process that was already running.
    pub context: Option<Arc<Context>>,
}

/// Something about a process's history that should not happen, seen by the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// An event of a process whose beginning was not seen.
    Orphan,
    /// A second beginning without an end between: the pid was reused, and the first one's end was lost.
    EndNotSeen,
    /// An event after the process's end.
    AfterEnd,
}

/// An event with the identity of its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedEvent {
    /// The event.
    pub enriched: EnrichedEvent,
    /// Whose. Absent for gap and diagnostic events.
    pub proc: Option<ProcId>,
    /// The process that started it, however the kernel re-parented it later.
    pub parent: Option<ProcId>,
    /// Distance from the root, which has 0.
    pub depth: u32,
    /// Ancestors from the root down to the parent, at most the nearest 64.
    pub lineage: Arc<[ProcId]>,
    /// What is odd about it.
    pub anomaly: Option<Anomaly>,
}

impl TrackedEvent {
    /// The event itself.
    #[must_use]
    pub const fn event(&self) -> &ProcessEvent {
        &self.enriched.event
    }
}
