//! What a report says: one model, which every renderer only writes down.
//!
//! Numbers and texts are worked out once, in `assemble`. Text of the traced program stays bytes ([`ByteString`]) until
//! a renderer escapes it for its own medium; text of Capsule is `String`. Statements name the records they rest on:
//! processes by their session-wide number (`proc`), events by their number in `enriched.jsonl`, findings by theirs in
//! `risks.jsonl`.

use capsule_core::{Argv, ByteString, Endpoint, Label, Resource, Role, Severity, Workflow};
use schemars::JsonSchema;
use serde::Serialize;

use crate::schema::mirror;

/// The model's version: the number changes when old readers would misread.
pub const SCHEMA: &str = "capsule-report/1";

/// A whole report.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The model's name and version: `capsule-report/1`.
    pub schema: String,
    /// The session.
    pub session: Session,
    /// What is incomplete or cannot be trusted, worst first. Renderers say it before anything else.
    pub notices: Vec<Notice>,
    /// The first lines of every rendering.
    pub headline: Headline,
    /// The process that the report is about, where it is about one and what that started (`--proc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zoom: Option<Process>,
    /// Sums over the session.
    pub totals: Totals,
    /// The agent, where one was seen.
    pub agent: Option<Agent>,
    /// The process tree as it is to be shown: folded, in order, with a level each.
    pub rows: Vec<Row>,
    /// What each workflow consisted of.
    pub workflows: Vec<WorkflowItem>,
    /// What was done when.
    pub phases: Vec<Phase>,
    /// Files that were changed in the end, the project's first; the first ones.
    pub files: Vec<FileItem>,
    /// How many changed files there are in all.
    pub files_total: u64,
    /// How many there are of each kind of place.
    pub file_groups: Vec<FileGroup>,
    /// How many files were made and deleted again: they are in none of the numbers above.
    pub files_temporary: u64,
    /// How changed files are known, where no process's own effects say so: they then name neither processes nor records.
    pub files_note: Option<String>,
    /// What git would say, and why that differs; absent outside repositories and where nothing changed.
    pub git: Option<GitItem>,
    /// Hosts that were contacted or served.
    pub hosts: Vec<HostItem>,
    /// How processes worked together.
    pub interactions: Vec<Interaction>,
    /// What repeated.
    pub patterns: Vec<Pattern>,
    /// Risk.
    pub risk: Risk,
    /// What the recording covers.
    pub coverage: Option<CoverageItem>,
    /// How it compares with earlier sessions.
    pub comparison: Option<Comparison>,
    /// Every process.
    pub processes: Vec<Process>,
    /// What processes did outside themselves, equal effects counted; the first ones.
    pub effects: Vec<EffectItem>,
    /// How many different effects there are in all.
    pub effects_total: u64,
    /// Where records were lost.
    pub gaps: Vec<GapItem>,
}

/// What a process did to one thing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EffectItem {
    /// Who.
    pub proc: u32,
    /// What kind of thing it did: `file_write`, `privilege`, …
    pub kind: String,
    /// The system call, or what a hand-off went to.
    pub call: String,
    /// The path, where there is one.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub path: Option<ByteString>,
    /// The second path: of a rename or link.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub to: Option<ByteString>,
    /// The other end, for network effects: protocol, host, port.
    #[schemars(with = "Option<mirror::Endpoint>")]
    pub endpoint: Option<Endpoint>,
    /// What else there is to say.
    pub detail: Option<String>,
    /// Error number where it failed.
    pub errno: Option<i32>,
    /// How often.
    pub count: u64,
    /// The first record and the last.
    pub events: (u64, u64),
}

/// Records that were lost.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GapItem {
    /// The record that says so.
    pub event: u64,
    /// How many; 0 where nobody knows.
    pub count: u64,
    /// From when, where known.
    pub since: Option<u64>,
    /// Until when.
    pub until: u64,
    /// Where and why.
    pub reason: String,
}

