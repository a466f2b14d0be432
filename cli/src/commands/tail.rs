//! `capsule tail`: a session's records, one line each, as they come.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::AsFd as _;

use capsule_core::{EventKind, ExitStatus, Timestamp, escape_terminal, exit};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

use crate::args::TailArgs;
use crate::error::{Outcome, Problem};
use crate::follow::{Follower, Record, to_watch};
use crate::output;

/// How many records are read before they are written.
const BATCH: usize = 512;
/// How long it waits for more, in milliseconds.
const PAUSE: u16 = 100;

pub(super) fn exec(args: &TailArgs) -> Outcome {
    let mut follower = Follower::new(to_watch(args.session.as_deref())?)?;
    let started = follower.metadata()?.started;
    let mut out = output::data();
    // With `--lines`, the last of what is there already are kept until there is no more of it.
    let mut last = args.lines.map(|count| (count, VecDeque::new()));
    loop {
        let records = follower.poll(BATCH);
        let idle = records.len() < BATCH;
        for record in records {
            match &mut last {
                Some((count, kept)) => {
                    kept.push_back(record);
                    if kept.len() > *count {
                        kept.pop_front();
                    }
                }
                None => write(&mut out, &record, started, args.json)?,
            }
        }
        if idle {
            for record in last.take().into_iter().flat_map(|(_, kept)| kept) {
                write(&mut out, &record, started, args.json)?;
            }
            out.flush()?;
            if follower.is_over() || args.no_follow || nobody_reads()? {
                return Ok(exit::OK);
            }
        }
    }
}

/// Waits a moment, and says whether the reader of stdout has gone, which a quiet session would otherwise never tell.
fn nobody_reads() -> Result<bool, Problem> {
    let stdout = std::io::stdout();
    let mut watched = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut watched, PollTimeout::from(PAUSE)) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    let [watched] = watched;
    Ok(watched.revents().is_some_and(|seen| seen.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL)))
}

fn write(out: &mut impl Write, record: &Record, started: Timestamp, as_json: bool) -> Result<(), Problem> {
    let line = if as_json { as_object(record)?.to_string() } else { as_line(record, started) };
    writeln!(out, "{line}")?;
    Ok(())
}

/// The record with the stream it comes from; events without their context, which is in `enriched.jsonl`.
fn as_object(record: &Record) -> Result<serde_json::Value, Problem> {
    let with = |stream: &str, mut value: serde_json::Value| {
        value["stream"] = json!(stream);
        value
    };
    Ok(match record {
        Record::Event(event) => {
            let mut value = with("events", serde_json::to_value(event.event())?);
            value["proc"] = json!(event.proc);
            value["parent"] = json!(event.parent);
            value["depth"] = json!(event.depth);
            value
        }
        Record::Action(action) => with("actions", serde_json::to_value(action)?),
        Record::Risk(risk) => with("risks", serde_json::to_value(risk)?),
        Record::Unreadable(reason) => with("unreadable", json!({ "reason": reason })),
    })
}

/// The record for people: seconds since the session's start, the process, what happened.
fn as_line(record: &Record, started: Timestamp) -> String {
    let (proc, what) = match record {
        Record::Event(event) => (event.proc, what_happened(&event.event().kind, event.parent)),
        Record::Action(action) => {
            let workflow = action.workflow.map(|workflow| format!(", {workflow}")).unwrap_or_default();
            let mark = action.success.map_or("", |success| if success { " ✓" } else { " ✗" });
            let (label, summary) = (action.label, escape_terminal(action.summary.as_bytes()));
            (Some(action.proc), format!("{:<11} {label}{workflow}: {summary}{mark}", action.phase.name()))
        }
        Record::Risk(risk) => {
            let title = escape_terminal(risk.title.as_bytes());
            (Some(risk.proc), format!("{:<11} {}: {title} ({})", "RISK", risk.severity, risk.rule))
        }
        Record::Unreadable(reason) => (None, format!("{:<11} {}", "unreadable", escape_terminal(reason.as_bytes()))),
    };
    let at = record.timestamp().map_or(0, |at| at.since(started)) / 1_000_000;
    let proc = proc.map(|proc| format!("#{proc}")).unwrap_or_default();
    format!("{:>6}.{:03} {proc:>7} {what}", at / 1000, at % 1000)
}

fn what_happened(kind: &EventKind, parent: Option<capsule_core::ProcId>) -> String {
    let words = |argv: &capsule_core::Argv| {
        let words: Vec<String> = argv.iter().map(escape_terminal).collect();
        words.join(" ")
    };
    let text = match kind {
        EventKind::Spawn(_) => parent.map(|parent| format!("of #{parent}")).unwrap_or_default(),
        EventKind::Exec(exec) => words(&exec.argv),
        EventKind::ExecFailed { argv, errno, .. } => format!("errno {errno}: {}", words(argv)),
        EventKind::Exit { status: ExitStatus::Exited(code), .. } => format!("code {code}"),
        EventKind::Exit { status: ExitStatus::Signaled { signal, .. }, .. } => format!("signal {signal}"),
        EventKind::LeftRunning => String::new(),
        EventKind::Effect(effect) => {
            let place = effect.path.as_ref().map(|path| escape_terminal(path.as_bytes()));
            let host = effect.endpoint.as_ref().map(|end| {
                let port = end.port.map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}{port}", escape_terminal(end.host.as_bytes()))
            });
            let failed = effect.errno.map(|errno| format!("errno {errno}"));
            [place.or(host), failed].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        EventKind::Gap { count, reason, .. } => format!("{count} records lost: {}", escape_terminal(reason.as_bytes())),
        EventKind::Diagnostic { reason } => escape_terminal(reason.as_bytes()),
    };
    format!("{:<11} {text}", kind.name()).trim_end().to_owned()
}
