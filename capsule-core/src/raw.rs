//! What a tracer hands over, before anybody reads meaning into it.
//!
//! Backends that speak to the kernel themselves (ptrace, eBPF) hand over structured bodies; those that run another
//! program hand over its lines. Secrets are already replaced when a [`RawRecord`] exists.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Snapshot;
use crate::effect::Effect;
use crate::event::{ExitStatus, ResourceUsage, SpawnKind};
use crate::id::{Pid, Seq, Tid};
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

/// A way of watching processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Built in; `ptrace(2)`.
    Ptrace,
    /// Kernel programs on tracepoints (`bpf(2)`).
    Ebpf,
    /// The strace program.
    Strace,
    /// macOS's (or Oracle Linux's) dtrace program.
    Dtrace,
    /// macOS's eslogger program.
    Eslogger,
    /// A stored recording.
    Replay,
}

impl Backend {
    /// Every backend with its name on the command line.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Ptrace, "ptrace"),
        (Self::Ebpf, "ebpf"),
        (Self::Strace, "strace"),
        (Self::Dtrace, "dtrace"),
        (Self::Eslogger, "eslogger"),
        (Self::Replay, "replay"),
    ];

    /// The name on the command line and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(backend, _)| *backend == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a raw record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawBody {
    /// A new process.
    Spawn {
        /// Who started it; absent for the root.
        parent: Option<Pid>,
        /// The new process.
        child: Pid,
        /// How.
        how: SpawnKind,
    },
    /// A successful exec.
    Exec {
        /// The process.
        pid: Pid,
        /// The thread that called exec, where it was not the leader.
        from_tid: Option<Tid>,
        /// The path as given to the kernel (`AT_EXECFN`).
        filename: Option<ByteString>,
        /// Arguments as the new program sees them.
        argv: Argv,
        /// What was read at the exec.
        snapshot: Option<Snapshot>,
    },
    /// A thread that a process had already when Capsule attached to it: lines of another program name only the thread.
    Thread {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Tid,
    },
    /// An exec that failed.
    ExecFailed {
        /// The process.
        pid: Pid,
        /// The path as given.
        filename: Option<ByteString>,
        /// The arguments as given.
        argv: Argv,
        /// Why.
        errno: i32,
    },
    /// The end of a process: of its last thread.
    Exit {
        /// The process.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
        /// What it used.
        rusage: Option<ResourceUsage>,
    },
    /// A process that lived on when recording ended.
    LeftRunning {
        /// The process.
        pid: Pid,
    },
    /// What a process did outside itself.
    Effect {
        /// The process.
        pid: Pid,
        /// What it did.
        effect: Effect,
    },
    /// A line (or other unit) of another program's output.
    Line {
        /// Which program's.
        source: Backend,
        /// The line, without its end.
        text: ByteString,
    },
    /// Records were lost.
    Loss {
        /// How many; 0 where the source cannot say.
        count: u64,
        /// Since when, where known.
        since: Option<Timestamp>,
        /// Where and why.
        reason: String,
    },
}

/// One raw record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Ordinal in `raw.jsonl`.
    pub seq: Seq,
    /// When it happened, or was read where the source does not say.
    pub timestamp: Timestamp,
    /// What it says.
    pub body: RawBody,
}