/// The session.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// `incomplete`, `complete`, `interrupted`, `failed`.
    pub status: String,
    /// The command.
    #[schemars(with = "Vec<mirror::Bytes>")]
    pub command: Argv,
    /// The command in one line.
    #[schemars(with = "mirror::Bytes")]
    pub command_line: ByteString,
    /// Where.
    #[schemars(with = "mirror::Bytes")]
    pub cwd: ByteString,
    /// When it began, nanoseconds since the Unix epoch.
    pub started: u64,
    /// When it began, as text.
    pub started_text: String,
    /// When it ended; absent while it runs or when nobody could say.
    pub ended: Option<u64>,
    /// When it ended, as text.
    pub ended_text: Option<String>,
    /// Nanoseconds from beginning to end, or to the last record.
    pub duration: u64,
    /// How the command ended.
    pub ending: Ending,
    /// The machine.
    pub host: Option<String>,
    /// Operating system, kernel and architecture.
    pub system: String,
    /// The user.
    pub user: Option<String>,
    /// The tracer and why it was chosen.
    pub tracer: String,
    /// Version of Capsule that recorded it.
    pub capsule: String,
    /// Commit and branch of the work tree at the start.
    pub git_start: Option<String>,
    /// Commit and branch of the work tree at the end.
    pub git_end: Option<String>,
    /// Where it was imported from.
    pub imported: Option<String>,
}

/// How a process, or the command, ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Ending {
    /// `running`, `exited`, `signaled`, `left_running`, `lost`.
    pub state: String,
    /// Exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Signal name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// Whether a core was dumped.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub core_dumped: bool,
    /// In words: `exit 1`, `SIGKILL`, `still running`.
    pub text: String,
}

/// Something that the reader must know before the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notice {
    /// `tampered`, `disturbed`, `lost`, `effects`, `lost_ends`, `failed`, `torn`, `unsealed`, `running`, `unread`, `interrupted`, `unclassified`, `handoff`, `odd`.
    pub kind: String,
    /// In plain words.
    pub text: String,
    /// Whether the record may lack something because of it.
    pub incomplete: bool,
    /// Events that say so.
    pub events: Vec<u64>,
}

/// The first lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Headline {
    /// What it was: the command.
    #[schemars(with = "mirror::Bytes")]
    pub what: ByteString,
    /// What it was, in Capsule's words: the agent, and how many processes.
    pub kind: String,
    /// How long.
    pub duration: String,
    /// How it ended.
    pub ending: String,
    /// Whether it ended well; unknown while it runs.
    pub success: Option<bool>,
    /// The worst risk.
    pub risk: String,
    /// Whether everything is there.
    pub recording: String,
}

/// Sums.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Totals {
    /// Processes.
    pub processes: u64,
    /// Execs, all of each process counted.
    pub execs: u64,
    /// Execs that failed.
    pub failed_execs: u64,
    /// Processes that did what was asked.
    pub operations: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Processes that the agent started for itself.
    pub helpers: u64,
    /// Shells and launchers.
    pub wrappers: u64,
    /// Inner processes of programs.
    pub inner: u64,
    /// Processes that lived on.
    pub left_running: u64,
    /// Processes whose end was not seen.
    pub lost_ends: u64,
    /// Depth of the tree, the root counted as 1.
    pub depth: u64,
    /// The most operations at one time.
    pub parallel: u64,
    /// Nanoseconds in which no operation ran.
    pub idle: u64,
    /// Nanoseconds of CPU, as far as the tracer told.
    pub cpu: u64,
    /// Records that were lost, as far as known.
    pub lost_records: u64,
    /// Events.
    pub events: u64,
}

/// The agent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Agent {
    /// Its process.
    pub proc: u32,
    /// Its name.
    #[schemars(with = "mirror::Bytes")]
    pub name: ByteString,
    /// Its command line.
    #[schemars(with = "mirror::Bytes")]
    pub command_line: ByteString,
    /// The rule that recognised it.
    pub rule: String,
    /// Processes below it.
    pub sub_processes: u64,
    /// Agents below it.
    pub sub_agents: Vec<u32>,
}

