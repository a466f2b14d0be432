//! `--on-risk LEVEL CMD`: hands each finding to a command of the user's, while the session is recorded.
//!
//! Findings come over a queue that drops what does not fit, and the command runs on a thread of its own, one finding at a
//! time: neither it nor its mistakes can hold the recording up. It is Capsule's child, and so no part of the recorded tree.
//! It is told about on stderr only at the end: until then the terminal is the recorded program's.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use capsule_core::{RiskEvent, SessionId, Severity};
use capsule_io::Subscription;
use serde::Serialize;

use crate::error::Problem;
use crate::output;

/// How many findings wait for the command.
const WAITING: usize = 1024;
/// How long the session's end waits for what still runs.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of what the command said is shown.
const SAID: u64 = 300;

/// What is handed over, one JSON object.
#[derive(Serialize)]
struct Handed<'a> {
    schema: &'static str,
    session: &'a SessionId,
    finding: &'a RiskEvent,
}

/// Which findings, and what to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnRisk {
    /// Findings of this severity and worse.
    pub level: Severity,
    /// A shell's command line.
    pub command: std::ffi::OsString,
}

impl OnRisk {
    /// The two values of the option.
    ///
    /// # Errors
    /// When the first is no severity.
    pub fn new(values: Vec<std::ffi::OsString>) -> Result<Option<Self>, Problem> {
        let mut values = values.into_iter();
        let (Some(level), Some(command)) = (values.next(), values.next()) else { return Ok(None) };
        let level = level.to_str().and_then(Severity::from_name).ok_or_else(|| {
            let names: Vec<&str> = Severity::ALL.iter().map(|level| level.name()).collect();
            Problem::usage(format!("`{}` is no severity", level.display()))
                .hint(format!("it is one of {}", names.join(", ")))
        })?;
        Ok(Some(Self { level, command }))
    }

    /// Begins to wait for the findings of a session.
    ///
    /// # Errors
    /// When the user may have no more threads.
    pub fn start(self, session: SessionId) -> std::io::Result<(Handing, Running)> {
        let (sender, findings) = mpsc::sync_channel(WAITING);
        let (told, report) = mpsc::sync_channel(1);
        let counts = Arc::new(Counts::default());
        let (theirs, command, level) = (Arc::clone(&counts), self.command.clone(), self.level);
        std::thread::Builder::new().name("on-risk".to_owned()).spawn(move || {
            work(&command, &session, &findings, &theirs);
            // Nobody waits for it any more: then nobody needs to know.
            told.send(()).unwrap_or(());
        })?;
        let handing = Handing { level, sender, counts: Arc::clone(&counts) };
        Ok((handing, Running { command: self.command, report, counts }))
    }
}

/// What became of the findings.
#[derive(Debug, Default)]
struct Counts {
    taken: AtomicU64,
    dropped: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    why: std::sync::OnceLock<String>,
}

/// The recording's side: passes findings on and never waits.
#[derive(Debug)]
pub struct Handing {
    level: Severity,
    sender: SyncSender<RiskEvent>,
    counts: Arc<Counts>,
}

impl Handing {
    /// Passes findings on until there are no more.
    pub async fn follow(self, mut findings: Subscription<RiskEvent>) {
        while let Some(batch) = findings.recv().await {
            self.counts.dropped.fetch_add(batch.missed(), Ordering::Relaxed);
            // A correction takes an alarm back: it is none.
            let alarms = batch.iter().filter(|finding| finding.corrects.is_none() && finding.severity >= self.level);
            for finding in alarms {
                let count = match self.sender.try_send(finding.clone()) {
                    Ok(()) => &self.counts.taken,
                    Err(_full_or_gone) => &self.counts.dropped,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The command's side, for whoever ends the session.
#[derive(Debug)]
pub struct Running {
    command: std::ffi::OsString,
    report: Receiver<()>,
    counts: Arc<Counts>,
}

impl Running {
    /// Waits a little for what still runs, and says what went wrong. What runs on after that is left alone.
    pub fn finish(self) {
        let late = self.report.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let command = self.command.display();
        let (failed, dropped) = (count(&self.counts.failed), count(&self.counts.dropped));
        if failed > 0 {
            let why = self.counts.why.get().map_or("", String::as_str);
            output::say(&format!("--on-risk: `{command}` failed {failed} times, first: {why}"));
        }
        if dropped > 0 {
            output::say(&format!("--on-risk: `{command}` was too slow: {dropped} findings were not handed to it"));
        }
        if late {
            let open = count(&self.counts.taken).saturating_sub(count(&self.counts.done));
            output::say(&format!("--on-risk: `{command}` still runs: {open} findings are not dealt with"));
        }
    }
}

fn work(command: &std::ffi::OsStr, session: &SessionId, findings: &Receiver<RiskEvent>, counts: &Counts) {
    while let Ok(finding) = findings.recv() {
        let failure = match hand_over(command, session, &finding) {
            Ok(None) => None,
            Ok(Some(why)) => Some(why),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = failure {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            counts.why.get_or_init(|| why);
        }
        counts.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs the command once; says why it failed, if it did.
fn hand_over(command: &std::ffi::OsStr, session: &SessionId, finding: &RiskEvent) -> std::io::Result<Option<String>> {
    let json = serde_json::to_vec(&Handed { schema: "capsule.on-risk/1", session, finding })?;
    let said = tempfile::tempfile()?;
    // A group of its own: Ctrl-C is for the recorded program. What it says waits: the terminal is not ours.
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env("CAPSULE_SESSION", session.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .process_group(0)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // Not everyone reads it.
        input.write_all(&json).and_then(|()| input.write_all(b"\n")).unwrap_or(());
    }
    let status = child.wait()?;
    Ok((!status.success()).then(|| format!("{status}{}", begin(said))))
}

/// The first of what it said.
fn begin(mut said: File) -> String {
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.take(SAID).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match read {
        Ok(_) if !text.trim().is_empty() => format!(": {}", text.trim()),
        _ => String::new(),
    }
}
