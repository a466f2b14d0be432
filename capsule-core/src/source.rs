//! Who can say what a process is now. Implemented over `/proc` by the enrichment crate; passed in where needed, so that
//! neither stages nor tracers name an operating system.

use crate::context::Snapshot;
use crate::id::Pid;
use crate::text::Argv;

/// Answers "what is this process now?" for a live process.
pub trait ProcSource: Send {
    /// What is known of `pid`, or `None` when it is gone or cannot be read. Facts that cannot be had are left out.
    fn snapshot(&mut self, pid: Pid) -> Option<Snapshot>;

    /// What is known of `pid` beyond `known`: facts that `known` already has need not be read again.
    fn missing(&mut self, pid: Pid, known: &Snapshot) -> Option<Snapshot> {
        let _ = known;
        self.snapshot(pid)
    }

    /// The arguments that `pid` has now, to tell whether it still runs the program that is asked about.
    fn command_line(&mut self, pid: Pid) -> Option<Argv> {
        let _ = pid;
        None
    }

    /// The block of NUL-ended `NAME=value` entries that `pid` was started with, secrets included.
    fn environment(&mut self, pid: Pid) -> Option<Vec<u8>> {
        let _ = pid;
        None
    }

    /// Whether there is anybody to ask. A recording's processes are gone.
    fn is_live(&self) -> bool {
        true
    }

    /// The name of a user id, where the user database has one.
    fn user_name(&mut self, uid: u32) -> Option<String>;

    /// The name of a group id, where the group database has one.
    fn group_name(&mut self, gid: u32) -> Option<String>;
}

/// Knows nothing: for replayed recordings, whose processes are gone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProc;

impl ProcSource for NoProc {
    fn snapshot(&mut self, _pid: Pid) -> Option<Snapshot> {
        None
    }

    fn is_live(&self) -> bool {
        false
    }

    fn user_name(&mut self, _uid: u32) -> Option<String> {
        None
    }

    fn group_name(&mut self, _gid: u32) -> Option<String> {
        None
    }
}
