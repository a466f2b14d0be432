//! Times [`capsule_classify::classify`] over JSON lines on standard input, command by command: median, 90th and 99th percentile,
//! and the stage's cost an event when the same commands come again (its memory of verdicts).
#![expect(clippy::print_stdout, reason = "an example that is a command line program")]

use std::hint::black_box;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use capsule_classify::jsonl::Request;
use capsule_classify::{Classifier, Input, Rules, classify};
use capsule_core::{
    EnrichedEvent, EventKind, ExecInfo, ExitStatus, Pid, ProcId, ProcessEvent, Seq, SpawnKind, Stage as _, Timestamp,
    TrackedEvent,
};

fn event(seq: u64, proc: u32, kind: EventKind) -> TrackedEvent {
    let event =
        ProcessEvent { seq: Seq(seq), raw: Seq(seq), timestamp: Timestamp(seq), pid: Pid(proc), ppid: None, kind };
    TrackedEvent {
        enriched: EnrichedEvent { event, context: None },
        proc: Some(ProcId(proc)),
        parent: None,
        depth: 1,
        lineage: Arc::from([]),
        anomaly: None,
    }
}

fn main() {
    let mut text = String::new();
    if std::io::stdin().read_to_string(&mut text).is_err() {
        return;
    }
    let begin = Instant::now();
    let rules = Rules::builtin();
    println!("rules loaded in {:?}", begin.elapsed());
    let inputs: Vec<Input> =
        text.lines().filter_map(|line| serde_json::from_str::<Request>(line).ok()).map(Input::from).collect();
    for input in &inputs {
        black_box(classify(&rules, input));
    }
    let mut times = Vec::new();
    for input in &inputs {
        let begin = Instant::now();
        for _ in 0..10 {
            black_box(classify(&rules, black_box(input)));
        }
        times.push(begin.elapsed().as_nanos() / 10);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
    println!(
        "classify: {} commands, median {} ns, p90 {} ns, p99 {} ns, max {} ns",
        times.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
    let mut stage = Classifier::new(rules);
    let mut events = Vec::new();
    let mut seq = 0;
    for round in 0..20_u32 {
        for (index, input) in inputs.iter().enumerate() {
            let proc = round * 100_000 + u32::try_from(index).unwrap_or_default() + 1;
            let info = ExecInfo {
                filename: None,
                argv: input.argv.clone(),
                exe: None,
                cwd: input.cwd.clone(),
                from_tid: None,
                snapshot: None,
            };
            let exit = EventKind::Exit { status: ExitStatus::Exited(0), rusage: None };
            for kind in [EventKind::Spawn(SpawnKind::Fork), EventKind::Exec(Arc::new(info)), exit] {
                seq += 1;
                events.push(event(seq, proc, kind));
            }
        }
    }
    let mut out = Vec::new();
    let begin = Instant::now();
    for event in &events {
        stage.feed(event, &mut out);
        out.clear();
    }
    println!(
        "stage: {} events, {} ns an event",
        events.len(),
        begin.elapsed().as_nanos() / (events.len() as u128).max(1)
    );
}
