//! Events that came before their process's beginning: held back, in order, for a bounded time and number.
//!
//! strace prints a child's first lines before the parent's `clone` returns, and records of different CPUs can be out of
//! order by a little. A process whose beginning never comes (it was lost) is let go after [`PATIENCE`] further
//! events, or when more than [`HELD`] are held.

use std::collections::{HashMap, VecDeque};

use capsule_core::{EnrichedEvent, Pid};

/// How many further held events a process's beginning may come late.
const PATIENCE: u64 = 1024;

/// How many events are held at most.
const HELD: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Early {
    held: HashMap<Pid, Vec<EnrichedEvent>>,
    /// Pids in the order of their first held event, with that event's ordinal.
    order: VecDeque<(Pid, u64)>,
    count: usize,
    /// Ordinal of the last event that was fed to [`Early::hold`] or [`Early::overdue`].
    clock: u64,
}

impl Early {
    pub(crate) fn hold(&mut self, event: &EnrichedEvent) {
        let pid = event.event.pid;
        let queue = self.held.entry(pid).or_default();
        if queue.is_empty() {
            self.order.push_back((pid, self.clock));
        }
        queue.push(event.clone());
        self.count += 1;
    }

    /// Everything held for `pid`, in order.
    pub(crate) fn take(&mut self, pid: Pid) -> Vec<EnrichedEvent> {
        if self.count == 0 {
            return Vec::new();
        }
        let taken = self.held.remove(&pid).unwrap_or_default();
        if !taken.is_empty() {
            self.order.retain(|(held, _)| *held != pid);
            self.count -= taken.len();
        }
        taken
    }

    /// A process that has waited too long; called once an event.
    pub(crate) fn overdue(&mut self) -> Option<Pid> {
        if self.count == 0 {
            return None;
        }
        self.clock += 1;
        let (pid, since) = *self.order.front()?;
        (self.count > HELD || self.clock - since > PATIENCE).then_some(pid)
    }

    /// The process that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Pid> {
        self.order.front().map(|(pid, _)| *pid)
    }
}
