//! Taking in a process that runs already, with its present descendants.
//!
//! `PTRACE_SEIZE` stops nobody, and from that moment on the kernel attaches to whatever the seized thread makes. What an
//! unseized thread makes meanwhile is found by looking again: the scan is repeated until a whole round finds nothing new, and
//! then every thread of the tree is either seized or attached to by the kernel.

use std::collections::{HashMap, HashSet};
use std::io;

use capsule_core::{Argv, Backend, Origin, Pid, SpawnKind};

use super::facts::{Facts, numbers};
use super::sys;
use crate::clock::now;
use crate::error::TraceError;
use crate::sink::{CaptureBody, ExecCapture, RawSink};

/// After so many rounds a tree that outgrows the scan is given up on; each round takes whatever the last one missed.
const MOST_ROUNDS: usize = 1000;

const REMEDY: &str = "attach as root or with CAP_SYS_PTRACE; as the same user only where `sysctl \
                      kernel.yama.ptrace_scope` is 0 and the process is dumpable";

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
        let children = children_by_parent();
        let mut waiting = vec![(root, Facts::group_and_parent(root).map_or(0, |(_, parent)| parent))];
        while let Some((pid, parent)) = waiting.pop() {
            if pid == std::process::id() {
                continue;
            }
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
                    Err(error) if taken.threads.is_empty() => return Err(refused(pid, error)),
                    Err(error) => {
                        passed_over.insert(tid);
                        // What ended meanwhile needs no attention.
                        taken.refused += u64::from(error.raw_os_error() != Some(libc::ESRCH) && !is_dead(tid));
                    }
                }
            }
            waiting.extend(children.get(&pid).into_iter().flatten().map(|child| (*child, pid)));
        }
        if taken.threads.is_empty() {
            return Err(refused(root, io::Error::from_raw_os_error(libc::ESRCH)));
        }
        if new == 0 {
            break;
        }
    }
    Ok(taken)
}

/// Seizes a process's first thread and lets it go at once: a tracer's thread that ends lets go of all it held, and nobody was
/// stopped for it.
pub(super) fn try_seize(pid: u32) -> Result<(), TraceError> {
    let tried = std::thread::Builder::new()
        .spawn(move || sys::seize(pid, 0))
        .map_err(|source| TraceError::System { action: "start a thread", source })?;
    let tried = tried.join().unwrap_or_else(|_panic| Err(io::Error::other("the thread panicked")));
    tried.map_err(|error| refused(pid, error))
}

fn refused(pid: u32, source: io::Error) -> TraceError {
    if let Some(tracer) = tracer_of(pid).filter(|tracer| *tracer != 0) {
        let because = format!("process {pid} has a tracer already, thread {tracer}");
        let remedy = Some("a process has one tracer at most: end that one first".to_owned());
        return TraceError::Unavailable { backend: Backend::Ptrace, because, remedy };
    }
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !is_dead(pid) => {
            TraceError::NotPermitted { action: "attach to the process", remedy: REMEDY.to_owned(), source }
        }
        _ => TraceError::System { action: "attach to the process", source },
    }
}

/// Says what `/proc` says of each process that was taken in: it may have been so for long.
pub(super) fn tell(taken: &Taken, facts: &mut Facts, sink: &RawSink) {
    for (pid, parent) in &taken.processes {
        let at = now();
        let child = Pid(*pid);
        let parent = taken.processes.iter().any(|(known, _)| known == parent).then_some(Pid(*parent));
        sink.push(at, CaptureBody::Spawn { parent, child, how: SpawnKind::Attached });
        let (argv, env) = facts.vectors(*pid);
        let argv = argv.map(|block| Argv::from_block(&block)).unwrap_or_default();
        if argv.is_empty() {
            // It is ending: there is nothing left to read.
            continue;
        }
        let mut snapshot = facts.snapshot(*pid).facts;
        snapshot.origin = Origin::Procfs;
        let exec = ExecCapture {
            pid: child,
            from_tid: None,
            filename: None,
            argv,
            env: env.map(std::sync::Arc::from),
            snapshot: Some(snapshot),
        };
        sink.push(at, CaptureBody::Exec(Box::new(exec)));
    }
}

fn threads(pid: u32) -> Vec<u32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn children_by_parent() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in numbers("/proc") {
        if let Some((_, parent)) = Facts::group_and_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

fn status_field(tid: u32, name: &str) -> Option<String> {
    let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

fn tracer_of(tid: u32) -> Option<u32> {
    status_field(tid, "TracerPid:")?.parse().ok()
}

/// Whether it has ended and only waits to be waited for.
fn is_dead(tid: u32) -> bool {
    status_field(tid, "State:").is_none_or(|state| state.starts_with(['Z', 'X']))
}
