//! Processes that run already: found with their descendants, told apart from later holders of their pids, and told of.
//!
//! What `/proc` says is what a process is now; it may have been so for long, and may be otherwise a moment later. A pid
//! means the same process as before only where the start time is the same (`proc_pid_stat(5)`, field 22).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use capsule_core::{Argv, Backend, Origin, Pid, SpawnKind, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::TraceError;
use crate::ptrace::facts::{Facts, numbers};
use crate::sink::{CaptureBody, ExecCapture, RawSink};
use crate::tracer::{Linger, TraceOptions};

/// After so many rounds a tree that outgrows the scan is given up on; each round takes whatever the last one missed.
pub(crate) const MOST_ROUNDS: usize = 1000;

/// What is said first of every recording of a process that ran already.
pub(crate) const BEFORE: &str = "what the process and its descendants did before Capsule attached, and descendants whose \
                                 parents had ended by then";

const REMEDY: &str = "attach as root or with CAP_SYS_PTRACE; as the same user only where `sysctl \
                      kernel.yama.ptrace_scope` is 0 and the process is dumpable";

/// `PF_EXITING` and `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const EXITING: u32 = 0x4;
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A process as `/proc` showed it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// Clock ticks since boot: with the pid, which process this is.
    started: u64,
}

impl Process {
    /// The process of that number; `None` where there is none.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let stat = Stat::read(&format!("/proc/{pid}/stat"))?;
        Some(Self { pid, parent: stat.parent, started: stat.started })
    }

    /// Whether it is still this process, and any thread of it has not begun to exit.
    pub(crate) fn lives(&self) -> bool {
        Self::find(self.pid).is_some_and(|now| now.started == self.started)
            && threads(self.pid).into_iter().any(|tid| {
                Stat::read(&format!("/proc/{}/task/{tid}/stat", self.pid)).is_some_and(|stat| stat.flags & EXITING == 0)
            })
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    flags: u32,
    started: u64,
}

impl Stat {
    fn read(path: &str) -> Option<Self> {
        Self::parse(&std::fs::read(path).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The name may hold anything, and ends at the last parenthesis.
        let end = memchr::memrchr(b')', text)?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let flags = fields.nth(4)?.parse().ok()?;
        let started = fields.nth(12)?.parse().ok()?;
        Some(Self { parent, flags, started })
    }
}

/// When an attached tree is let go: when that is asked for, or the grace is over after the root's end.
pub(crate) async fn let_go_when(root_ended: &Notify, options: &TraceOptions, asked: &CancellationToken) {
    let over = async {
        root_ended.notified().await;
        if options.linger == Linger::Wait {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(options.grace).await;
    };
    tokio::select! {
        () = asked.cancelled() => {}
        () = over => {}
    }
}

/// The process that a thread's number means.
pub(crate) fn process_of(tid: u32) -> u32 {
    Facts::group_and_parent(tid).map_or(tid, |(group, _)| group)
}

/// `root` and its descendants that there are now, parents first; without this process and its own.
pub(crate) fn tree(root: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for pid in numbers("/proc") {
        if let Some(process) = Process::find(pid) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let own = std::process::id();
    let mut waiting: Vec<Process> = Process::find(root).into_iter().collect();
    let mut found = Vec::new();
    while let Some(process) = waiting.pop() {
        if process.pid != own {
            found.push(process);
            waiting.extend(children.remove(&process.pid).unwrap_or_default());
        }
    }
    found
}

/// The threads of a process, its leader among them.
pub(crate) fn threads(pid: u32) -> Vec<u32> {
    numbers(&format!("/proc/{pid}/task"))
}

fn status_field(tid: u32, name: &str) -> Option<String> {
    let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// The thread that traces `tid` by `ptrace(2)`; 0 where nobody does.
pub(crate) fn tracer_of(tid: u32) -> Option<u32> {
    status_field(tid, "TracerPid:")?.parse().ok()
}

/// Whether it has ended and only waits to be waited for.
pub(crate) fn is_dead(tid: u32) -> bool {
    status_field(tid, "State:").is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// Why a process was refused, as well as it can be found out.
pub(crate) fn refused(backend: Backend, pid: u32, source: io::Error) -> TraceError {
    if let Some(tracer) = tracer_of(pid).filter(|tracer| *tracer != 0) {
        let because = format!("process {pid} has a tracer already, thread {tracer}");
        let remedy =
            Some("a process has one ptrace tracer at most: end that one first, or use --tracer ebpf".to_owned());
        return TraceError::Unavailable { backend, because, remedy };
    }
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if !is_dead(pid) => {
            TraceError::NotPermitted { action: "attach to the process", remedy: REMEDY.to_owned(), source }
        }
        _ => TraceError::System { action: "attach to the process", source },
    }
}

/// Asks the kernel whether this process may look into another one, as it would for ptrace(2) (`PTRACE_MODE_READ`): who may
/// load kernel programs could otherwise record other users' processes with them.
pub(crate) fn may_look_into(backend: Backend, pid: u32) -> Result<(), TraceError> {
    let stat = Stat::read(&format!("/proc/{pid}/stat"));
    if stat.is_some_and(|stat| stat.flags & KERNEL_THREAD != 0) {
        let because = format!("process {pid} is a thread of the kernel");
        return Err(TraceError::Unavailable { backend, because, remedy: None });
    }
    match std::fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(backend, pid, error)),
    }
}

/// Tells of processes that ran already: each with its parent, where that is one of them, and what `/proc` says of it.
pub(crate) fn tell(processes: &[(u32, u32)], at: Timestamp, facts: &mut Facts, sink: &RawSink) {
    let known: std::collections::HashSet<u32> = processes.iter().map(|(pid, _)| *pid).collect();
    for (pid, parent) in processes {
        let child = Pid(*pid);
        let parent = known.contains(parent).then_some(Pid(*parent));
        sink.push(at, CaptureBody::Spawn { parent, child, how: SpawnKind::Attached });
        let (argv, env) = facts.vectors(*pid);
        let argv = argv.map(|block| Argv::from_block(&block)).unwrap_or_default();
        if argv.is_empty() {
            // It is ending: there is nothing left to read.
            continue;
        }
        let mut snapshot = facts.snapshot(*pid).facts;
        snapshot.origin = Origin::Procfs;
        let env = env.map(Arc::from);
        let exec = ExecCapture { pid: child, from_tid: None, filename: None, argv, env, snapshot: Some(snapshot) };
        sink.push(at, CaptureBody::Exec(Box::new(exec)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_other_fields() {
        let text = b"12 (a) R 1 (b)) S 7 12 12 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 7, flags: 4_194_304, started: 4711 }));
        assert_eq!(Stat::parse(b"12 (a"), None);
        assert_eq!(Stat::parse(b"12 (a) R 1"), None);
    }

    #[test]
    fn a_process_lives_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let found = tree(std::process::id());
        assert!(found.is_empty(), "this process is left out with its own: {found:?}");
        let process = Process::find(child.id()).unwrap();
        assert_eq!(process.parent, std::process::id());
        assert!(process.lives() && tree(child.id()) == [process]);
        assert!(!Process { started: 0, ..process }.lives(), "another process of the same number");
        child.kill().unwrap();
        // Before it is waited for: it has ended all the same.
        while !is_dead(child.id()) {
            std::thread::yield_now();
        }
        assert!(!process.lives());
        child.wait().unwrap();
        assert!(!process.lives() && Process::find(child.id()).is_none());
    }
}
