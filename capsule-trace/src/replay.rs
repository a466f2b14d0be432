//! Recordings as tracers: a stored `raw.jsonl`, or a log that strace wrote by itself.
//!
//! They take the same way as a live recording, so that what is tested and measured with a recording is what runs
//! live.

use std::io::{self, Read};

use capsule_core::{Backend, Coverage, ExitStatus, Pid, RawBody, RawRecord, SpawnKind, Timestamp};
use tokio::sync::oneshot;

use crate::clock::now;
use crate::command::Launch;
use crate::error::TraceError;
use crate::lines::{Clock, Lines};
use crate::sink::{CaptureBody, RawSink};
use crate::tracer::{Control, Outcome, Running, Tracer};

/// The records of a stored session, in order, as a tracer. The command that it is asked to run is not run.
///
/// They are redacted already and stay as they are. A record that cannot be read becomes a loss record.
pub fn replay(records: impl Iterator<Item = io::Result<RawRecord>> + Send + 'static) -> Box<dyn Tracer> {
    Box::new(Replay { source: Source::Records(Box::new(records)) })
}

/// A log of `strace -f -o FILE` (with `-t`, `-tt`, `-ttt`, `-r` or no times) as a tracer. The command that it is asked to run
/// is not run.
///
/// `base` is when the log begins, for logs that do not say: the file's modification time, for example.
pub fn import_strace(log: impl Read + Send + 'static, base: Timestamp) -> Box<dyn Tracer> {
    Box::new(Replay { source: Source::Strace(Box::new(log), base) })
}

enum Source {
    Records(Box<dyn Iterator<Item = io::Result<RawRecord>> + Send>),
    Strace(Box<dyn Read + Send>, Timestamp),
}

struct Replay {
    source: Source,
}

impl Tracer for Replay {
    fn backend(&self) -> Backend {
        match self.source {
            Source::Records(_) => Backend::Replay,
            Source::Strace(..) => Backend::Strace,
        }
    }

    fn run(self: Box<Self>, _launch: Launch, sink: RawSink, control: Control) -> Running {
        let backend = self.backend();
        Box::pin(async move {
            let (done_tx, done) = oneshot::channel();
            let thread = std::thread::Builder::new().name("capsule-replay".to_owned()).spawn(move || {
                let root = match self.source {
                    Source::Records(records) => stored(records, &sink, &control),
                    Source::Strace(log, base) => strace(log, base, &sink, &control),
                };
                let _unheard = done_tx.send(root.map(|root| (root, sink.lost())));
            });
            thread.map_err(|source| TraceError::System { action: "start a thread", source })?;
            let broke_off =
                |_panic| TraceError::BrokeOff { backend, because: "the reading thread panicked".to_owned() };
            let (root, lost) = done.await.map_err(broke_off)??;
            let coverage = Coverage {
                backend,
                hooks: Vec::new(),
                lost,
                not_seen: vec!["whatever the recording does not hold".to_owned()],
            };
            Ok(Outcome { root, coverage, left_running: Vec::new() })
        })
    }
}

fn stored(
    records: impl Iterator<Item = io::Result<RawRecord>>,
    sink: &RawSink,
    control: &Control,
) -> Result<Option<ExitStatus>, TraceError> {
    let mut root = None;
    let mut ended = None;
    for record in records {
        if control.cancel.is_cancelled() {
            break;
        }
        match record {
            Ok(record) => {
                match &record.body {
                    RawBody::Spawn { parent: None, child, how: SpawnKind::Root } if root.is_none() => {
                        root = Some(*child);
                    }
                    RawBody::Exit { pid, status, .. } if Some(*pid) == root => ended = Some(*status),
                    _ => {}
                }
                sink.push(record.timestamp, CaptureBody::Stored(Box::new(record.body)));
            }
            Err(error) => sink.loss(now(), 1, None, format!("a stored record cannot be read: {error}")),
        }
    }
    Ok(ended)
}

fn strace(
    mut log: impl Read,
    base: Timestamp,
    sink: &RawSink,
    control: &Control,
) -> Result<Option<ExitStatus>, TraceError> {
    let mut lines = Lines::default();
    let mut clock = Clock::new(base);
    let mut first = true;
    let mut push = |line: &[u8]| {
        let at = clock.at(line);
        if first && !line.trim_ascii().is_empty() {
            first = false;
            if let Some(pid) = leading_pid(line) {
                sink.push(at, CaptureBody::Spawn { parent: None, child: Pid(pid), how: SpawnKind::Root });
            }
        }
        // A log from elsewhere may end its lines as other systems do.
        let text = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        sink.push(at, CaptureBody::Line { source: Backend::Strace, text });
    };
    let mut buffer = vec![0; 64 << 10];
    while !control.cancel.is_cancelled() {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), &mut push),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(TraceError::System { action: "read the log", source }),
        }
    }
    let cut = lines.finish(push);
    if cut > 0 {
        sink.loss(now(), 1, None, format!("{cut} bytes of lines longer than strace writes were cut"));
    }
    Ok(None)
}

/// The pid in front of a line of `strace -f -o`.
fn leading_pid(line: &[u8]) -> Option<u32> {
    let line = line.trim_ascii_start();
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = line.split_at(digits);
    if rest.first() != Some(&b' ') {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use capsule_core::Seq;
    use capsule_core::redact::Redactor;

    fn run(tracer: Box<dyn Tracer>) -> (Outcome, Vec<RawRecord>) {
        let (sink, mut receiver) = crate::sink::channel(1 << 20, Redactor::off());
        let (control, _watch) = Control::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let reading = async {
                let mut all = Vec::new();
                while let Some(batch) = receiver.recv().await {
                    all.extend(batch);
                }
                all
            };
            let (outcome, records) = tokio::join!(tracer.run(Launch::new(["unused"]), sink, control), reading);
            (outcome.unwrap(), records)
        })
    }

    #[test]
    fn a_stored_recording_comes_back_as_it_was() {
        let body = [
            RawBody::Spawn { parent: None, child: Pid(7), how: SpawnKind::Root },
            RawBody::Exit { pid: Pid(7), status: ExitStatus::Exited(3), rusage: None },
        ];
        let stored: Vec<RawRecord> = (1_u64..)
            .zip(body)
            .map(|(seq, body)| RawRecord { seq: Seq(seq), timestamp: Timestamp(seq * 10), body })
            .collect();
        let (outcome, records) = run(replay(stored.clone().into_iter().map(Ok)));
        assert_eq!(records, stored);
        assert_eq!(outcome.root, Some(ExitStatus::Exited(3)));
    }

    #[test]
    fn an_unreadable_record_is_said_to_be_lost() {
        let (outcome, records) = run(replay([Err(io::Error::other("torn"))].into_iter()));
        assert_eq!((outcome.coverage.lost, records.len()), (1, 1));
    }

    #[test]
    fn a_log_is_handed_over_line_by_line() {
        let log = b"12 1700000000.5 execve(\"/bin/\xff\", [], 0x0) = 0\r\n12 1700000001.0 +++ exited with 0 +++";
        let (_, records) = run(import_strace(&log[..], Timestamp(1)));
        let texts: Vec<_> = records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Line { text, .. } => Some(text.as_bytes().to_vec()),
                _ => None,
            })
            .collect();
        assert_eq!(texts[0], b"12 1700000000.5 execve(\"/bin/\xff\", [], 0x0) = 0");
        assert_eq!((texts.len(), records[1].timestamp), (2, Timestamp(1_700_000_000_500_000_000)));
        assert!(matches!(records[0].body, RawBody::Spawn { child: Pid(12), .. }));
    }
}
