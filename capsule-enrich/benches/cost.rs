//! What enrichment costs: nanoseconds per event with a whole snapshot, with the one that ptrace gives, and with none.
//!
//! `cargo bench -p capsule-enrich`
#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use capsule_core::{
    Argv, ByteString, EventKind, ExecInfo, ExitStatus, Ids, NoProc, OpenFile, Origin, Pid, ProcSource, ProcessEvent,
    Seq, Snapshot, SpawnKind, Stage as _, Timestamp,
};
use capsule_enrich::{Enricher, system};

fn events(snapshot: Option<&Snapshot>, count: u32, me: Option<u32>) -> Vec<ProcessEvent> {
    let argv: Argv = match me {
        Some(_) => std::env::args_os().map(|arg| arg.into_encoded_bytes()).collect(),
        None => ["git", "status"].iter().collect(),
    };
    let info = ExecInfo { filename: None, argv, exe: None, cwd: None, from_tid: None, snapshot: snapshot.cloned() };
    let exec = EventKind::Exec(Arc::new(info));
    let event =
        |pid, ppid, kind| ProcessEvent { seq: Seq(1), raw: Seq(1), timestamp: Timestamp(1), pid: Pid(pid), ppid, kind };
    let mut events = vec![event(1, None, EventKind::Spawn(SpawnKind::Root)), event(1, None, exec.clone())];
    for n in 0..count {
        let pid = me.unwrap_or(n + 2);
        events.push(event(pid, Some(Pid(1)), EventKind::Spawn(SpawnKind::Vfork)));
        events.push(event(pid, Some(Pid(1)), exec.clone()));
        let exit = EventKind::Exit { status: ExitStatus::Exited(0), rusage: None };
        events.push(event(pid, Some(Pid(1)), exit));
    }
    events
}

fn run(name: &str, events: &[ProcessEvent], source: fn() -> Box<dyn ProcSource>) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let mut enricher = Enricher::new(source());
        let mut out = Vec::new();
        let begun = Instant::now();
        for event in events {
            enricher.feed(black_box(event), &mut out);
            out.clear();
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e9 / events.len() as f64);
    }
    println!("{name:<34} {best:>8.0} ns/event");
    best
}

fn main() {
    let ptrace = Snapshot {
        exe: Some(ByteString::from("/usr/bin/git")),
        cwd: Some(ByteString::from("/home/user/project")),
        ids: Some(Ids { uid: 0, euid: 0, gid: 0, egid: 0 }),
        sid: Some(1),
        pgid: Some(2),
        fds: Some((0..3).map(|fd| OpenFile { fd, target: ByteString::from("/dev/pts/3") }).collect()),
        ..Snapshot::empty(Origin::Stopped)
    };
    let whole = Snapshot {
        tty: Some(ByteString::from("/dev/pts/3")),
        cgroup: Some(ByteString::from("/user.slice")),
        ..ptrace.clone()
    };
    let base = run("whole snapshot", &events(Some(&whole), 5_000, None), system);
    let ptrace = run("ptrace's snapshot", &events(Some(&ptrace), 5_000, None), system);
    let replay = run("recording, nothing known", &events(None, 5_000, None), || Box::new(NoProc));
    let gone = run("no snapshot, process gone", &events(None, 5_000, Some(u32::MAX)), system);
    let late = run("no snapshot, read from /proc", &events(None, 2_000, Some(std::process::id())), system);
    println!(
        "ratios to a whole snapshot: ptrace {:.1}, recording {:.1}, gone {:.1}, /proc {:.1}",
        ptrace / base,
        replay / base,
        gone / base,
        late / base
    );
}
