//! What tracers read: lines of other programs, and the kernel programs' records, each from redaction to the tree.

use std::sync::Arc;

use capsule_core::redact::Redactor;
use capsule_core::{
    Backend, ByteString, EnrichedEvent, EventKind, Pid, ProcId, ProcessEvent, RawBody, RawRecord, Seq, SpawnKind,
    Stage as _, Timestamp, TrackedEvent,
};
use capsule_parse::Parser;
use capsule_trace::{CaptureBody, Launch, RawReceiver, channel};
use capsule_track::Tracker;

/// More than any input here makes.
const ROOM: usize = 1 << 30;

/// A log that strace wrote by itself, as `capsule import` reads it, and the same lines as `--tracer strace` reads them.
pub(super) fn strace(input: &[u8]) {
    lines(Backend::Strace, input);
    let (sink, receiver) = channel(ROOM, Redactor::new([7; 32]));
    let tracer = capsule_trace::import_strace(std::io::Cursor::new(input.to_vec()), Timestamp(1 << 60));
    let (control, _watch) = capsule_trace::Control::new();
    // A log without any process in it is refused; what it said until then is followed all the same.
    drop(runtime().block_on(tracer.run(Launch::new(["imported"]), sink, control)));
    follow(&received(receiver));
}

/// The output of the D script, and dtrace's messages in it.
pub(super) fn dtrace(input: &[u8]) {
    lines(Backend::Dtrace, input);
}

/// The output of eslogger.
pub(super) fn eslogger(input: &[u8]) {
    lines(Backend::Eslogger, input);
}

/// Records of the kernel programs, each after its length.
pub(super) fn ebpf(input: &[u8]) {
    let (sink, receiver) = channel(ROOM, Redactor::new([7; 32]));
    sink.push(Timestamp(1), root(Pid(1000)));
    capsule_trace::replay_ring(input, Pid(1000), sink);
    follow(&received(receiver));
}

const fn root(child: Pid) -> CaptureBody {
    CaptureBody::Spawn { parent: None, child, how: SpawnKind::Root }
}

/// Lines as a tracer hands them over. The first byte says whether it told of the root before, as it does live.
fn lines(source: Backend, input: &[u8]) {
    let (sink, receiver) = channel(ROOM, Redactor::new([7; 32]));
    let live = input.first().is_some_and(|byte| byte % 2 == 0);
    if live {
        sink.push(Timestamp(1), root(Pid(100)));
    }
    for (number, line) in input.split(|byte| *byte == b'\n').enumerate() {
        sink.push(Timestamp(2 + number as u64), CaptureBody::Line { source, text: line.to_vec() });
    }
    drop(sink);
    follow(&received(receiver));
}

fn runtime() -> tokio::runtime::Runtime {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    }
}

/// Everything that is said until the senders are gone.
fn received(mut receiver: RawReceiver) -> Vec<RawRecord> {
    runtime().block_on(async {
        let mut all = Vec::new();
        while let Some(records) = receiver.recv().await {
            all.extend(records);
        }
        all
    })
}

/// The way of raw records to the tree, and what must hold of it.
fn follow(records: &[RawRecord]) {
    let mut events = Vec::new();
    let mut parser = Parser::new().starting_in(ByteString::from("/work"));
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.seq, Seq(number as u64 + 1), "raw records are numbered without a gap");
        let mut stored = record.clone();
        if let RawBody::Exec { snapshot: Some(snapshot), .. } = &mut stored.body {
            // Told once and then named by its number.
            snapshot.env = None;
        }
        assert_reads_back(&stored);
        parser.feed(record, &mut events);
    }
    parser.finish(&mut events);
    let mut tracker = Tracker::new();
    let mut tracked = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.seq, Seq(number as u64 + 1), "events are numbered without a gap");
        assert!(event.raw.0 <= records.len() as u64, "an event names a record that is there");
        // The snapshot is what the next stage makes the context of; a stored event has none.
        let mut stored = event.clone();
        if let EventKind::Exec(exec) = &mut stored.kind {
            Arc::make_mut(exec).snapshot = None;
        }
        assert_reads_back(&stored);
        tracker.feed(&EnrichedEvent { event: ProcessEvent::clone(event), context: None }, &mut tracked);
    }
    tracker.finish(&mut tracked);
    assert_eq!(tracked.len(), events.len(), "one tracked event for each event");
    assert_tree(&tracked);
    let whole = records.iter().all(|record| !matches!(record.body, RawBody::Line { .. }));
    if whole {
        let lost = records.iter().filter(|record| matches!(record.body, RawBody::Loss { .. })).count();
        let gaps = events.iter().filter(|event| matches!(event.kind, EventKind::Gap { .. })).count();
        assert_eq!(lost, gaps, "every loss is a gap");
    }
}

/// Parents come before their children, and nobody is an ancestor of itself.
fn assert_tree(tracked: &[TrackedEvent]) {
    let mut depths: Vec<u32> = Vec::new();
    for event in tracked {
        let Some(ProcId(number)) = event.proc else { continue };
        let depth = match event.parent {
            None => 0,
            Some(ProcId(parent)) => {
                assert!(parent < number, "a parent is older than its child");
                depths.get(parent as usize - 1).map_or(0, |depth| depth + 1)
            }
        };
        assert_eq!(event.depth, depth, "a child is one deeper than its parent");
        assert!(event.lineage.iter().all(|ancestor| ancestor.0 < number), "nobody is an ancestor of itself");
        match depths.get(number as usize - 1) {
            Some(known) => assert_eq!(*known, depth, "a process keeps its place"),
            None => {
                assert_eq!(depths.len(), number as usize - 1, "processes are numbered without a gap");
                depths.push(depth);
            }
        }
    }
}

/// What is written can be read, and says the same.
fn assert_reads_back<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap_or_default();
    assert!(!text.contains('\n'), "a record is one line");
    match serde_json::from_str::<T>(&text) {
        Ok(back) => assert_eq!(&back, value, "{text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}
