//! The questions that everybody asks of a session, answered in plain words without any model.
//!
//! Sentences are made from the report's numbers alone; what the traced program wrote is escaped and stands between
//! backticks. Each sentence names the records that it rests on.

use std::io::{self, Write};

use capsule_core::{Severity, escape_terminal};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assemble::meaning;
use crate::model::{Process, Report, ToolCount};
use crate::style::Style;
use crate::{text, words};

#[cfg(test)]
mod tests;

/// The form's version.
const SCHEMA: &str = "capsule-explain/1";
/// How many things of a kind are named.
const NAMED: usize = 8;
/// Columns of what the traced program wrote.
const QUOTED: usize = 100;

/// A session in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    /// `capsule-explain/1`.
    pub schema: String,
    /// The session.
    pub session: String,
    /// The questions with their answers, in the order in which they are best read.
    pub questions: Vec<Explained>,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explained {
    /// `what`, `did`, `outcome`, `files`, `hosts`, `risks`, `left`, `trust`, `next`.
    pub topic: String,
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: Vec<Sentence>,
}

/// A statement and the records that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sentence {
    /// The statement. Text of the traced program is escaped for terminals and stands between backticks.
    pub text: String,
    /// `proc:N` a process, `event:N` a record of `enriched.jsonl`, `risk:N` one of `risks.jsonl`.
    pub refs: Vec<String>,
}

/// Answers one of the questions.
type Answerer = fn(&Report) -> Vec<Sentence>;

/// Answers the standard questions about a session.
#[must_use]
pub fn explain(report: &Report) -> Explanation {
    let asked: [(&str, &str, Answerer); 9] = [
        ("what", "What was this?", what),
        ("did", "What did it do?", did),
        ("outcome", "Did it go well?", outcome),
        ("files", "Which files did it change?", files),
        ("hosts", "Whom did it talk to?", hosts),
        ("risks", "Is anything risky?", risks),
        ("left", "Did it leave anything behind?", left),
        ("trust", "Can this record be trusted, and is it complete?", trust),
        ("next", "Where to look next?", next),
    ];
    let questions = asked.iter().map(|(topic, question, answer)| Explained {
        topic: (*topic).to_owned(),
        question: (*question).to_owned(),
        answer: answer(report),
    });
    Explanation { schema: SCHEMA.to_owned(), session: report.session.id.clone(), questions: questions.collect() }
}

/// Writes an explanation for people, within `width` columns.
///
/// # Errors
/// Those of `out`.
pub fn explain_human(explanation: &Explanation, width: usize, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let style = Style { color };
    for (index, explained) in explanation.questions.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", style.paint(&explained.question, "bold"))?;
        for sentence in &explained.answer {
            let refs = if sentence.refs.is_empty() { String::new() } else { format!(" [{}]", sentence.refs.join(" ")) };
            writeln!(out, "  {}", text::wrap(&format!("{}{refs}", sentence.text), 2, width))?;
        }
    }
    Ok(())
}

fn say(text: impl Into<String>, refs: Vec<String>) -> Sentence {
    Sentence { text: text.into(), refs }
}

/// What the traced program wrote.
fn quote(bytes: &[u8]) -> String {
    let enough = bytes.get(..QUOTED.saturating_mul(8)).unwrap_or(bytes);
    format!("`{}`", text::fit(&escape_terminal(enough).replace('`', "'"), QUOTED))
}

fn procs(list: &[u32]) -> Vec<String> {
    list.iter().take(4).map(|proc| format!("proc:{proc}")).collect()
}

