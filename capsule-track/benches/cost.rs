//! What tracking costs: processes that start, exec and end, under one parent, in a deep chain, and with pids that come
//! again.
//!
//! `cargo bench -p capsule-track`

use std::sync::Arc;

use capsule_core::{
    EnrichedEvent, EventKind, ExecInfo, ExitStatus, Pid, ProcessEvent, Seq, SpawnKind, Stage as _, Timestamp,
};
use capsule_track::Tracker;
use divan::Bencher;
use divan::counter::ItemsCount;

const PROCESSES: u32 = 10_000;

fn main() {
    divan::main();
}

/// The events of [`PROCESSES`] processes; `pid` says how they are numbered, `parent` whose children they are.
fn events(pid: fn(u32) -> u32, parent: fn(u32) -> u32, ends: bool) -> Vec<EnrichedEvent> {
    let info = ExecInfo {
        filename: None,
        argv: ["git", "status"].iter().collect(),
        exe: None,
        cwd: None,
        from_tid: None,
        snapshot: None,
    };
    let exec = EventKind::Exec(Arc::new(info));
    let mut all = Vec::new();
    let mut push = |pid: u32, ppid: Option<u32>, kind: EventKind| {
        let seq = all.len() as u64 + 1;
        let (pid, ppid) = (Pid(pid), ppid.map(Pid));
        let event = ProcessEvent { seq: Seq(seq), raw: Seq(seq), timestamp: Timestamp(seq), pid, ppid, kind };
        all.push(EnrichedEvent { event, context: None });
    };
    push(1, None, EventKind::Spawn(SpawnKind::Root));
    for index in 0..PROCESSES {
        push(pid(index), Some(parent(index)), EventKind::Spawn(SpawnKind::Vfork));
        push(pid(index), None, exec.clone());
        if ends {
            push(pid(index), None, EventKind::Exit { status: ExitStatus::Exited(0), rusage: None });
        }
    }
    all
}

fn track(bencher: Bencher<'_, '_>, events: &[EnrichedEvent]) {
    bencher.counter(ItemsCount::new(events.len())).with_inputs(Tracker::new).bench_local_values(|mut tracker| {
        let mut out = Vec::with_capacity(events.len());
        events.iter().for_each(|event| tracker.feed(event, &mut out));
        out
    });
}

#[divan::bench]
fn one_parent(bencher: Bencher<'_, '_>) {
    track(bencher, &events(|index| index + 2, |_| 1, true));
}

#[divan::bench]
fn pids_that_come_again(bencher: Bencher<'_, '_>) {
    track(bencher, &events(|index| 2 + index % 100, |_| 1, true));
}

#[divan::bench]
fn a_deep_chain(bencher: Bencher<'_, '_>) {
    track(bencher, &events(|index| index + 2, |index| index + 1, false));
}
