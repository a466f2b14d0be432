//! A second opinion: two backends record one run, and every disagreement is reported.
//!
//! The first backend records as it always does. The witness (eBPF) follows Capsule's own children at the same time and
//! records nothing: both tell their captures to a [`Story`], and the two stories are compared when the run is over. What
//! they disagree about becomes part of the coverage statement, so that every report says it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use capsule_core::{Argv, ByteString, ExitStatus, Pid, SpawnKind, escape_terminal};

use crate::sink::{CaptureBody, ExecCapture};

/// How many disagreements are spelled out.
const SPELLED_OUT: usize = 20;

/// A program that a process executed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Execution {
    argv: Argv,
    filename: Option<Vec<u8>>,
    exe: Option<ByteString>,
    cwd: Option<ByteString>,
    by_thread: bool,
}

/// One process, as a backend told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Life {
    parent: Option<Pid>,
    how: Option<SpawnKind>,
    execs: Vec<Execution>,
    end: Option<ExitStatus>,
    left_running: bool,
}

/// What a backend told of all processes. A pid may come again: the lives of one pid are in order.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lives: BTreeMap<Pid, Vec<Life>>,
    root: Option<Pid>,
    lost: u64,
    /// Whether its teller cannot say that a thread executed a program.
    pub(crate) knows_no_threads: bool,
}

/// A story that is told from several threads.
pub(crate) type Telling = Mutex<Story>;

/// Adds to a story.
pub(crate) fn tell(telling: &Telling, body: &CaptureBody) {
    // A story half told is still one: it is compared, and differs.
    telling.lock().unwrap_or_else(PoisonError::into_inner).add(body);
}

impl Story {
    fn life(&mut self, pid: Pid) -> &mut Life {
        let lives = self.lives.entry(pid).or_default();
        if lives.is_empty() {
            lives.push(Life::default());
        }
        let last = lives.len() - 1;
        &mut lives[last]
    }

    fn add(&mut self, body: &CaptureBody) {
        match body {
            CaptureBody::Spawn { parent, child, how } => {
                if *how == SpawnKind::Root {
                    self.root = Some(*child);
                }
                let life = Life { parent: *parent, how: Some(*how), ..Life::default() };
                self.lives.entry(*child).or_default().push(life);
            }
            CaptureBody::Exec(exec) => {
                let execution = execution(exec);
                self.life(exec.pid).execs.push(execution);
            }
            CaptureBody::Exit { pid, status, .. } => self.life(*pid).end = Some(*status),
            CaptureBody::LeftRunning { pid } => self.life(*pid).left_running = true,
            CaptureBody::Loss { count, .. } => self.lost = self.lost.saturating_add((*count).max(1)),
            CaptureBody::Thread { .. }
            | CaptureBody::ExecFailed { .. }
            | CaptureBody::Effect { .. }
            | CaptureBody::Line { .. }
            | CaptureBody::Stored(_) => {}
        }
    }

    /// How many processes.
    pub(crate) fn processes(&self) -> usize {
        self.lives.values().map(Vec::len).sum()
    }

    /// The story of `root` and what came of it, alone.
    fn below(mut self, root: Pid) -> Self {
        let mut kept = BTreeMap::new();
        let mut next = vec![root];
        let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
        for (pid, lives) in &self.lives {
            for parent in lives.iter().filter_map(|life| life.parent) {
                children.entry(parent).or_default().push(*pid);
            }
        }
        while let Some(pid) = next.pop() {
            if let Some(lives) = self.lives.remove(&pid) {
                kept.insert(pid, lives);
                next.extend(children.remove(&pid).unwrap_or_default());
            }
        }
        Self { lives: kept, ..self }
    }
}

fn execution(exec: &ExecCapture) -> Execution {
    Execution {
        argv: exec.argv.clone(),
        filename: exec.filename.clone(),
        exe: exec.snapshot.as_ref().and_then(|snapshot| snapshot.exe.clone()),
        cwd: exec.snapshot.as_ref().and_then(|snapshot| snapshot.cwd.clone()),
        by_thread: exec.from_tid.is_some(),
    }
}

/// What two stories of one run disagree about, in words; empty where they agree. Only what both could tell counts: a
/// fact that one backend does not have is no disagreement.
pub(crate) fn disagreements(first: Story, witness: Story, names: [&str; 2]) -> Vec<String> {
    let Some(root) = first.root else {
        return vec!["the first tracer recorded no command".to_owned()];
    };
    let (first, witness) = (first.below(root), witness.below(root));
    let [a, b] = names;
    let threads = !first.knows_no_threads && !witness.knows_no_threads;
    let mut found = Vec::new();
    if first.lost + witness.lost > 0 {
        found.push(format!("records were lost: {} by {a}, {} by {b}", first.lost, witness.lost));
    }
    for (pid, lives) in &first.lives {
        let seen = witness.lives.get(pid).map_or(&[][..], Vec::as_slice);
        if seen.len() != lives.len() {
            found.push(format!("process {pid}: {} lives by {a}, {} by {b}", lives.len(), seen.len()));
        }
        for (one, other) in lives.iter().zip(seen) {
            compare(*pid, one, other, names, threads, &mut found);
        }
    }
    for pid in witness.lives.keys().filter(|pid| !first.lives.contains_key(pid)) {
        found.push(format!("process {pid}: seen by {b} only"));
    }
    let more = found.len().saturating_sub(SPELLED_OUT);
    found.truncate(SPELLED_OUT);
    if more > 0 {
        found.push(format!("and {more} more disagreements"));
    }
    found
}