/// A line of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// Depth in the shown tree, from 0.
    pub level: u32,
    /// Whether it is the last of its siblings.
    pub last: bool,
    /// What kind of line: `process`, `repeat`, `folded`.
    pub kind: RowKind,
    /// The process, or the first of those that it stands for.
    pub proc: u32,
    /// Its pid.
    pub pid: u32,
    /// How many processes it stands for.
    pub count: u64,
    /// `AGENT`, `TOOL:FileAnalysis`, `TOOL`, `SYSTEM`, `UNKNOWN`; empty for folded rows.
    pub tag: String,
    /// What was asked, as the traced program wrote it.
    #[schemars(with = "mirror::Bytes")]
    pub text: ByteString,
    /// What Capsule has to say: what a folded row holds, how deep it is.
    pub note: String,
    /// How it ended. For repeats: `failed` counts.
    pub success: Option<bool>,
    /// How many of them failed.
    pub failed: u64,
    /// Exit code or signal, where it failed; `still running`.
    pub ending: String,
    /// Nanoseconds; for repeats, the sum.
    pub duration: Option<u64>,
    /// Whether it ran at the same time as the line before it on its level.
    pub parallel: bool,
    /// Whether it outlived the recording.
    pub left_running: bool,
    /// The worst finding.
    #[schemars(with = "Option<mirror::Severity>")]
    pub worst: Option<Severity>,
    /// Folded processes that belong to it: wrappers around it and inner processes.
    pub folded: u64,
}

/// What kind of line a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// One process.
    Process,
    /// The same thing several times.
    Repeat,
    /// Processes that are counted only.
    Folded,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Process {
    /// Its number in the session.
    pub proc: u32,
    /// Who started it.
    pub parent: Option<u32>,
    /// Its pid.
    pub pid: u32,
    /// Distance from the root.
    pub depth: u32,
    /// The event of its first sight.
    pub event: u64,
    /// When it began.
    pub started: u64,
    /// Nanoseconds it lived.
    pub duration: Option<u64>,
    /// How it ended.
    pub ending: Ending,
    /// What it is.
    #[schemars(with = "mirror::Label")]
    pub label: Label,
    /// What kind of work it does.
    #[schemars(with = "Option<mirror::Workflow>")]
    pub workflow: Option<Workflow>,
    /// Why it exists.
    #[schemars(with = "mirror::Role")]
    pub role: Role,
    /// Its program.
    #[schemars(with = "mirror::Bytes")]
    pub tool: ByteString,
    /// What was asked.
    #[schemars(with = "mirror::Bytes")]
    pub summary: ByteString,
    /// What was asked of the shell that only ran this, where it says more: `cd src && head -3 a.py` for `head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<mirror::Bytes>")]
    pub asked: Option<ByteString>,
    /// Whether it did well.
    pub success: Option<bool>,
    /// Whether the folded tree shows it by itself (before it is cut to its budget).
    pub shown: bool,
    /// The rule that labelled it.
    pub rule: String,
    /// Its execs.
    pub execs: Vec<Exec>,
    /// Execs that failed.
    pub failed_execs: u32,
    /// What it used.
    #[schemars(with = "Vec<mirror::Resource>")]
    pub resources: Vec<Resource>,
    /// Microseconds of CPU in user mode and in the kernel.
    pub cpu_us: Option<u64>,
    /// Largest resident set, KiB.
    pub max_rss_kib: Option<u64>,
    /// The worst finding.
    #[schemars(with = "Option<mirror::Severity>")]
    pub worst: Option<Severity>,
    /// Findings.
    pub risks: Vec<u64>,
}

impl Process {
    /// What was asked: of it, or of the shell that only ran it.
    pub(crate) fn words(&self) -> &ByteString {
        self.asked.as_ref().unwrap_or(&self.summary)
    }
}

/// An exec.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Exec {
    /// The event.
    pub event: u64,
    /// When.
    pub at: u64,
    /// Arguments.
    #[schemars(with = "Vec<mirror::Bytes>")]
    pub argv: Argv,
    /// Executable.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub exe: Option<ByteString>,
    /// Directory.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub cwd: Option<ByteString>,
}

/// A workflow's share of the session.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WorkflowItem {
    /// Which; absent for work of no kind (building, testing, running).
    #[schemars(with = "Option<mirror::Workflow>")]
    pub workflow: Option<Workflow>,
    /// Its name, or `Other work`.
    pub name: String,
    /// Operations.
    pub operations: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Nanoseconds, summed over operations (they may overlap).
    pub duration: u64,
    /// Programs with their counts, most used first.
    pub tools: Vec<ToolCount>,
    /// The operations, in order.
    pub procs: Vec<u32>,
}

