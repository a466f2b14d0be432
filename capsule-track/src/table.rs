//! The processes that live, by pid, and a bounded memory of those that ended lately.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use capsule_core::{Anomaly, Pid, ProcId, Timestamp};

/// How many ancestors a lineage names: the nearest ones.
const LINEAGE: usize = 64;

/// How many ended processes are remembered, for records that come late.
const ENDED: usize = 1024;

/// What is known of one process.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) proc: ProcId,
    pub(crate) parent: Option<ProcId>,
    pub(crate) depth: u32,
    pub(crate) lineage: Arc<[ProcId]>,
    /// The lineage of its children, made when it has one: siblings share it.
    below: Option<Arc<[ProcId]>>,
    /// Whether its beginning was seen, or it was adopted.
    begun: bool,
}

#[derive(Debug)]
struct Ended {
    pid: Pid,
    node: Node,
    at: Timestamp,
}

/// Pids to processes.
#[derive(Debug)]
pub(crate) struct Table {
    live: HashMap<Pid, Node>,
    ended: VecDeque<Ended>,
    seen: u32,
    nobody: Arc<[ProcId]>,
}

impl Default for Table {
    fn default() -> Self {
        Self { live: HashMap::new(), ended: VecDeque::with_capacity(ENDED), seen: 0, nobody: Arc::from([]) }
    }
}

impl Table {
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }

    pub(crate) fn no_lineage(&self) -> Arc<[ProcId]> {
        Arc::clone(&self.nobody)
    }

    /// Whether an event of `pid` at `at` can be given to somebody now.
    pub(crate) fn knows(&self, pid: Pid, at: Timestamp) -> bool {
        self.live.contains_key(&pid) || self.ended_after(pid, at).is_some()
    }

    /// The living holder of `pid`.
    pub(crate) fn current(&self, pid: Pid) -> Option<Node> {
        self.live.get(&pid).cloned()
    }

    /// The last holder of `pid` that ended at `at` or later: the event is one of its own that came late.
    pub(crate) fn ended_after(&self, pid: Pid, at: Timestamp) -> Option<Node> {
        self.ended.iter().rev().find(|ended| ended.pid == pid).filter(|ended| ended.at >= at).map(|e| e.node.clone())
    }

    /// Who held `pid` when it started a child: the living one, or one that just ended.
    ///
    /// Makes the lineage that its children share.
    pub(crate) fn find(&mut self, pid: Pid, at: Timestamp) -> Option<Node> {
        if let Some(node) = self.live.get_mut(&pid) {
            if node.below.is_none() {
                node.below = Some(below(node));
            }
            return Some(node.clone());
        }
        self.ended_after(pid, at)
    }

    /// A process begins. The pid's former holder, if its end was not seen, is retired.
    pub(crate) fn begin(&mut self, pid: Pid, parent: Option<&Node>) -> (Node, Option<Anomaly>) {
        if let Some(known) = self.live.get_mut(&pid)
            && !known.begun
        {
            known.begun = true;
            return (known.clone(), None);
        }
        let mut node = self.mint(parent);
        node.begun = true;
        let former = self.live.insert(pid, node.clone());
        (node, former.map(|_retired| Anomaly::EndNotSeen))
    }

    /// A process whose beginning was not seen.
    pub(crate) fn adopt(&mut self, pid: Pid, parent: Option<&Node>) -> Node {
        let node = self.mint(parent);
        self.live.insert(pid, node.clone());
        node
    }

    pub(crate) fn end(&mut self, pid: Pid, at: Timestamp) {
        if let Some(node) = self.live.remove(&pid) {
            if self.ended.len() == ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(Ended { pid, node, at });
        }
    }

    fn mint(&mut self, parent: Option<&Node>) -> Node {
        self.seen = self.seen.saturating_add(1);
        let (lineage, depth) = match parent {
            Some(parent) => (parent.below.clone().unwrap_or_else(|| below(parent)), parent.depth.saturating_add(1)),
            None => (Arc::clone(&self.nobody), 0),
        };
        Node { proc: ProcId(self.seen), parent: parent.map(|p| p.proc), depth, lineage, below: None, begun: false }
    }
}

/// The lineage of a process's children: its own, then itself, the nearest [`LINEAGE`] of them.
fn below(node: &Node) -> Arc<[ProcId]> {
    let skip = (node.lineage.len() + 1).saturating_sub(LINEAGE);
    node.lineage.iter().copied().chain([node.proc]).skip(skip).collect()
}
