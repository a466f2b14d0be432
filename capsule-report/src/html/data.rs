//! What the page's script draws: one short array for each process, repeated texts by number.

use std::collections::HashMap;

use capsule_core::{Argv, Label, Role, Severity, escape_terminal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Process, Report};

/// Bytes of one argument that the page holds; the rest is in the session.
const ARGUMENT: usize = 1000;
/// Bytes of all arguments of one process.
const ARGUMENTS: usize = 4000;
/// Bytes of a command in the tree.
const COMMAND: usize = 400;
/// What the script calls a flag.
const SHOWN: u8 = 1;
const AGENT: u8 = 2;

/// Texts by number.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.list.len();
        self.list.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// What only the panel of one process shows.
#[derive(Serialize)]
struct More {
    /// Role.
    r: usize,
    /// Rule.
    #[serde(skip_serializing_if = "str::is_empty")]
    u: String,
    /// Directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// Executable.
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    /// Arguments of each exec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    a: Vec<Vec<String>>,
    /// CPU, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u64>,
    /// Largest resident set, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    m: Option<u64>,
    /// Failed execs.
    #[serde(skip_serializing_if = "is_zero")]
    f: u32,
    /// What it used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    k: Vec<String>,
    /// Findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    s: Vec<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The model as JSON that can stand inside a `script` element.
pub(crate) fn embedded(report: &Report) -> String {
    let json = serde_json::to_string(&model(report)).unwrap_or_else(|_| "{}".to_owned());
    // Inside `script` only `</script` and `<!--` mean anything; without `<` there is neither.
    let mut out = String::with_capacity(json.len().saturating_add(1024));
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            c => out.push(c),
        }
    }
    out
}

fn model(report: &Report) -> Value {
    let findings: HashMap<u64, usize> = report
        .risk
        .items
        .iter()
        .enumerate()
        .flat_map(|(number, item)| item.seqs.iter().map(move |seq| (*seq, number)))
        .collect();
    let (mut tags, mut endings) = (Texts::default(), Texts::default());
    let procs: Vec<Value> = report
        .processes
        .iter()
        .map(|process| {
            let mut flags = 0;
            for (flag, set) in [(SHOWN, process.shown), (AGENT, process.label == Label::Agent)] {
                flags |= if set { flag } else { 0 };
            }
            let worst = process.worst.map_or(-1, |worst| worst as i32);
            json!([
                process.parent.unwrap_or(0),
                process.pid,
                process.started.saturating_sub(report.session.started) / 1000,
                process.duration.map(|duration| duration / 1000),
                tags.number(&tag(process)),
                text(process, above(report, process)),
                process.success.map(u8::from),
                endings.number(&process.ending.text),
                flags,
                worst,
                more(process, &findings),
            ])
        })
        .collect();
    let phases: Vec<Value> = report
        .phases
        .iter()
        .map(|phase| json!([phase.kind, phase.offset / 1000, phase.duration / 1000, phase.procs]))
        .collect();
    let risks: Vec<Value> = report
        .risk
        .items
        .iter()
        .map(|item| json!([item.severity.name(), item.title, escape_terminal(item.why.as_bytes())]))
        .collect();
    json!({
        "duration": report.session.duration / 1000,
        "tags": tags.list,
        "endings": endings.list,
        "roles": Role::ALL.iter().map(|role| role.name()).collect::<Vec<_>>(),
        "severities": Severity::ALL.iter().map(|severity| severity.name()).collect::<Vec<_>>(),
        "phases": phases,
        "risks": risks,
        "procs": procs,
    })
}

fn tag(process: &Process) -> String {
    match (process.label, process.workflow) {
        (Label::Agent, _) => "AGENT".to_owned(),
        (Label::Tool, Some(workflow)) => format!("TOOL:{workflow}"),
        (Label::Tool, None) => "TOOL".to_owned(),
        (Label::SystemTool, _) => "SYSTEM".to_owned(),
        (Label::Unknown, _) if process.execs.is_empty() && process.failed_execs == 0 => "FORK".to_owned(),
        (Label::Unknown, _) => "UNKNOWN".to_owned(),
    }
}

fn above<'a>(report: &'a Report, process: &Process) -> Option<&'a Process> {
    report.processes.get(usize::try_from(process.parent?).ok()?.checked_sub(1)?)
}

/// What stands on a process's line. The page shows a shell that has a finding of note, which then has its own words.
fn text(process: &Process, above: Option<&Process>) -> String {
    let summary = match above.is_some_and(|shell| shell.worst >= Some(Severity::Medium)) {
        _ if process.summary.as_bytes().is_empty() => &process.tool,
        true => &process.summary,
        false => process.words(),
    };
    shortened(summary.as_bytes(), COMMAND)
}

fn shortened(bytes: &[u8], limit: usize) -> String {
    match bytes.split_at_checked(limit) {
        Some((head, tail)) if !tail.is_empty() => format!("{}… ({} bytes)", escape_terminal(head), bytes.len()),
        _ => escape_terminal(bytes),
    }
}

fn arguments(argv: &Argv) -> Vec<String> {
    let mut left = ARGUMENTS;
    let mut list = Vec::new();
    for arg in argv.iter() {
        if left == 0 {
            list.push(format!("… {} arguments in all", argv.len()));
            break;
        }
        list.push(shortened(arg, ARGUMENT.min(left)));
        left = left.saturating_sub(arg.len().saturating_add(1));
    }
    list
}

fn more(process: &Process, findings: &HashMap<u64, usize>) -> More {
    let last = process.execs.last();
    let path = |path: &capsule_core::ByteString| shortened(path.as_bytes(), ARGUMENT);
    let mut risks: Vec<usize> = process.risks.iter().filter_map(|seq| findings.get(seq).copied()).collect();
    risks.dedup();
    risks.truncate(8);
    More {
        r: Role::ALL.iter().position(|role| *role == process.role).unwrap_or(0),
        u: process.rule.clone(),
        d: last.and_then(|exec| exec.cwd.as_ref()).map(path),
        x: last.and_then(|exec| exec.exe.as_ref()).map(path),
        a: process.execs.iter().rev().take(4).rev().map(|exec| arguments(&exec.argv)).collect(),
        c: process.cpu_us,
        m: process.max_rss_kib,
        f: process.failed_execs,
        k: process
            .resources
            .iter()
            .take(8)
            .map(|resource| format!("{} {}", resource.kind, shortened(resource.value.as_bytes(), 200)))
            .collect(),
        s: risks,
    }
}