/// `git (12), sed (3)`.
fn tools(tools: &[ToolCount]) -> String {
    let named: Vec<String> = tools
        .iter()
        .take(5)
        .map(|tool| format!("{} {}×", text::fit(&escape_terminal(tool.tool.as_bytes()), 30), words::number(tool.count)))
        .collect();
    let more = tools.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {}", words::count(more as u64, "other", "others")) } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// What was asked for and failed, in order.
fn failures(report: &Report) -> impl Iterator<Item = &Process> {
    let procs = report.workflows.iter().flat_map(|item| item.procs.iter().copied());
    let mut failed: Vec<&Process> = procs
        .filter_map(|proc| report.processes.get((proc as usize).checked_sub(1)?))
        .filter(|process| process.success == Some(false))
        .collect();
    failed.sort_by_key(|process| process.proc);
    failed.into_iter()
}

fn what(report: &Report) -> Vec<Sentence> {
    let session = &report.session;
    let who = match &report.agent {
        Some(agent) => format!("The AI agent {}, started as", quote(agent.name.as_bytes())),
        None => "The command".to_owned(),
    };
    let user = session.user.as_deref().map(|user| format!(" by {}", quote(user.as_bytes()))).unwrap_or_default();
    let agent = report.agent.as_ref().map(|agent| vec![format!("proc:{}", agent.proc)]).unwrap_or_default();
    let running = if session.ending.state == "running" { "has run for" } else { "ran for" };
    vec![
        say(
            format!(
                "{who} {} in {}{user} on {}, {running} {}.",
                quote(session.command_line.as_bytes()),
                quote(session.cwd.as_bytes()),
                session.started_text,
                words::duration(session.duration)
            ),
            agent,
        ),
        say(
            format!(
                "{}: {} did what was asked, {} the agent's own, {} shells and launchers, {} inner processes of programs.",
                words::count(report.totals.processes, "process", "processes"),
                words::number(report.totals.operations),
                words::number(report.totals.helpers),
                words::number(report.totals.wrappers),
                words::number(report.totals.inner),
            ),
            Vec::new(),
        ),
    ]
}

fn did(report: &Report) -> Vec<Sentence> {
    let mut answer = Vec::new();
    for phase in report.phases.iter().filter(|phase| phase.operations > 0).take(NAMED) {
        let failed = if phase.failed > 0 { format!(", {} failed", words::number(phase.failed)) } else { String::new() };
        answer.push(say(
            format!(
                "After {}, for {}: {} ({}{failed}: {}).",
                words::duration(phase.offset),
                words::duration(phase.duration),
                meaning(&phase.kind),
                words::count(phase.operations, "operation", "operations"),
                tools(&phase.tools)
            ),
            procs(&phase.procs),
        ));
    }
    let more = report.phases.iter().filter(|phase| phase.operations > 0).count().saturating_sub(NAMED);
    if more > 0 {
        answer.push(say(format!("Then {} more stretches of work.", words::number(more as u64)), Vec::new()));
    }
    for item in &report.workflows {
        answer.push(say(
            format!(
                "{}: {}: {}.",
                item.name,
                words::count(item.operations, "operation", "operations"),
                tools(&item.tools)
            ),
            procs(&item.procs),
        ));
    }
    if answer.is_empty() {
        answer.push(say("No process did anything that was asked for by itself.", Vec::new()));
    }
    answer
}

fn outcome(report: &Report) -> Vec<Sentence> {
    let ending = &report.session.ending;
    let first = match report.headline.success {
        Some(true) => "The command ended well (exit 0).".to_owned(),
        Some(false) => format!("The command failed: {}.", ending.text),
        None => format!("Whether it did well cannot be said: {}.", ending.text),
    };
    let mut answer = vec![say(first, Vec::new())];
    if report.totals.operations > 0 {
        let text = match report.totals.failed {
            0 => "None of what was asked failed.".to_owned(),
            failed => {
                format!("{} of {} operations failed:", words::number(failed), words::number(report.totals.operations))
            }
        };
        answer.push(say(text, Vec::new()));
    }
    for process in failures(report).take(NAMED) {
        let text = format!("{} ({}).", quote(process.summary.as_bytes()), process.ending.text);
        answer.push(say(text, vec![format!("proc:{}", process.proc)]));
    }
    for pattern in report.patterns.iter().filter(|pattern| pattern.kind == "retry").take(3) {
        let subject = pattern.subject.as_ref().map(|subject| quote(subject.as_bytes())).unwrap_or_default();
        answer.push(say(format!("Tried again: {subject}: {}.", pattern.text), procs(&pattern.procs)));
    }
    answer
}

fn files(report: &Report) -> Vec<Sentence> {
    if report.effects_total == 0 {
        let text = "File effects were not recorded (capsule run --effects writes records them), or there were none: only what commands name is known.";
        let named = report.workflows.iter().find(|item| item.name == "CodeGeneration");
        let mut answer = vec![say(text, Vec::new())];
        if let Some(item) = named {
            let text = format!("{} wrote or edited text.", words::count(item.operations, "command", "commands"));
            answer.push(say(text, procs(&item.procs)));
        }
        return answer;
    }
    let mut answer: Vec<Sentence> = report
        .file_groups
        .iter()
        .map(|group| say(format!("{}: {}.", group.words, words::count(group.files, "file", "files")), Vec::new()))
        .collect();
    for item in report.files.iter().filter(|item| matches!(item.place.as_str(), "project" | "outside")).take(NAMED) {
        let place = if item.place == "outside" { ", outside of the project" } else { "" };
        let text = format!("{} was {}{place}.", quote(item.name.as_bytes()), item.changes.join(" and "));
        answer.push(say(text, [vec![format!("event:{}", item.event)], procs(&item.procs)].concat()));
    }
    if answer.is_empty() {
        answer.push(say("No file that is still there was changed.", Vec::new()));
    }
    if let Some(git) = &report.git {
        answer.push(say(format!("By git: {}.", git.text), Vec::new()));
    }
    if report.files_temporary > 0 {
        let text =
            format!("{} made and deleted again.", words::count(report.files_temporary, "file was", "files were"));
        answer.push(say(text, Vec::new()));
    }
    answer
}

fn hosts(report: &Report) -> Vec<Sentence> {
    let mut answer = Vec::new();
    let far: Vec<_> = report.hosts.iter().filter(|host| !host.local).collect();
    for host in far.iter().take(NAMED) {
        let how = match host.how.as_str() {
            "connect" => "was contacted",
            "listen" => "was listened on",
            _ => "was named by a command (contact was not seen)",
        };
        let ports: Vec<String> = host.ports.iter().take(4).map(ToString::to_string).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(" port {}", ports.join(", ")) };
        let event = host.event.map(|event| format!("event:{event}"));
        let refs = event.into_iter().chain(procs(&host.procs)).collect();
        let text =
            format!("{}{ports} {how}, {}.", quote(host.host.as_bytes()), words::count(host.count, "time", "times"));
        answer.push(say(text, refs));
    }
    if far.len() > NAMED {
        answer.push(say(format!("And {} other hosts.", words::number((far.len() - NAMED) as u64)), Vec::new()));
    }
    if answer.is_empty() {
        let text = match report.effects_total {
            0 => {
                "No command names another host. Connections were not recorded (capsule run --effects writes records them), or there were none."
            }
            _ => "No other host was contacted or named.",
        };
        answer.push(say(text, Vec::new()));
    }
    let local = report.hosts.iter().filter(|host| host.local).count();
    if local > 0 {
        let text = format!("{} on this machine.", words::count(local as u64, "address", "addresses"));
        answer.push(say(text, Vec::new()));
    }
    answer
}

