//! Who belongs to the traced tree, for backends that report the whole system.
//!
//! Where the tracer named the root, only its descendants count. A log without a named root (an import) is taken whole: each
//! process is one that was already running when it first appears. Memory follows the live processes.

use std::collections::HashMap;

use capsule_core::{EventKind, Pid, SpawnKind};

use crate::emit::Emit;
use crate::lineage::Lineage;

/// Tells two holders of one pid apart, where the system numbers them (`pidversion` in macOS's audit tokens).
pub(crate) type Generation = Option<u64>;

#[derive(Debug, Default)]
pub(crate) struct Members {
    live: HashMap<Pid, Generation>,
    /// Whether the tracer named the root.
    rooted: bool,
    begun: bool,
}

impl Members {
    /// The tracer named a process of the tree.
    pub(crate) fn name(&mut self, pid: Pid) {
        self.rooted = true;
        self.begun = true;
        self.live.insert(pid, None);
    }

    /// Whether an event of this process counts. In a log without a named root every process does, and is announced.
    pub(crate) fn admits(
        &mut self,
        pid: Pid,
        generation: Generation,
        parent: Option<Pid>,
        lineage: &mut Lineage,
        emit: &mut Emit<'_>,
    ) -> bool {
        match self.live.get_mut(&pid) {
            Some(known) => {
                // The tracer knows the root's pid only; the first event tells its generation.
                let same = known.is_none() || generation.is_none() || *known == generation;
                if same {
                    *known = generation.or(*known);
                    return true;
                }
                if self.rooted {
                    // Another process has the pid now; the end of the one that was traced is lost.
                    self.live.remove(&pid);
                    lineage.ended(pid);
                    return false;
                }
            }
            None if self.rooted => return false,
            None => {}
        }
        let how = if self.begun { SpawnKind::Attached } else { SpawnKind::Root };
        self.begun = true;
        self.add(pid, generation);
        lineage.born(pid, parent);
        emit.event(pid, parent, EventKind::Spawn(how));
        true
    }

    /// A new process of the tree, or a known one's next generation.
    pub(crate) fn add(&mut self, pid: Pid, generation: Generation) {
        self.live.insert(pid, generation);
    }

    pub(crate) fn ended(&mut self, pid: Pid) {
        self.live.remove(&pid);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}
