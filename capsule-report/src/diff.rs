//! Two sessions side by side: what the second did that the first did not.
//!
//! Commands are compared by their shape ([`shape`]): temporary names, hashes, numbers and ports differ from run to
//! run and say nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};

use capsule_core::{ByteString, Severity, escape_terminal};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Process, Report};
use crate::options::{Listing, Options};
use crate::schema::mirror;
use crate::style::{self, Style};
use crate::view::SessionView;
use crate::{text, words};

pub(crate) mod shape;
#[cfg(test)]
mod tests;

/// The model's version.
const SCHEMA: &str = "capsule-diff/1";
/// How many processes of a side one thing names.
const NAMED: usize = 8;
/// How many things of a kind the text form lists.
const LISTED: usize = 20;

/// How a second session differs from a first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Diff {
    /// `capsule-diff/1`.
    pub schema: String,
    /// The first session.
    pub before: Side,
    /// The second session.
    pub after: Side,
    /// Programs that ran.
    pub programs: Change,
    /// Hosts that were contacted, served or named.
    pub hosts: Change,
    /// Files that were changed, with what varies from run to run taken out.
    pub paths: Change,
    /// Findings, by rule.
    pub risks: Change,
    /// Commands, by their shape.
    pub commands: Change,
}

/// One of the two sessions.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Side {
    /// Its id.
    pub id: String,
    /// Its command.
    #[schemars(with = "mirror::Bytes")]
    pub command: ByteString,
    /// Nanoseconds.
    pub duration: u64,
    /// Processes.
    pub processes: u64,
    /// Operations.
    pub operations: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// The worst finding.
    #[schemars(with = "Option<mirror::Severity>")]
    pub worst: Option<Severity>,
    /// How the command ended.
    pub ending: String,
    /// Whether something is missing from its recording, so that differences may be due to that.
    pub incomplete: bool,
}

/// What only one of two sessions has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// Only the second has it.
    pub added: Vec<Thing>,
    /// Only the first has it.
    pub removed: Vec<Thing>,
    /// How many both have.
    pub common: u64,
}

/// Something that a session has.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Thing {
    /// What it is called, or the shape of a command.
    #[schemars(with = "mirror::Bytes")]
    pub name: ByteString,
    /// How bad, for findings.
    #[schemars(with = "Option<mirror::Severity>")]
    pub severity: Option<Severity>,
    /// How often.
    pub count: u64,
    /// Processes of its session, the first ones.
    pub procs: Vec<u32>,
}

/// A difference that is to fail a check (`--fail-on`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailOn {
    /// A rule found something for the first time, something of more than `info`.
    NewRisk,
    /// A host is contacted, served or named for the first time.
    NewHost,
    /// A program runs for the first time.
    NewProgram,
    /// A file is changed for the first time.
    NewPath,
}

impl FailOn {
    /// Every kind with its name on the command line.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::NewRisk, "new-risk"),
        (Self::NewHost, "new-host"),
        (Self::NewProgram, "new-program"),
        (Self::NewPath, "new-path"),
    ];

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// Things of one kind while they are counted.
type Counted = BTreeMap<ByteString, Thing>;

impl Diff {
    /// What `after` did that `before` did not, and the other way round.
    #[must_use]
    pub fn between(before: &SessionView, after: &SessionView, options: &Options) -> Self {
        let plain = Options { baseline: None, filter: None, proc: None, listing: Listing::Brief, ..options.clone() };
        let (first, second) = (Report::assemble(before, &plain), Report::assemble(after, &plain));
        let change = |of: fn(&Report) -> Counted| changed(of(&first), of(&second));
        Self {
            schema: SCHEMA.to_owned(),
            before: side(&first),
            after: side(&second),
            programs: change(programs),
            hosts: change(hosts),
            paths: change(paths),
            risks: change(risks),
            commands: change(commands),
        }
    }

    /// Which of the differences that are to fail a check there are, in words.
    #[must_use]
    pub fn failures(&self, on: &[FailOn]) -> Vec<String> {
        let found = on.iter().map(|kind| match kind {
            FailOn::NewRisk => (&self.risks, "new risk"),
            FailOn::NewHost => (&self.hosts, "new host"),
            FailOn::NewProgram => (&self.programs, "new program"),
            FailOn::NewPath => (&self.paths, "new changed path"),
        });
        let counts = |thing: &&Thing| thing.severity.is_none_or(|severity| severity > Severity::Info);
        found
            .flat_map(|(change, what)| {
                change.added.iter().filter(counts).map(move |thing| format!("{what}: {}", thing.name))
            })
            .collect()
    }
}

fn side(report: &Report) -> Side {
    Side {
        id: report.session.id.clone(),
        command: report.headline.what.clone(),
        duration: report.session.duration,
        processes: report.totals.processes,
        operations: report.totals.operations,
        failed: report.totals.failed,
        worst: report.risk.worst,
        ending: report.session.ending.text.clone(),
        incomplete: report.notices.iter().any(|notice| notice.incomplete),
    }
}

