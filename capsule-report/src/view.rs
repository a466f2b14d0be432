//! What a report is made from: a session as the fold of its streams left it.
//!
//! Facts only, in the vocabulary of `capsule-core`; what to say about them is [`crate::Report`]'s business.

use std::sync::Arc;

use capsule_core::{
    Anomaly, ByteString, EffectKind, Endpoint, Pid, ProcId, ProcessTree, RiskEvent, Seq, SessionMetadata, Timestamp,
};
use serde::{Deserialize, Serialize};

/// What one process did to one thing: equal effects are one entry with a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectEntry {
    /// Who.
    pub proc: ProcId,
    /// What kind of thing it did.
    pub kind: EffectKind,
    /// The system call of the first, or what a hand-off went to.
    pub call: String,
    /// The path, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ByteString>,
    /// The second path: of a rename or link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ByteString>,
    /// The other end, for network effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// What the first of them said besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Error number where they failed; successes and failures are separate entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// BLAKE3 of the content that the first of them destroyed, where that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Arc<str>>,
    /// How often.
    pub count: u64,
    /// The first record (`enriched.jsonl`).
    pub first: Seq,
    /// The last record.
    pub last: Seq,
    /// When the first happened.
    pub first_at: Timestamp,
    /// When the last happened.
    pub last_at: Timestamp,
}

/// Records that were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The record that says so.
    pub event: Seq,
    /// How many; 0 where the source cannot say.
    pub count: u64,
    /// From when, where known.
    pub since: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
    /// Where and why.
    pub reason: String,
}

/// A record that could not be read, or that fits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// The record that says so, where there is one.
    pub event: Option<Seq>,
    /// What is wrong.
    pub reason: String,
}

/// Something about a process's history that should not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddEvent {
    /// Whose history.
    pub proc: ProcId,
    /// Its pid.
    pub pid: Pid,
    /// The record.
    pub event: Seq,
    /// What is odd.
    pub what: Anomaly,
}

/// A pipe between two processes, as their descriptors at exec showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PipeLink {
    /// Who has the writing end as output.
    pub from: ProcId,
    /// Who has the reading end as input.
    pub to: ProcId,
    /// The writer's exec.
    pub from_event: Seq,
    /// The reader's exec.
    pub to_event: Seq,
}

/// A list that keeps its first elements and counts the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capped<T> {
    /// The first ones.
    pub kept: Vec<T>,
    /// How many there were in all.
    pub total: u64,
}

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), total: 0 }
    }
}

impl<T> Capped<T> {
    /// Counts `item`, and keeps it while fewer than `limit` are kept.
    pub(crate) fn push(&mut self, item: T, limit: usize) {
        self.total = self.total.saturating_add(1);
        if self.kept.len() < limit {
            self.kept.push(item);
        }
    }

    /// How many were counted only.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.total.saturating_sub(self.kept.len() as u64)
    }
}

/// How far a session's files can be trusted, as the verifier said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Every record is whole and sealed.
    Sealed,
    /// It runs still: nobody could have sealed it yet.
    Running,
    /// Nobody sealed it: Capsule was killed, or a part of it failed.
    Unsealed,
    /// Its last record is torn by a crash.
    Torn,
    /// It was altered after it was written.
    Tampered,
}

/// The verifier's word, for the reader of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integrity {
    /// The verdict.
    pub trust: Trust,
    /// One sentence, naming the first record that does not fit where there is one.
    pub detail: String,
    /// Files that the report is not made from, and that were not checked because they are large.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// A session, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// What the session says of itself.
    pub metadata: SessionMetadata,
    /// Its processes.
    pub tree: ProcessTree,
    /// Its findings, in the order of their records.
    pub risks: Vec<RiskEvent>,
    /// What its processes did outside themselves.
    pub effects: Vec<EffectEntry>,
    /// Effects that were counted without keeping what they touched (too many different ones).
    pub effects_uncounted: u64,
    /// Which processes were joined by pipes.
    pub pipes: Vec<PipeLink>,
    /// Lost records.
    pub gaps: Capped<Gap>,
    /// How many records are known to be lost, gaps of unknown size not counted.
    pub lost: u64,
    /// Records that could not be read.
    pub unread: Capped<Unread>,
    /// Odd histories.
    pub anomalies: Capped<OddEvent>,
    /// How many tracked records were folded.
    pub events: u64,
    /// How many processes have an action.
    pub classified: u64,
    /// The last moment that any record tells.
    pub last_seen: Option<Timestamp>,
    /// What the verifier said, where it was asked.
    pub integrity: Option<Integrity>,
}

impl SessionView {
    /// Keeps only the effects, findings and pipes of `proc` and of what it started, for a report with
    /// [`Options::proc`](crate::Options::proc).
    pub fn zoom(&mut self, proc: ProcId) {
        let at = |proc: ProcId| usize::try_from(proc.0).ok().and_then(|proc| proc.checked_sub(1));
        let children = self.tree.children();
        let mut inside = vec![false; children.len()];
        let mut next = vec![proc];
        while let Some(proc) = next.pop() {
            let Some((seen, below)) = at(proc).and_then(|at| inside.get_mut(at).zip(children.get(at))) else {
                continue;
            };
            if !std::mem::replace(seen, true) {
                next.extend(below);
            }
        }
        let inside = |proc: ProcId| at(proc).and_then(|at| inside.get(at).copied()).unwrap_or(false);
        self.effects.retain(|effect| inside(effect.proc));
        self.risks.retain(|risk| inside(risk.proc));
        self.pipes.retain(|link| inside(link.from) || inside(link.to));
    }
}
