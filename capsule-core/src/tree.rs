//! The process tree of a session: data and read-only walks. The fold that builds it is in `capsule-report`.
//!
//! Nodes are a flat list in the order of [`ProcId`]; parents are named, not nested, because real trees are deeper than
//! JSON readers allow.

use serde::{Deserialize, Serialize};

use crate::event::{ExitStatus, ResourceUsage, SpawnKind};
use crate::finding::{Label, Resource, Role, Severity, Workflow};
use crate::id::{Pid, ProcId, Seq};
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

/// How a process's life went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Life {
    /// No end was recorded, and the session has none yet either.
    Running,
    /// It ended.
    Exited {
        /// When.
        at: Timestamp,
        /// Exit code, where it exited by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// Signal, where one ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Whether a core was dumped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        core_dumped: bool,
        /// The event that says so.
        event: Seq,
    },
    /// It lived on when recording ended.
    LeftRunning {
        /// When recording ended.
        at: Timestamp,
        /// The event that says so.
        event: Seq,
    },
    /// It must have ended (its pid was reused, or the session is over), but its end was not seen.
    Lost,
}

impl Life {
    /// The life of a process that ended with `status`.
    #[must_use]
    pub const fn exited(at: Timestamp, status: ExitStatus, event: Seq) -> Self {
        match status {
            ExitStatus::Exited(code) => Self::Exited { at, code: Some(code), signal: None, core_dumped: false, event },
            ExitStatus::Signaled { signal, core_dumped } => {
                Self::Exited { at, code: None, signal: Some(signal), core_dumped, event }
            }
        }
    }
}

/// One exec of a process: a process keeps all of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRecord {
    /// The event (`enriched.jsonl`).
    pub event: Seq,
    /// When.
    pub at: Timestamp,
    /// Arguments.
    pub argv: Argv,
    /// Executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<ByteString>,
    /// The path as given: for a script, the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<ByteString>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<ByteString>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessNode {
    /// Its identity.
    pub proc: ProcId,
    /// Who started it.
    pub parent: Option<ProcId>,
    /// Its pid while it lived.
    pub pid: Pid,
    /// Distance from the root.
    pub depth: u32,
    /// First sight of it.
    pub started: Timestamp,
    /// How it came to be; absent where its beginning was not seen.
    pub spawn: Option<SpawnKind>,
    /// The event of its first sight.
    pub event: Seq,
    /// Its execs, in order.
    pub execs: Vec<ExecRecord>,
    /// How many of its execs failed (mostly searches along `PATH`).
    pub failed_execs: u32,
    /// How it ended.
    pub life: Life,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rusage: Option<ResourceUsage>,
    /// What it is.
    pub label: Label,
    /// What kind of work it does.
    pub workflow: Option<Workflow>,
    /// Why it exists.
    pub role: Role,
    /// Its program's plain name.
    pub tool: ByteString,
    /// What was asked, in one line.
    pub summary: ByteString,
    /// What it used, by its arguments or effects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Whether it did well, where that can be said.
    pub success: Option<bool>,
    /// The rule that labelled it; empty where nothing did.
    pub rule: String,
    /// The worst finding about it.
    pub worst: Option<Severity>,
    /// Findings about it (`risks.jsonl`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Seq>,
}

impl ProcessNode {
    /// Nanoseconds from first sight to end; `None` while it runs or where the end was not seen.
    #[must_use]
    pub const fn duration(&self) -> Option<u64> {
        match self.life {
            Life::Exited { at, .. } => Some(at.since(self.started)),
            Life::Running | Life::LeftRunning { .. } | Life::Lost => None,
        }
    }

    /// The arguments of its last exec.
    #[must_use]
    pub fn argv(&self) -> Option<&Argv> {
        self.execs.last().map(|exec| &exec.argv)
    }
}

/// All processes of a session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProcessTree {
    /// The processes: the one with [`ProcId`] n is at index n - 1.
    pub nodes: Vec<ProcessNode>,
}

impl ProcessTree {
    /// The process `proc`.
    #[must_use]
    pub fn get(&self, proc: ProcId) -> Option<&ProcessNode> {
        let index = usize::try_from(proc.0).ok()?.checked_sub(1)?;
        self.nodes.get(index)
    }

    /// Processes without a known parent: the root, and orphans.
    pub fn roots(&self) -> impl Iterator<Item = &ProcessNode> {
        self.nodes.iter().filter(|node| node.parent.is_none())
    }

    /// Each process's children, in order of appearance, by index of the parent.
    #[must_use]
    pub fn children(&self) -> Vec<Vec<ProcId>> {
        let mut children = vec![Vec::new(); self.nodes.len()];
        for node in &self.nodes {
            let slot = node.parent.and_then(|parent| (parent.0 as usize).checked_sub(1));
            if let Some(siblings) = slot.and_then(|index| children.get_mut(index)) {
                siblings.push(node.proc);
            }
        }
        children
    }
}
