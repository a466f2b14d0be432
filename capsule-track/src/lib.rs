//! Who is whose child, through pid reuse: gives every process of a session its [`ProcId`](capsule_core::ProcId).
//!
//! Pids name processes only while these live, and traces are not always in order: a child's first records may come
//! before its parent's fork returns. The [`Tracker`] is a state machine over the enriched events that
//!
//! - gives a [`ProcId`](capsule_core::ProcId) to each process at its first appearance, so that a pid's next holder is somebody else,
//! - keeps who *started* a process, however the kernel re-parents it later,
//! - holds back events of a process that has no beginning yet (`early`), and adopts it as an orphan when none comes,
//! - says what is odd as an [`Anomaly`] instead of failing.
//!
//! It is deterministic, so running it again over a stored `enriched.jsonl` gives the same ids. Memory follows the
//! processes that live, plus a bounded number that ended lately (`table`).

mod early;
mod table;

use capsule_core::{Anomaly, EnrichedEvent, EventKind, Pid, Stage, TrackedEvent};

use early::Early;
use table::{Node, Table};

/// The stage from enriched to tracked events. One input gives exactly one output, though not always at once.
#[derive(Debug, Default)]
pub struct Tracker {
    table: Table,
    early: Early,
}

impl Tracker {
    /// A tracker that knows no process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many processes it holds as living.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.live()
    }

    /// How many processes it has seen.
    #[must_use]
    pub const fn seen(&self) -> u32 {
        self.table.seen()
    }

    fn spawn(&mut self, input: &EnrichedEvent, out: &mut Vec<TrackedEvent>) {
        let event = &input.event;
        let root =
            matches!(event.kind, EventKind::Spawn(capsule_core::SpawnKind::Root | capsule_core::SpawnKind::Attached));
        let parent = event.ppid.and_then(|ppid| self.table.find(ppid, event.timestamp));
        let (node, mut anomaly) = self.table.begin(event.pid, parent.as_ref());
        if anomaly.is_none() && parent.is_none() && !root {
            anomaly = Some(Anomaly::Orphan);
        }
        out.push(tracked(input, &node, anomaly));
        for held in self.early.take(event.pid) {
            self.ordinary(&held, out);
        }
    }

    /// An event of a process whose beginning has been seen, or that is adopted now.
    fn ordinary(&mut self, input: &EnrichedEvent, out: &mut Vec<TrackedEvent>) {
        let event = &input.event;
        let (node, anomaly) = match self.table.current(event.pid) {
            Some(node) => (node, None),
            None => match self.table.ended_after(event.pid, event.timestamp) {
                Some(node) => (node, Some(Anomaly::AfterEnd)),
                None => {
                    let parent = event.ppid.and_then(|ppid| self.table.find(ppid, event.timestamp));
                    (self.table.adopt(event.pid, parent.as_ref()), Some(Anomaly::Orphan))
                }
            },
        };
        if matches!(event.kind, EventKind::Exit { .. }) {
            self.table.end(event.pid, event.timestamp);
        }
        out.push(tracked(input, &node, anomaly));
    }

    fn release(&mut self, pid: Pid, out: &mut Vec<TrackedEvent>) {
        for held in self.early.take(pid) {
            self.ordinary(&held, out);
        }
    }
}

fn tracked(input: &EnrichedEvent, node: &Node, anomaly: Option<Anomaly>) -> TrackedEvent {
    TrackedEvent {
        enriched: input.clone(),
        proc: Some(node.proc),
        parent: node.parent,
        depth: node.depth,
        lineage: node.lineage.clone(),
        anomaly,
    }
}

impl Stage for Tracker {
    type In = EnrichedEvent;
    type Out = TrackedEvent;

    fn feed(&mut self, input: &EnrichedEvent, out: &mut Vec<TrackedEvent>) {
        let event = &input.event;
        match event.kind {
            EventKind::Spawn(_) => self.spawn(input, out),
            EventKind::Gap { .. } | EventKind::Diagnostic { .. } => out.push(TrackedEvent {
                enriched: input.clone(),
                proc: None,
                parent: None,
                depth: 0,
                lineage: self.table.no_lineage(),
                anomaly: None,
            }),
            _ if self.table.knows(event.pid, event.timestamp) => self.ordinary(input, out),
            _ => self.early.hold(input),
        }
        while let Some(pid) = self.early.overdue() {
            self.release(pid, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<TrackedEvent>) {
        while let Some(pid) = self.early.oldest() {
            self.release(pid, out);
        }
    }
}

#[cfg(test)]
mod tests;
