//! The parent of each live process, so that every event can name it. Ended processes are forgotten.

use std::collections::HashMap;

use capsule_core::Pid;

#[derive(Debug, Default)]
pub(crate) struct Lineage {
    parents: HashMap<Pid, Option<Pid>>,
}

impl Lineage {
    pub(crate) fn born(&mut self, pid: Pid, parent: Option<Pid>) {
        self.parents.insert(pid, parent);
    }

    pub(crate) fn ended(&mut self, pid: Pid) {
        self.parents.remove(&pid);
    }

    pub(crate) fn parent(&self, pid: Pid) -> Option<Pid> {
        self.parents.get(&pid).copied().flatten()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }
}
