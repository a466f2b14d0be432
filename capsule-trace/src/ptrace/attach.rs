//! Taking in a process that runs already, with its present descendants.
//!
//! `PTRACE_SEIZE` stops nobody, and from that moment on the kernel attaches to whatever the seized thread makes. What an
//! unseized thread makes meanwhile is found by looking again: the scan is repeated until a whole round finds nothing new, and
//! then every thread of the tree is either seized or attached to by the kernel.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use capsule_core::Backend;

use super::sys;
use crate::error::TraceError;
use crate::running::{MOST_ROUNDS, is_dead, refused, threads, tracer_of, tree};

/// Who was taken in.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Threads with their process.
    pub(super) threads: HashMap<u32, u32>,
    /// Processes with their parent, parents first.
    pub(super) processes: Vec<(u32, u32)>,
    /// How many threads could not be seized.
    pub(super) refused: u64,
}

/// Seizes `root` and all its descendants, from this thread on.
pub(super) fn seize_tree(root: u32) -> Result<Taken, TraceError> {
    let mut taken = Taken::default();
    let mut passed_over = HashSet::new();
    let mut known = HashSet::new();
    for _ in 0..MOST_ROUNDS {
        let mut new = 0;
        for process in tree(root) {
            let (pid, parent) = (process.pid, process.parent);
            for tid in threads(pid) {
                if taken.threads.contains_key(&tid) || passed_over.contains(&tid) {
                    continue;
                }
                match sys::seize(tid, sys::FOLLOW) {
                    Ok(()) => {
                        new += 1;
                        taken.threads.insert(tid, pid);
                        if known.insert(pid) {
                            taken.processes.push((pid, parent));
                        }
                    }
                    Err(_) if tracer_of(tid).is_some_and(|tracer| tracer == sys::thread_id()) => {
                        // The kernel attached to it: its parent's event tells of it.
                        new += u64::from(passed_over.insert(tid));
                    }
                    Err(error) if taken.threads.is_empty() => return Err(refused(Backend::Ptrace, pid, error)),
                    Err(error) => {
                        passed_over.insert(tid);
                        // What ended meanwhile needs no attention.
                        taken.refused += u64::from(error.raw_os_error() != Some(libc::ESRCH) && !is_dead(tid));
                    }
                }
            }
        }
        if taken.threads.is_empty() {
            return Err(refused(Backend::Ptrace, root, io::Error::from_raw_os_error(libc::ESRCH)));
        }
        if new == 0 {
            break;
        }
    }
    Ok(taken)
}

/// Seizes a process's first thread and lets it go at once: a tracer's thread that ends lets go of all it held, and nobody was
/// stopped for it.
pub(crate) fn try_seize(backend: Backend, pid: u32) -> Result<(), TraceError> {
    let tried = std::thread::Builder::new()
        .spawn(move || (sys::thread_id(), sys::seize(pid, 0)))
        .map_err(|source| TraceError::System { action: "start a thread", source })?;
    let (tracer, tried) = tried.join().unwrap_or_else(|_panic| (0, Err(io::Error::other("the thread panicked"))));
    // A thread can be joined a moment before it has let go.
    while tracer != 0 && tracer_of(pid) == Some(tracer) {
        std::thread::sleep(Duration::from_micros(100));
    }
    tried.map_err(|error| refused(backend, pid, error))
}