/// A program and how often it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToolCount {
    /// The program.
    #[schemars(with = "mirror::Bytes")]
    pub tool: ByteString,
    /// How often.
    pub count: u64,
}

/// A stretch of time with one kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Phase {
    /// `explore`, `edit`, `test`, `build`, `commit`, `network`, `security`, `run`, or `quiet` where nothing ran.
    pub kind: String,
    /// When it began.
    pub started: u64,
    /// Nanoseconds from the session's beginning.
    pub offset: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// Nanoseconds of it in which no operation ran.
    pub quiet: u64,
    /// Operations.
    pub operations: u64,
    /// Failed ones.
    pub failed: u64,
    /// Programs with their counts.
    pub tools: Vec<ToolCount>,
    /// The operations, the first ones.
    pub procs: Vec<u32>,
    /// What it was good for, in Capsule's words.
    pub significance: String,
}

/// A file that was changed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FileItem {
    /// Its path.
    #[schemars(with = "mirror::Bytes")]
    pub path: ByteString,
    /// Its path below the session's directory, or else `path`; directories end in `/`.
    #[schemars(with = "mirror::Bytes")]
    pub name: ByteString,
    /// The net effect: one of `created`, `written`, `deleted`, `renamed`, `mode`. A file saved by renaming a new one onto it is `written`.
    pub changes: Vec<String>,
    /// Its new name.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub renamed_to: Option<ByteString>,
    /// How many effects.
    pub count: u64,
    /// By whom.
    pub procs: Vec<u32>,
    /// The first record.
    pub event: u64,
    /// Whether it is below the session's directory.
    pub inside: bool,
    /// What kind of place it is in: `project`, `outside` (of the project), `git`, `cache`, `state` (of tools), `temp`.
    pub place: String,
    /// Its content before and after, where that is known.
    pub content: Option<FileContent>,
    /// What git would say of it, where that was asked.
    pub git: Option<FileGit>,
}

/// A changed file's content, as hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileContent {
    /// BLAKE3 of what it was, 64 hex digits.
    pub before: Option<String>,
    /// How that is known: `snapshot` (what was there when the first change began), `work_tree` (when the session began), `commit`
    /// (the commit that the session began with: what was not committed is not in it).
    pub before_from: Option<String>,
    /// BLAKE3 of what it was when the session ended, 64 hex digits.
    pub after: Option<String>,
}

/// What git would say of a changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileGit {
    /// `changed`, `committed` (changed, and committed meanwhile), or why git does not show it: `ignored`, `untracked`, `unchanged`,
    /// `gone`, `nested`, `outside`.
    pub says: String,
    /// Lines added, of a text.
    pub added: Option<u64>,
    /// Lines removed.
    pub removed: Option<u64>,
}

/// `git diff --stat` between the commit that the session began with and the work tree that it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GitItem {
    /// All of it in one line.
    pub text: String,
    /// The commit that the session began with.
    pub from: String,
    /// The commit when it ended.
    pub to: Option<String>,
    /// How many files differ.
    pub files: u64,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// How many of the files were committed meanwhile.
    pub committed: u64,
    /// Changed files that git does not show, by the reason.
    pub others: Vec<GitOthers>,
    /// Files that git shows and the session's record does not; the first ones.
    pub only: Vec<GitOnly>,
    /// Why not everything was compared.
    pub incomplete: Option<String>,
}

/// Changed files that git does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GitOthers {
    /// Why: see `says` of a file.
    pub why: String,
    /// The same in words that follow a number.
    pub words: String,
    /// How many.
    pub files: u64,
}

/// A file that only git shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GitOnly {
    /// Its path from the work tree's directory.
    #[schemars(with = "mirror::Bytes")]
    pub path: ByteString,
    /// Why.
    pub why: String,
}