fn compare(pid: Pid, one: &Life, other: &Life, [a, b]: [&str; 2], threads: bool, found: &mut Vec<String>) {
    // Each calls the command's own beginning what it is to it.
    if one.how != Some(SpawnKind::Root) && (one.how, one.parent) != (other.how, other.parent) {
        let text = |life: &Life| format!("{:?} of {}", life.how, life.parent.map_or(0, |parent| parent.0));
        found.push(format!("process {pid}: {} by {a}, {} by {b}", text(one), text(other)));
    }
    if one.execs.len() != other.execs.len() {
        found.push(format!("process {pid}: {} programs by {a}, {} by {b}", one.execs.len(), other.execs.len()));
    }
    for (one, other) in one.execs.iter().zip(&other.execs) {
        let differ = |what: &str| {
            let name = one.argv.get(0).map(escape_terminal).unwrap_or_default();
            format!("process {pid} (`{name}`): {a} and {b} disagree about its {what}")
        };
        if one.argv != other.argv {
            found.push(differ("arguments"));
        }
        let both = |x: &Option<ByteString>, y: &Option<ByteString>| x.is_some() && y.is_some() && x != y;
        if one.filename.is_some() && other.filename.is_some() && one.filename != other.filename {
            found.push(differ("path as given"));
        }
        if both(&one.exe, &other.exe) {
            found.push(differ("executable"));
        }
        if both(&one.cwd, &other.cwd) {
            found.push(differ("directory"));
        }
        if threads && one.by_thread != other.by_thread {
            found.push(differ("thread that executed it"));
        }
    }
    if one.end != other.end && !one.left_running && !other.left_running {
        found.push(format!("process {pid}: ended {:?} by {a}, {:?} by {b}", one.end, other.end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(bodies: &[CaptureBody]) -> Story {
        let mut story = Story::default();
        bodies.iter().for_each(|body| story.add(body));
        story
    }

    fn exec(pid: u32, argv: &[&str]) -> CaptureBody {
        CaptureBody::Exec(Box::new(ExecCapture {
            pid: Pid(pid),
            from_tid: None,
            filename: None,
            argv: argv.iter().collect(),
            env: None,
            snapshot: None,
        }))
    }

    fn spawn(parent: Option<u32>, child: u32, how: SpawnKind) -> CaptureBody {
        CaptureBody::Spawn { parent: parent.map(Pid), child: Pid(child), how }
    }

    fn exit(pid: u32, code: i32) -> CaptureBody {
        CaptureBody::Exit { pid: Pid(pid), status: ExitStatus::Exited(code), rusage: None }
    }

    #[test]
    fn agreement_is_silent_and_strangers_of_the_witness_do_not_count() {
        let first = story(&[spawn(None, 10, SpawnKind::Root), exec(10, &["sh"]), exit(10, 0)]);
        let others = [spawn(Some(5), 10, SpawnKind::Fork), spawn(Some(5), 11, SpawnKind::Fork), exec(10, &["sh"])];
        let mut witness = story(&others);
        witness.add(&exit(10, 0));
        assert_eq!(disagreements(first, witness, ["ptrace", "ebpf"]), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_disagreement_is_told() {
        let first = story(&[
            spawn(None, 10, SpawnKind::Root),
            exec(10, &["sh", "-c"]),
            spawn(Some(10), 12, SpawnKind::Fork),
            exit(12, 0),
            spawn(Some(10), 13, SpawnKind::Fork),
            exit(10, 1),
        ]);
        let witness = story(&[
            spawn(Some(5), 10, SpawnKind::Fork),
            exec(10, &["sh", "-x"]),
            spawn(Some(10), 12, SpawnKind::Vfork),
            exit(12, 0),
            spawn(Some(12), 14, SpawnKind::Fork),
            exit(10, 2),
        ]);
        let told = disagreements(first, witness, ["ptrace", "ebpf"]);
        let about = |what: &str| told.iter().any(|line| line.contains(what));
        assert!(about("process 10 (`sh`): ptrace and ebpf disagree about its arguments"), "{told:?}");
        assert!(about("process 10: ended"), "{told:?}");
        assert!(about("process 12: Some(Fork) of 10 by ptrace, Some(Vfork) of 10 by ebpf"), "{told:?}");
        assert!(about("process 13: 1 lives by ptrace, 0 by ebpf"), "{told:?}");
        assert!(about("process 14: seen by ebpf only"), "{told:?}");
        assert_eq!(told.len(), 5, "{told:?}");
    }
}
