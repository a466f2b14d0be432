//! `capsule list`: the sessions there are, the latest first, one line each.

use std::io::Write as _;

use capsule_core::{SessionMetadata, SessionStatus, Severity, escape_terminal, exit};
use capsule_io::{Listed, SessionState, Store};
use capsule_report::ListRow;
use serde::Serialize;

use crate::args::ListArgs;
use crate::error::{Outcome, Problem, chain};
use crate::{load, output};

#[derive(Serialize)]
struct Listing {
    schema: &'static str,
    sessions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    state: SessionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Facts>,
}

#[derive(Serialize)]
struct Facts {
    status: SessionStatus,
    command: capsule_core::Argv,
    cwd: capsule_core::ByteString,
    started: capsule_core::Timestamp,
    duration_seconds: Option<f64>,
    processes: Option<u64>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    worst: Option<Severity>,
    tracer: capsule_core::Backend,
    /// What only the records tell; absent in larger sessions and in older lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<capsule_core::ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files_changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<u64>,
}

/// How many sessions are read for what only their records tell, the newest.
const READ: usize = 50;

impl Facts {
    fn of(metadata: SessionMetadata, line: Option<ListRow>) -> Self {
        let (agent, files_changed, hosts) =
            line.map_or((None, None, None), |line| (line.agent, line.files_changed, Some(line.hosts)));
        let duration = metadata.ended.map(|ended| ended.since(metadata.started));
        Self {
            status: metadata.status,
            command: metadata.command,
            cwd: metadata.cwd,
            started: metadata.started,
            duration_seconds: duration.map(|nanos| nanos as f64 / 1e9),
            processes: metadata.processes,
            exit_code: metadata.exit_code,
            signal: metadata.signal,
            worst: metadata.worst,
            tracer: metadata.tracer.backend,
            agent,
            files_changed,
            hosts,
        }
    }
}

pub(super) fn exec(args: &ListArgs) -> Outcome {
    let store = Store::open()?;
    let mut sessions = store.list()?;
    sessions.reverse();
    sessions.truncate(args.limit.unwrap_or(usize::MAX));
    let rows: Vec<Row> = sessions
        .into_iter()
        .enumerate()
        .map(|(number, listed)| {
            let line = if number < READ { load::line(&store, &listed) } else { None };
            row(listed, line)
        })
        .collect();
    if args.json {
        output::json(&Listing { schema: "capsule.list/1", sessions: rows })?;
    } else {
        print(&rows)?;
    }
    Ok(exit::OK)
}

fn row(listed: Listed, line: Option<ListRow>) -> Row {
    let (unreadable, session) = match listed.metadata {
        Ok(metadata) => (None, Some(Facts::of(metadata, line))),
        Err(error) => (Some(chain(&error)), None),
    };
    Row { id: listed.id.to_string(), state: listed.state, unreadable, session }
}

fn print(rows: &[Row]) -> Result<(), Problem> {
    let mut out = output::data();
    if rows.is_empty() {
        output::say("no sessions yet: capsule run CMD makes one");
        return Ok(());
    }
    writeln!(
        out,
        "{:<28} {:<12} {:>9} {:>6} {:>5} {:>5} {:<8} {:<6} {:<12} COMMAND",
        "SESSION", "STATE", "TIME", "PROCS", "FILES", "HOSTS", "RISK", "SEALED", "AGENT"
    )?;
    for row in rows {
        let Some(facts) = &row.session else {
            let why = escape_terminal(row.unreadable.as_deref().unwrap_or_default().as_bytes());
            writeln!(out, "{:<28} unreadable: {why}", row.id)?;
            continue;
        };
        let state = match (&facts.status, row.state) {
            (_, SessionState::Running) => "running".to_owned(),
            (SessionStatus::Failed { .. }, _) => "failed".to_owned(),
            (_, SessionState::Unsealed) => "unsealed".to_owned(),
            (SessionStatus::Interrupted { .. }, _) => "interrupted".to_owned(),
            (_, SessionState::Sealed) => match (facts.exit_code, facts.signal) {
                (_, Some(signal)) => format!("signal {signal}"),
                (Some(0), _) | (None, None) => "ok".to_owned(),
                (Some(code), _) => format!("exit {code}"),
            },
        };
        let time = facts.duration_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
        let count = facts.processes.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let risk = facts.worst.map_or("-", Severity::name);
        let command: Vec<String> = facts.command.iter().map(escape_terminal).collect();
        let command: String = command.join(" ").chars().take(80).collect();
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (files, hosts) = (number(facts.files_changed), number(facts.hosts));
        let sealed = if row.state == SessionState::Sealed { "yes" } else { "no" };
        let agent = facts.agent.as_ref().map_or_else(|| "-".to_owned(), |agent| escape_terminal(agent.as_bytes()));
        let agent: String = agent.chars().take(12).collect();
        writeln!(
            out,
            "{:<28} {state:<12} {time:>9} {count:>6} {files:>5} {hosts:>5} {risk:<8} {sealed:<6} {agent:<12} {command}",
            row.id
        )?;
    }
    out.flush()?;
    Ok(())
}
