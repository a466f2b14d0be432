//! What the kernel passes on: a child begins in its parent's cgroup (`cgroups(7)`), and the processes of a session
//! share its terminal (`credentials(7)`).
//!
//! Most processes of a recording are over before anybody can ask about them, and asking costs several
//! microseconds. What a relative was seen to have is known for nothing. Memory follows the live processes.

use std::collections::HashMap;

use capsule_core::{ByteString, Pid};

/// How many sessions' terminals are remembered before all are forgotten.
const SESSIONS: usize = 4096;

#[derive(Debug, Default)]
struct Kin {
    cgroup: Option<ByteString>,
    /// It has run a program of its own.
    execed: bool,
}

/// What a process has from its relatives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PassedOn {
    pub(crate) cgroup: Option<ByteString>,
    pub(crate) tty: Option<ByteString>,
    /// It has run no other program since its birth.
    pub(crate) fresh: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Families {
    live: HashMap<Pid, Kin>,
    terminals: HashMap<u32, ByteString>,
}

impl Families {
    pub(crate) fn born(&mut self, pid: Pid, parent: Option<Pid>) {
        let cgroup = parent.and_then(|parent| self.live.get(&parent)?.cgroup.clone());
        self.live.insert(pid, Kin { cgroup, execed: false });
    }

    pub(crate) fn ended(&mut self, pid: Pid) {
        self.live.remove(&pid);
        // A session that loses its leader loses its terminal.
        self.terminals.remove(&pid.0);
    }

    pub(crate) fn passed_on(&self, pid: Pid, sid: Option<u32>) -> PassedOn {
        let tty = sid.and_then(|sid| self.terminals.get(&sid).cloned());
        match self.live.get(&pid) {
            Some(kin) => PassedOn { cgroup: kin.cgroup.clone(), tty, fresh: !kin.execed },
            None => PassedOn { cgroup: None, tty, fresh: false },
        }
    }

    /// What a process has at its exec.
    pub(crate) fn seen(&mut self, pid: Pid, sid: Option<u32>, tty: Option<&ByteString>, cgroup: Option<&ByteString>) {
        if let (Some(sid), Some(tty)) = (sid, tty)
            && !self.terminals.contains_key(&sid)
        {
            if self.terminals.len() >= SESSIONS {
                self.terminals.clear();
            }
            self.terminals.insert(sid, tty.clone());
        }
        let kin = self.live.entry(pid).or_default();
        kin.execed = true;
        if let Some(cgroup) = cgroup {
            kin.cgroup = Some(cgroup.clone());
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
