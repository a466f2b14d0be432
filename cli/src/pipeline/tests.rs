//! What becomes of a session when a part of the pipeline is slow or breaks.

use std::time::Duration;

use capsule_classify::{Classifier, Rules};
use capsule_core::redact::Redactor;
use capsule_core::{ExitStatus, NoProc, Pid, RawBody, SessionStatus, SpawnKind, Timestamp};
use capsule_enrich::Enricher;
use capsule_io::Store;
use capsule_parse::Parser;
use capsule_trace::{CaptureBody, RawSink};
use capsule_track::Tracker;

use super::*;

/// Passes records on to another stage, after doing something.
struct Before<S, F>(S, F);

impl<S: Stage, F: FnMut(&S::In)> Stage for Before<S, F> {
    type In = S::In;
    type Out = S::Out;

    fn feed(&mut self, input: &S::In, out: &mut Vec<S::Out>) {
        (self.1)(input);
        self.0.feed(input, out);
    }

    fn finish(&mut self, out: &mut Vec<S::Out>) {
        self.0.finish(out);
    }
}

fn stages() -> Stages {
    Stages {
        parse: Box::new(Parser::new()),
        enrich: Box::new(Enricher::new(Box::new(NoProc))),
        track: Box::new(Tracker::new()),
        classify: Box::new(Classifier::new(Rules::builtin())),
    }
}

/// A root that forks `count` children, each of which ends at once.
fn forks(sink: &RawSink, count: u32) {
    let stored = |body| CaptureBody::Stored(Box::new(body));
    sink.push(Timestamp(1), stored(RawBody::Spawn { parent: None, child: Pid(1), how: SpawnKind::Root }));
    for n in 0..count {
        let child = Pid(2 + n % 1000);
        sink.push(Timestamp(2), stored(RawBody::Spawn { parent: Some(Pid(1)), child, how: SpawnKind::Fork }));
        let status = ExitStatus::Exited(0);
        sink.push(Timestamp(3), stored(RawBody::Exit { pid: child, status, rusage: None }));
    }
}

struct Run {
    _home: tempfile::TempDir,
    session: SessionWriter<Unsealed>,
    recorded: Recorded,
}

async fn run_with(stages: Stages, count: u32) -> Run {
    let home = tempfile::tempdir().unwrap();
    let store = Store::at(home.path());
    let metadata = crate::recording::tests_metadata(store.new_id(Timestamp(1)).unwrap());
    let mut session = store.create(&metadata).unwrap();
    let (sink, receiver) = capsule_trace::channel(1 << 16, Redactor::off());
    let pushing = std::thread::spawn(move || forks(&sink, count));
    let recorded = run(stages, receiver, &mut session, metadata, Listeners::default()).await.unwrap();
    pushing.join().unwrap();
    Run { _home: home, session, recorded }
}

fn records(run: &Run, stream: StreamName) -> u64 {
    run.recorded.seals.iter().find(|(name, _)| *name == stream).map_or(0, |(_, seal)| seal.records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_stage_slows_the_source_and_loses_nothing() {
    let mut slow = stages();
    let mut seen = 0_u32;
    slow.classify = Box::new(Before(Classifier::new(Rules::builtin()), move |_: &TrackedEvent| {
        seen += 1;
        if seen.is_multiple_of(100) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }));
    let run = run_with(slow, 20_000).await;
    assert_eq!(run.recorded.failure, None);
    for stream in [StreamName::Raw, StreamName::Events, StreamName::Enriched] {
        assert_eq!(records(&run, stream), 40_001, "{stream}");
    }
    let view = run.recorded.view.as_ref().unwrap();
    assert_eq!((view.tree.nodes.len(), view.lost), (20_001, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_stage_leaves_the_session_failed() {
    for broken in ["parse", "enrich", "track", "classify"] {
        let mut stages = stages();
        fn fuse<T>(mut left: u32) -> impl FnMut(&T) {
            move |_| {
                assert!(left > 0, "this stage breaks on purpose");
                left -= 1;
            }
        }
        match broken {
            "parse" => stages.parse = Box::new(Before(Parser::new(), fuse(500))),
            "enrich" => stages.enrich = Box::new(Before(Enricher::new(Box::new(NoProc)), fuse(500))),
            "track" => stages.track = Box::new(Before(Tracker::new(), fuse(500))),
            _ => stages.classify = Box::new(Before(Classifier::new(Rules::builtin()), fuse(500))),
        }
        let run = run_with(stages, 5_000).await;
        let failure = run.recorded.failure.clone().unwrap();
        assert_eq!(failure.stage, broken);
        assert!(failure.reason.contains("on purpose"), "{failure:?}");
        // What came before the break is evidence all the same: the raw stream is whole.
        assert_eq!(records(&run, StreamName::Raw), 10_001);

        let mut metadata = crate::recording::tests_metadata(run.session.id().clone());
        crate::recording::tests_end(&mut metadata, &run.recorded);
        assert!(matches!(metadata.status, SessionStatus::Failed { ref stage, .. } if stage == broken));
    }
}
