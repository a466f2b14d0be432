//! Tests named by what goes wrong in real traces.

use std::collections::HashMap;
use std::sync::Arc;

use capsule_core::{Argv, ExecInfo, ExitStatus, ProcId, ProcessEvent, Seq, SpawnKind, Timestamp, run_to_end};
use proptest::prelude::*;

use super::*;

/// Makes events one nanosecond apart.
#[derive(Default)]
struct Trace(Vec<EnrichedEvent>);

impl Trace {
    fn push(&mut self, pid: u32, ppid: Option<u32>, kind: EventKind) -> &mut Self {
        let seq = Seq(self.0.len() as u64 + 1);
        let event =
            ProcessEvent { seq, raw: seq, timestamp: Timestamp(seq.0), pid: Pid(pid), ppid: ppid.map(Pid), kind };
        self.0.push(EnrichedEvent { event, context: None });
        self
    }

    fn root(&mut self, pid: u32) -> &mut Self {
        self.push(pid, None, EventKind::Spawn(SpawnKind::Root))
    }

    fn fork(&mut self, parent: u32, child: u32) -> &mut Self {
        self.push(child, Some(parent), EventKind::Spawn(SpawnKind::Fork))
    }

    fn exec(&mut self, pid: u32) -> &mut Self {
        let argv = Argv::from_iter(["x"]);
        let exec = ExecInfo { filename: None, argv, exe: None, cwd: None, from_tid: None, snapshot: None };
        self.push(pid, None, EventKind::Exec(Arc::new(exec)))
    }

    fn exit(&mut self, pid: u32) -> &mut Self {
        self.push(pid, None, EventKind::Exit { status: ExitStatus::Exited(0), rusage: None })
    }

    fn run(&self) -> Vec<TrackedEvent> {
        run_to_end(&mut Tracker::new(), &self.0)
    }
}

