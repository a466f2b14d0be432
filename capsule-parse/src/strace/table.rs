//! Live processes and threads, and the directory each process is in.

use std::collections::HashMap;

use capsule_core::{ByteString, Pid};

use super::calls::CloneInfo;
use super::directories::{Directories, DirectoryId};

/// A live process.
#[derive(Debug, Clone, Copy)]
struct Process {
    directory: DirectoryId,
    /// How many threads it has beside its leader.
    threads: usize,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    processes: HashMap<Pid, Process>,
    /// Threads that are not their process's leader.
    threads: HashMap<u32, Pid>,
    directories: Directories,
}

impl Table {
    pub(super) fn is_known(&self, tid: u32) -> bool {
        self.processes.contains_key(&Pid(tid)) || self.threads.contains_key(&tid)
    }

    pub(super) fn process_of(&self, tid: u32) -> Pid {
        self.threads.get(&tid).copied().unwrap_or(Pid(tid))
    }

    /// A process that nobody known has made.
    pub(super) fn begin(&mut self, pid: Pid, cwd: Option<ByteString>) {
        let directory = self.directories.add(cwd);
        self.processes.insert(pid, Process { directory, threads: 0 });
    }

    /// A process that `maker` has made: it begins in its maker's directory.
    pub(super) fn fork(&mut self, child: Pid, maker: Pid, info: CloneInfo) {
        let directory = match self.processes.get(&maker).map(|process| process.directory) {
            Some(directory) if info.shares_cwd => self.directories.share(directory),
            Some(directory) => {
                let path = self.directories.get(directory).cloned();
                self.directories.add(path)
            }
            None => self.directories.add(None),
        };
        self.processes.insert(child, Process { directory, threads: 0 });
    }

    pub(super) fn begin_thread(&mut self, tid: u32, of: Pid) {
        self.threads.insert(tid, of);
        if let Some(process) = self.processes.get_mut(&of) {
            process.threads += 1;
        }
    }

    /// Forgets a thread that is not its process's leader; whether there was one.
    pub(super) fn end_thread(&mut self, tid: u32) -> bool {
        let Some(pid) = self.threads.remove(&tid) else { return false };
        if let Some(process) = self.processes.get_mut(&pid) {
            process.threads = process.threads.saturating_sub(1);
        }
        true
    }

    /// Forgets a process, and threads of it whose ends were lost: the kernel reports a leader's end last. `None`: there
    /// was no such process.
    pub(super) fn end(&mut self, pid: Pid) -> Option<Vec<u32>> {
        self.end_thread(pid.0);
        let process = self.processes.remove(&pid)?;
        self.directories.drop_one(process.directory);
        let mut lost = Vec::new();
        if process.threads > 0 {
            lost.extend(self.threads.iter().filter(|(_, of)| **of == pid).map(|(tid, _)| *tid));
            self.threads.retain(|_, of| *of != pid);
        }
        Some(lost)
    }

    pub(super) fn cwd(&self, pid: Pid) -> Option<&ByteString> {
        self.directories.get(self.processes.get(&pid)?.directory)
    }

    pub(super) fn set_cwd(&mut self, pid: Pid, path: Option<ByteString>) {
        if let Some(process) = self.processes.get(&pid) {
            self.directories.set(process.directory, path);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.processes.len() + self.threads.len()
    }
}
