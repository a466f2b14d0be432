//! `capsule list`: the sessions there are, the latest first, one line each.

use std::io::Write as _;

use capsule_core::{SessionMetadata, SessionStatus, Severity, escape_terminal, exit};
use capsule_io::{Listed, SessionState, Store};
use capsule_report::ListRow;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

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

/// From how many columns on a line has room for all that is known.
const WIDE: usize = 120;
/// How much of a command is shown where no terminal limits it.
const COMMAND: usize = 80;
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
    // A terminal gets what fits on its lines; pipes and files get everything.
    let width = output::stdout_is_terminal().then(super::report::terminal_width);
    let narrow = width.is_some_and(|width| width < WIDE);
    let line = |[session, state, time, count, files, hosts, risk, sealed, agent, command]: [&str; 10]| {
        let facts = if narrow {
            format!("{session:<27} {state:<11} {time:>8} {count:>6} {risk:<8} ")
        } else {
            format!(
                "{session:<28} {state:<12} {time:>9} {count:>6} {files:>5} {hosts:>5} {risk:<8} {sealed:<6} {agent:<12} "
            )
        };
        let room = width.map_or(COMMAND, |width| width.saturating_sub(facts.width()));
        format!("{facts}{}", begin(command, room)).trim_end().to_owned()
    };
    let head = ["SESSION", "STATE", "TIME", "PROCS", "FILES", "HOSTS", "RISK", "SEALED", "AGENT", "COMMAND"];
    writeln!(out, "{}", line(head))?;
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
        let mut command: Vec<String> = facts.command.iter().map(escape_terminal).collect();
        if let Some(program) = command.first_mut() {
            *program = without_directory(program);
        }
        let command = command.join(" ");
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (files, hosts) = (number(facts.files_changed), number(facts.hosts));
        let sealed = if row.state == SessionState::Sealed { "yes" } else { "no" };
        let agent = facts.agent.as_ref().map_or_else(|| "-".to_owned(), |agent| escape_terminal(agent.as_bytes()));
        let agent = begin(&agent, 12);
        let told = [&row.id, &state, &time, &count, &files, &hosts, risk, sealed, agent, &command];
        writeln!(out, "{}", line(told))?;
    }
    out.flush()?;
    Ok(())
}

/// A program without the directory of programs that it is in: there is little room in a line.
fn without_directory(program: &str) -> String {
    let programs = |directory: &str| ["/bin", "/sbin", "/.bin"].iter().any(|end| directory.ends_with(end));
    let name = program.rsplit_once('/').filter(|(directory, name)| programs(directory) && !name.is_empty());
    name.map_or(program, |(_, name)| name).to_owned()
}

/// The beginning of a text that takes at most so many columns.
fn begin(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::begin;

    #[test]
    fn what_is_shown_of_a_text_takes_no_more_columns_than_there_are() {
        for (columns, shown) in [(0, ""), (1, "a"), (2, "a"), (3, "a宽"), (4, "a宽b"), (9, "a宽b")] {
            assert_eq!(begin("a宽b", columns), shown);
        }
    }
}