/// How many files were changed in a kind of place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileGroup {
    /// Which: see `place` of a file.
    pub place: String,
    /// What people call it.
    pub words: String,
    /// How many files.
    pub files: u64,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HostItem {
    /// Address or name.
    #[schemars(with = "mirror::Bytes")]
    pub host: ByteString,
    /// Ports.
    pub ports: Vec<u16>,
    /// `tcp`, `udp`, …; `named` where only an argument names it.
    pub protocol: String,
    /// `connect`, `listen`, or `argument` where it was not seen but named by a command.
    pub how: String,
    /// How often.
    pub count: u64,
    /// By whom.
    pub procs: Vec<u32>,
    /// The first record, where one shows it.
    pub event: Option<u64>,
    /// Whether it is this machine.
    pub local: bool,
    /// Whether a command names it, with this port where it names one.
    pub named: bool,
}

/// Two processes that worked together.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Interaction {
    /// `pipe`, `written_then_run`, `written_then_read`, `shared_file`.
    pub kind: String,
    /// The first.
    pub from: u32,
    /// The second.
    pub to: u32,
    /// Through which file.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub path: Option<ByteString>,
    /// Records that show it.
    pub events: Vec<u64>,
}

/// Something that repeated, or stands out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pattern {
    /// `retry`, `edit_test_loop`, `repeat`, `parallel`, `helpers`, `path_search`, `waiting`, `background`.
    pub kind: String,
    /// In words.
    pub text: String,
    /// What repeated, as the traced program wrote it.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub subject: Option<ByteString>,
    /// How often.
    pub count: u64,
    /// By whom, the first ones.
    pub procs: Vec<u32>,
}

/// Risk.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Risk {
    /// The worst severity; absent where nothing was found.
    #[schemars(with = "Option<mirror::Severity>")]
    pub worst: Option<Severity>,
    /// `LOW` (also where nothing was found), `MEDIUM`, `HIGH`, `CRITICAL`, or `NOT ASSESSED`.
    pub level: String,
    /// Why that level, in words.
    pub reasons: Vec<String>,
    /// Findings, worst first; equal ones are one with a count.
    pub items: Vec<RiskItem>,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RiskItem {
    /// Its record.
    pub seq: u64,
    /// How bad.
    #[schemars(with = "mirror::Severity")]
    pub severity: Severity,
    /// Its category.
    pub category: String,
    /// The rule.
    pub rule: String,
    /// Its name.
    pub title: String,
    /// Why it matters. May quote the traced program.
    #[schemars(with = "mirror::Bytes")]
    pub why: ByteString,
    /// What was done, as the traced program wrote it.
    #[schemars(with = "mirror::Bytes")]
    pub subject: ByteString,
    /// ATT&CK technique ids.
    pub attack: Vec<String>,
    /// Who did it.
    pub proc: u32,
    /// Its pid.
    pub pid: u32,
    /// Processes it rests on.
    pub procs: Vec<u32>,
    /// Events it rests on.
    pub events: Vec<u64>,
    /// An innocent explanation.
    pub innocent: Option<String>,
    /// What changed the severity.
    pub adjusted: Option<String>,
    /// How many listed findings of its rule come before it.
    pub rank: u64,
    /// How many findings its rule has in all, joined ones counted each.
    pub of_rule: u64,
    /// How many equal findings it stands for.
    pub count: u64,
    /// Their records.
    pub seqs: Vec<u64>,
}

/// What the recording covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CoverageItem {
    /// The tracer.
    pub backend: String,
    /// What it hooks.
    pub hooks: Vec<String>,
    /// Lost records.
    pub lost: u64,
    /// What it cannot show.
    pub not_seen: Vec<String>,
}

/// How the session compares with earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// How many earlier sessions.
    pub sessions: u64,
    /// Programs that none of them ran.
    pub new_programs: Vec<NewThing>,
    /// Hosts that none of them contacted.
    pub new_hosts: Vec<NewThing>,
    /// Findings that none of them had.
    pub new_risks: Vec<NewThing>,
    /// Processes, and the median of the earlier ones.
    pub processes: (u64, u64),
    /// Duration, and the median.
    pub duration: (u64, u64),
    /// Failed operations, and the median.
    pub failures: (u64, u64),
}

/// Something that earlier sessions did not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NewThing {
    /// Its name.
    #[schemars(with = "mirror::Bytes")]
    pub name: ByteString,
    /// Processes that had it, the first ones.
    pub procs: Vec<u32>,
}