/// What happened, to whom, whose child, how deep, and what is odd about it.
type Brief = (&'static str, u32, Option<u32>, u32, Option<Anomaly>);

fn brief(tracked: &[TrackedEvent]) -> Vec<Brief> {
    tracked
        .iter()
        .map(|t| (t.event().kind.name(), t.proc.map_or(0, |p| p.0), t.parent.map(|p| p.0), t.depth, t.anomaly))
        .collect()
}

#[test]
fn a_reused_pid_is_somebody_else() {
    let mut trace = Trace::default();
    trace.root(10).fork(10, 20).exit(20).fork(10, 20).exec(20).exit(20);
    assert_eq!(
        brief(&trace.run()),
        [
            ("spawn", 1, None, 0, None),
            ("spawn", 2, Some(1), 1, None),
            ("exit", 2, Some(1), 1, None),
            ("spawn", 3, Some(1), 1, None),
            ("exec", 3, Some(1), 1, None),
            ("exit", 3, Some(1), 1, None),
        ]
    );
}

#[test]
fn a_pid_reused_without_a_seen_end_is_somebody_else_and_odd() {
    let mut trace = Trace::default();
    trace.root(10).fork(10, 20).fork(10, 20);
    assert_eq!(brief(&trace.run())[2], ("spawn", 3, Some(1), 1, Some(Anomaly::EndNotSeen)));
}

#[test]
fn a_childs_events_before_its_fork_wait_for_it() {
    let mut trace = Trace::default();
    trace.root(10).exec(20).exit(20).fork(10, 20);
    assert_eq!(
        brief(&trace.run()),
        [
            ("spawn", 1, None, 0, None),
            ("spawn", 2, Some(1), 1, None),
            ("exec", 2, Some(1), 1, None),
            ("exit", 2, Some(1), 1, None),
        ]
    );
}

#[test]
fn an_event_without_any_beginning_is_an_orphans_in_the_end() {
    let mut trace = Trace::default();
    trace.root(10).exec(99).exit(10);
    assert_eq!(
        brief(&trace.run()),
        [("spawn", 1, None, 0, None), ("exit", 1, None, 0, None), ("exec", 2, None, 0, Some(Anomaly::Orphan)),]
    );
}

#[test]
fn a_late_event_belongs_to_the_process_that_ended() {
    let mut trace = Trace::default();
    trace.root(10).fork(10, 20).exit(20).exec(20);
    trace.0[3].event.timestamp = Timestamp(2);
    assert_eq!(brief(&trace.run())[3], ("exec", 2, Some(1), 1, Some(Anomaly::AfterEnd)));
}

#[test]
fn a_child_of_a_parent_that_just_ended_keeps_its_parent() {
    let mut trace = Trace::default();
    trace.root(10).fork(10, 20).exit(20).fork(20, 30);
    trace.0[3].event.timestamp = Timestamp(3);
    assert_eq!(brief(&trace.run())[3], ("spawn", 3, Some(2), 2, None));
}

#[test]
fn a_deep_chain_keeps_its_nearest_ancestors_only() {
    let mut trace = Trace::default();
    trace.root(1);
    for pid in 1..500 {
        trace.fork(pid, pid + 1);
    }
    let tracked = trace.run();
    let last = tracked.last().expect("there are events");
    assert_eq!(last.depth, 499);
    assert_eq!(last.lineage.len(), 64);
    assert_eq!(last.lineage.last(), Some(&ProcId(499)));
    assert_eq!(last.parent, Some(ProcId(499)));
}

#[test]
fn memory_follows_the_living() {
    let mut tracker = Tracker::new();
    let mut out = Vec::new();
    let mut trace = Trace::default();
    trace.root(1);
    for n in 0..100_000_u32 {
        let pid = 2 + n % 30_000;
        trace.fork(1, pid).exit(pid);
    }
    for event in &trace.0 {
        tracker.feed(event, &mut out);
        assert!(tracker.live() <= 2);
        out.clear();
    }
    assert_eq!(tracker.seen(), 100_001);
}

proptest! {
    /// Whatever the order and content of a trace: one output an input, parents before children, nobody their own
    /// ancestor, a process keeps its place, and whoever has no parent is a root or said to be odd. The counts add up.
    #[test]
    fn any_trace_gives_a_tree(steps in proptest::collection::vec((0..7_u8, 1..12_u32, 1..12_u32, 0..8_u64), 0..300)) {
        let mut trace = Trace::default();
        trace.root(1);
        for (what, a, b, back) in steps {
            match what {
                0 | 1 => trace.fork(a, b),
                2 => trace.exec(a),
                3 => trace.exit(a),
                4 => trace.push(a, Some(b), EventKind::LeftRunning),
                5 => trace.push(a, Some(b), EventKind::Exit { status: ExitStatus::Exited(0), rusage: None }),
                _ => trace.push(0, None, EventKind::Diagnostic { reason: String::new() }),
            };
            // Records of several processors come out of order.
            if let Some(last) = trace.0.last_mut() {
                last.event.timestamp = Timestamp(last.event.timestamp.0.saturating_sub(back));
            }
        }
        let mut tracker = Tracker::new();
        let mut tracked = Vec::new();
        for event in &trace.0 {
            tracker.feed(event, &mut tracked);
        }
        tracker.finish(&mut tracked);
        prop_assert_eq!(tracked.len(), trace.0.len());
        prop_assert_eq!(&tracked, &trace.run());
        // One output for each input, whatever the order.
        let mut seen: Vec<u64> = tracked.iter().map(|t| t.event().seq.0).collect();
        seen.sort_unstable();
        prop_assert!(seen.iter().copied().eq(1..=trace.0.len() as u64));
        let mut places: HashMap<ProcId, (Option<ProcId>, u32, Vec<ProcId>)> = HashMap::new();
        for t in &tracked {
            let of_nobody = matches!(t.event().kind, EventKind::Diagnostic { .. });
            prop_assert_eq!(t.proc.is_none(), of_nobody);
            let Some(proc) = t.proc else { continue };
            let place = (t.parent, t.depth, t.lineage.to_vec());
            let known = places.contains_key(&proc);
            prop_assert_eq!(&*places.entry(proc).or_insert_with(|| place.clone()), &place, "a process keeps its place");
            prop_assert!(!t.lineage.contains(&proc), "nobody is their own ancestor");
            prop_assert_eq!(t.lineage.last().copied(), t.parent);
            match t.parent {
                Some(parent) => {
                    let (_, depth, above) = places.get(&parent).expect("parents come before their children");
                    prop_assert_eq!(t.depth, depth + 1);
                    prop_assert_eq!(t.lineage.iter().rev().skip(1).rev().collect::<Vec<_>>(), above.iter().collect::<Vec<_>>());
                }
                None => {
                    prop_assert_eq!(t.depth, 0);
                    let root = matches!(t.event().kind, EventKind::Spawn(SpawnKind::Root | SpawnKind::Attached));
                    prop_assert!(known || root || t.anomaly.is_some(), "without a parent: a root, or odd");
                }
            }
        }
        prop_assert_eq!(places.len() as u32, tracker.seen(), "every process that was counted has an event");
        prop_assert!((1..=tracker.seen()).all(|number| places.contains_key(&ProcId(number))));
        prop_assert!(tracker.live() <= places.len());
    }
}