fn changed(before: Counted, after: Counted) -> Change {
    let common = after.keys().filter(|name| before.contains_key(*name)).count() as u64;
    let only = |these: &Counted, those: &Counted| {
        let mut things: Vec<Thing> =
            these.iter().filter(|(name, _)| !those.contains_key(*name)).map(|(_, thing)| thing.clone()).collect();
        things.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.count.cmp(&a.count)).then(a.name.cmp(&b.name)));
        things
    };
    Change { added: only(&after, &before), removed: only(&before, &after), common }
}

fn count(things: &mut Counted, name: ByteString, severity: Option<Severity>, times: u64, procs: &[u32]) {
    let thing =
        things.entry(name.clone()).or_insert_with(|| Thing { name, severity: None, count: 0, procs: Vec::new() });
    thing.severity = thing.severity.max(severity);
    thing.count = thing.count.saturating_add(times);
    let room = NAMED.saturating_sub(thing.procs.len());
    thing.procs.extend(procs.iter().copied().take(room));
}

fn operations(report: &Report) -> impl Iterator<Item = &Process> {
    let procs = report.workflows.iter().flat_map(|item| item.procs.iter().copied());
    procs.filter_map(|proc| report.processes.get(usize::try_from(proc).ok()?.checked_sub(1)?))
}

fn programs(report: &Report) -> Counted {
    let mut things = Counted::new();
    operations(report).for_each(|process| count(&mut things, process.tool.clone(), None, 1, &[process.proc]));
    things
}

fn commands(report: &Report) -> Counted {
    let mut things = Counted::new();
    for process in operations(report) {
        let shape = shape::of(process.summary.as_bytes(), report.session.cwd.as_bytes());
        count(&mut things, ByteString::from(shape), None, 1, &[process.proc]);
    }
    things
}

fn hosts(report: &Report) -> Counted {
    let mut things = Counted::new();
    report.hosts.iter().for_each(|host| count(&mut things, host.host.clone(), None, host.count, &host.procs));
    things
}

fn paths(report: &Report) -> Counted {
    let mut things = Counted::new();
    // Caches, version control's and tools' own files, and temporary ones differ each time.
    for file in report.files.iter().filter(|file| crate::template::own(&file.place)) {
        let shape = shape::of(file.path.as_bytes(), report.session.cwd.as_bytes());
        count(&mut things, ByteString::from(shape), None, file.count, &file.procs);
    }
    things
}

fn risks(report: &Report) -> Counted {
    let mut things = Counted::new();
    for item in &report.risk.items {
        count(&mut things, ByteString::from(item.rule.as_str()), Some(item.severity), item.count, &[item.proc]);
    }
    things
}

/// Writes a diff for people.
///
/// # Errors
/// Those of `out`.
pub fn diff_human(diff: &Diff, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let style = Style { color: options.color };
    writeln!(out, "{}", style.paint("CAPSULE SESSION DIFF", "bold"))?;
    writeln!(out)?;
    for (mark, side) in [("-", &diff.before), ("+", &diff.after)] {
        let worst = side.worst.map_or("nothing risky found", Severity::name);
        let incomplete = if side.incomplete { ", INCOMPLETE recording" } else { "" };
        let head = format!("{mark} {}  ", side.id);
        let room = options.width.saturating_sub(text::columns(&head)).max(20);
        writeln!(out, "{head}{}", text::fit(&escape_terminal(side.command.as_bytes()), room))?;
        writeln!(
            out,
            "  {}, {}, {} failed, {}, {}; risk: {worst}{incomplete}",
            words::count(side.processes, "process", "processes"),
            words::count(side.operations, "operation", "operations"),
            words::number(side.failed),
            words::duration(side.duration),
            side.ending,
        )?;
    }
    let kinds = [
        ("Risks", &diff.risks),
        ("Hosts", &diff.hosts),
        ("Programs", &diff.programs),
        ("Changed files", &diff.paths),
        ("Commands", &diff.commands),
    ];
    for (name, change) in kinds {
        writeln!(out)?;
        let head =
            format!("{name}: {} new, {} gone, {} in both", change.added.len(), change.removed.len(), change.common);
        writeln!(out, "{}", style.paint(&head, "bold"))?;
        list(&change.added, "+", "green", options, style, out)?;
        list(&change.removed, "-", "red", options, style, out)?;
    }
    Ok(())
}

fn list(
    things: &[Thing],
    mark: &str,
    color: &str,
    options: &Options,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    for thing in things.iter().take(LISTED) {
        let times = if thing.count > 1 { format!(" ×{}", words::number(thing.count)) } else { String::new() };
        let severity =
            thing.severity.map(|severity| format!(" {}", severity.name().to_uppercase())).unwrap_or_default();
        let proc = thing.procs.first().map(|proc| format!(" (process {proc})")).unwrap_or_default();
        let taken = 4 + text::columns(&times) + severity.len() + proc.len();
        let name = text::fit(&escape_terminal(thing.name.as_bytes()), options.width.saturating_sub(taken).max(16));
        let severity = thing.severity.map_or_else(String::new, |worst| style.paint(&severity, style::severity(worst)));
        writeln!(out, "  {} {name}{times}{severity}{}", style.paint(mark, color), style.paint(&proc, "dim"))?;
    }
    match things.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(out, "  {mark} … {more} more"),
    }
}
