//! The strace backend against real programs, where strace is installed.

use std::time::Duration;

use capsule_core::redact::Redactor;
use capsule_core::{RawBody, RawRecord};

use super::*;
use crate::tracer::Watch;

fn record(
    options: TraceOptions,
    argv: &[&str],
    meanwhile: impl AsyncFnOnce(Watch),
) -> Option<(Result<Outcome, TraceError>, Vec<RawRecord>)> {
    if !probe().usable {
        return None;
    }
    let (sink, mut receiver) = crate::sink::channel(1 << 20, Redactor::off());
    let (control, watch) = Control::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let launch = Launch::new(argv);
    Some(runtime.block_on(async {
        let reading = async {
            let mut all = Vec::new();
            while let Some(batch) = receiver.recv().await {
                all.extend(batch);
            }
            all
        };
        let running = Box::new(Strace::new(options)).run(launch, sink, control);
        let all = async { tokio::join!(running, reading, meanwhile(watch)) };
        let (outcome, records, ()) = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
        (outcome, records)
    }))
}

fn lines(records: &[RawRecord]) -> Vec<String> {
    let text = |record: &RawRecord| match &record.body {
        RawBody::Line { text, .. } => Some(text.to_lossy().into_owned()),
        _ => None,
    };
    records.iter().filter_map(text).collect()
}

#[test]
fn the_trace_begins_with_the_directory_and_ends_with_the_status() {
    let argv = ["/bin/sh", "-c", "/bin/true a 'b c'; exit 3"];
    let Some((outcome, records)) = record(TraceOptions::default(), &argv, async |_| ()) else { return };
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Exited(3)));
    assert!(matches!(records[0].body, RawBody::Spawn { parent: None, how: SpawnKind::Root, .. }));
    let lines = lines(&records);
    assert!(lines[0].contains("chdir(\""), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(r#"["/bin/true", "a", "b c"]"#)), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("+++ exited with 3 +++"), "{lines:#?}");
    assert!(records.windows(2).all(|pair| pair[0].timestamp.0 > 1_600_000_000_000_000_000));
}

#[test]
fn a_command_that_is_not_there_is_127_and_leaves_no_record() {
    let Some((outcome, records)) = record(TraceOptions::default(), &["/nonexistent/x"], async |_| ()) else { return };
    assert_eq!(outcome.unwrap_err().exit_code(), 127);
    assert!(records.is_empty());
}

#[test]
fn a_process_that_outlives_the_root_is_let_go_and_lives() {
    let argv = ["/bin/sh", "-c", "sleep 30 </dev/null >/dev/null 2>&1 &"];
    let Some((outcome, _)) = record(TraceOptions::default(), &argv, async |_| ()) else { return };
    let left = outcome.unwrap().left_running;
    assert_eq!(left.len(), 1);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(tracer_of(left[0].0), Some(0));
    root::sys::kill(left[0].0, libc::SIGKILL);
}

#[test]
fn cancelling_kills_the_tree() {
    let argv = ["/bin/sh", "-c", "sleep 50 & sleep 50 & wait"];
    let ended = record(TraceOptions::default(), &argv, async |watch: Watch| {
        watch.started.await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        watch.cancel.cancel();
    });
    let Some((outcome, records)) = ended else { return };
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Signaled { signal: 9, core_dumped: false }));
    assert_eq!(lines(&records).iter().filter(|line| line.ends_with("+++ killed by SIGKILL +++")).count(), 3);
}
