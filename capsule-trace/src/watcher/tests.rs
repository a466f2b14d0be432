//! What the tests of dtrace and eslogger share: programs that stand in for them, and a recording under one.

use std::path::{Path, PathBuf};

use capsule_core::redact::Redactor;
use capsule_core::{RawBody, RawRecord};

use super::*;
use crate::tracer::{Tracer, Watch};

/// A shell script that stands in for a watching program. It ends when it is told to, as they do.
pub(crate) fn stand_in(directory: &Path, body: &str) -> PathBuf {
    let path = directory.join("stand-in");
    let text = format!(
        "#!/bin/sh\ntrap 'exit 0' INT TERM\ncd {}\n{body}\nwhile :; do sleep 0.02; done\n",
        directory.display()
    );
    // Written by another process: a child that this one forks meanwhile would hold the file open, and what is open for
    // writing cannot be executed (ETXTBSY).
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    io::Write::write_all(&mut writer.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

/// A recording of `script`, run in `directory`.
pub(crate) fn record(
    tracer: Box<dyn Tracer>,
    directory: &Path,
    script: &str,
    meanwhile: impl AsyncFnOnce(Watch),
) -> (Result<Outcome, TraceError>, Vec<RawRecord>) {
    let (sink, mut receiver) = crate::sink::channel(1 << 20, Redactor::off());
    let (control, watch) = Control::new();
    let mut launch = Launch::new(["/bin/sh", "-c", script]);
    launch.cwd = Some(directory.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let reading = async {
            let mut all = Vec::new();
            while let Some(batch) = receiver.recv().await {
                all.extend(batch);
            }
            all
        };
        let all = async { tokio::join!(tracer.run(launch, sink, control), reading, meanwhile(watch)) };
        let (outcome, records, ()) = tokio::time::timeout(Duration::from_secs(120), all).await.unwrap();
        (outcome, records)
    })
}

/// The lines that were recorded.
pub(crate) fn lines(records: &[RawRecord]) -> Vec<String> {
    let text = |record: &RawRecord| match &record.body {
        RawBody::Line { text, .. } => Some(text.to_lossy().into_owned()),
        _ => None,
    };
    records.iter().filter_map(text).collect()
}

/// What was lost, with its reasons.
pub(crate) fn losses(records: &[RawRecord]) -> Vec<(u64, String)> {
    let loss = |record: &RawRecord| match &record.body {
        RawBody::Loss { count, reason, .. } => Some((*count, reason.clone())),
        _ => None,
    };
    records.iter().filter_map(loss).collect()
}