fn risks(report: &Report) -> Vec<Sentence> {
    let risk = &report.risk;
    let reasons = risk.reasons.join("; ");
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", escape_terminal(reasons.as_bytes())) };
    let mut answer = vec![say(format!("Risk {}{reasons}.", risk.level), Vec::new())];
    for item in risk.items.iter().filter(|item| item.severity >= Severity::Low).take(NAMED) {
        let innocent = item.innocent.as_deref().map(|text| format!(" Innocent explanation: {}.", plain(text)));
        let text = format!(
            "{}: {} by {}. {}.{}",
            item.severity,
            item.title,
            quote(item.subject.as_bytes()),
            plain(&item.why.to_lossy()),
            innocent.unwrap_or_default()
        );
        answer.push(say(text, vec![format!("risk:{}", item.seq), format!("proc:{}", item.proc)]));
    }
    answer
}

/// Capsule's words with what they may quote, without the full stop.
fn plain(text: &str) -> String {
    let text = escape_terminal(text.as_bytes());
    text::fit(text.trim_end_matches('.'), 300)
}

fn left(report: &Report) -> Vec<Sentence> {
    let mut answer = Vec::new();
    for process in report.processes.iter().filter(|process| process.ending.state == "left_running").take(NAMED) {
        let text = format!("{} was left running (pid {}).", quote(process.summary.as_bytes()), process.pid);
        answer.push(say(text, vec![format!("proc:{}", process.proc)]));
    }
    for notice in report.notices.iter().filter(|notice| notice.kind == "handoff") {
        let refs = notice.events.iter().take(4).map(|event| format!("event:{event}")).collect();
        answer.push(say(format!("{}.", plain(&notice.text)), refs));
    }
    if answer.is_empty() {
        let text = match report.session.ending.state.as_str() {
            "running" => "It is still running.",
            _ => "No recorded process lived on.",
        };
        answer.push(say(text, Vec::new()));
    }
    answer
}

fn trust(report: &Report) -> Vec<Sentence> {
    let mut answer = vec![say(format!("The recording is {}.", report.headline.recording), Vec::new())];
    for notice in report.notices.iter().filter(|notice| notice.kind != "handoff") {
        let refs = notice.events.iter().take(4).map(|event| format!("event:{event}")).collect();
        answer.push(say(format!("{}.", plain(&notice.text)), refs));
    }
    if let Some(coverage) = &report.coverage {
        for unseen in coverage.not_seen.iter().take(NAMED) {
            answer.push(say(format!("Not seen: {}.", plain(unseen)), Vec::new()));
        }
    }
    answer
}

fn next(report: &Report) -> Vec<Sentence> {
    let id = &report.session.id;
    let mut answer = Vec::new();
    if let Some(item) = report.risk.items.iter().find(|item| item.severity >= Severity::Medium) {
        let text = format!("capsule report {id} --proc {} shows what is behind the worst finding.", item.proc);
        answer.push(say(text, vec![format!("risk:{}", item.seq)]));
    }
    if let Some(process) = failures(report).next() {
        let text = format!("capsule report {id} --filter failed shows what failed.");
        answer.push(say(text, vec![format!("proc:{}", process.proc)]));
    }
    answer.push(say(format!("capsule report {id} --all shows every process."), Vec::new()));
    let text = format!("capsule export {id} --ai-ready hands it to a model for other questions.");
    answer.push(say(text, Vec::new()));
    answer
}
