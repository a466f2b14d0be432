//! Works out what a report says: the only place that computes. Linear in the number of records, without recursion.

use capsule_core::{Backend, ByteString, Label, Life, ProcessNode, Role, SessionStatus, Severity, Timestamp};

mod clean;
mod compare;
mod files;
mod index;
mod notices;
mod patterns;
mod risks;
mod rows;
#[cfg(test)]
mod tests;
mod work;
mod world;

pub(crate) use clean::Cleaner;
pub(crate) use files::Contents;
pub use files::changed_files;
use index::{Index, is_agent};
pub(crate) use work::meaning;

use crate::fold::{SIGPIPE, summary_of};
use crate::model::{Agent, CoverageItem, Ending, Exec, Headline, Process, Report, SCHEMA, Session, Totals};
use crate::options::{Listing, Options};
use crate::view::{SessionView, Trust};
use crate::words;

impl Report {
    /// Works out everything that the renderers say about a session.
    #[must_use]
    pub fn assemble(view: &SessionView, options: &Options) -> Self {
        let cleaner = Cleaner::new(&options.redact, &view.metadata);
        let whole = bounds(view, options.now);
        let index = Index::new(view, whole.1, options.proc);
        let zoom = options.proc.and_then(|proc| index.index_of(proc)).and_then(|at| Some((at, index.node(at)?)));
        let (from, to) = zoom.map_or(whole, |(at, node)| (node.started.0, index.end(at)));
        let ends = Ends { os: view.metadata.host.os.as_str(), running: is_running(view) };
        let (parallel, idle) = work::load(&index, from, to);
        let totals = Totals { parallel, idle, ..totals(view, &index) };
        let phases = work::phases(view, &index, &cleaner, from, to);
        let duration = to.saturating_sub(from);
        let files = files::files(view, &cleaner);
        let hosts = world::hosts(view, &index, &cleaner);
        let risk = risks::risk(&view.risks, &index, &cleaner, view.classified > 0);
        let agent = agent(&index, &cleaner);
        let notices = notices::notices(view, &totals, &cleaner);
        let session = session(view, &cleaner, whole.0, whole.1);
        let zoom = zoom.map(|(at, node)| process(node, index.parent(at), &cleaner, ends, true));
        let headline = Headline {
            recording: recording(view, &notices),
            ..match &zoom {
                Some(process) => zoomed(process, &session, &totals, &risk, to.saturating_sub(from)),
                None => headline(&session, &agent, &totals, &risk),
            }
        };
        let comparison = options
            .baseline
            .as_ref()
            .filter(|_| zoom.is_none())
            .map(|base| compare::comparison(base, &index, &cleaner, &hosts, &risk, &totals, duration));
        Self {
            schema: SCHEMA.to_owned(),
            rows: rows::rows(&index, &cleaner, options, ends),
            workflows: work::workflows(&index, &cleaner),
            patterns: patterns::patterns(&index, &cleaner, &phases, &totals, duration),
            interactions: world::interactions(view, &cleaner),
            processes: processes(&index, &cleaner, ends, options.listing),
            coverage: view.metadata.coverage.as_ref().map(|coverage| CoverageItem {
                backend: coverage.backend.name().to_owned(),
                hooks: coverage.hooks.clone(),
                lost: coverage.lost,
                not_seen: coverage.not_seen.iter().map(|text| cleaner.text(text)).collect(),
            }),
            effects: world::effects(view, &cleaner),
            effects_total: view.effects.len() as u64,
            gaps: notices::gaps(view, &cleaner),
            session,
            notices,
            headline,
            zoom,
            totals,
            agent,
            phases,
            files: files.items,
            files_total: files.total,
            file_groups: files.groups,
            files_temporary: files.temporary,
            files_note: files.note,
            git: files.git,
            hosts,
            risk,
            comparison,
        }
    }
}

/// When the session began, and ended or was last heard of.
fn bounds(view: &SessionView, now: Option<Timestamp>) -> (u64, u64) {
    let from = view.metadata.started.0;
    let last = view.last_seen.map_or(from, |last| last.0);
    let to = match (view.metadata.ended, now) {
        (Some(ended), _) => ended.0,
        (None, Some(now)) if is_running(view) => now.0.max(last),
        (None, _) => last,
    };
    (from, to.max(from))
}

/// Whether the session runs still, as far as anybody can say.
fn is_running(view: &SessionView) -> bool {
    let unsaid = view.metadata.status == SessionStatus::Incomplete && view.metadata.ended.is_none();
    unsaid && view.integrity.as_ref().is_none_or(|integrity| integrity.trust == Trust::Running)
}

/// What is needed to say how processes ended.
#[derive(Clone, Copy)]
struct Ends<'a> {
    /// Whose signal numbers they are.
    os: &'a str,
    /// Whether processes without an end run still.
    running: bool,
}

fn totals(view: &SessionView, index: &Index<'_>) -> Totals {
    let mut totals = Totals { events: view.events, lost_records: view.lost, ..Totals::default() };
    if let Some(coverage) = &view.metadata.coverage {
        totals.lost_records = totals.lost_records.max(coverage.lost);
    }
    for (at, node) in index.preorder.iter().filter_map(|at| Some((*at, index.node(*at)?))) {
        let operation = index.is_operation(at);
        totals.processes += 1;
        totals.execs += node.execs.len() as u64;
        totals.failed_execs += u64::from(node.failed_execs);
        totals.operations += u64::from(operation);
        totals.failed += u64::from(operation && node.success == Some(false));
        totals.helpers += u64::from(node.role == Role::Helper);
        totals.wrappers += u64::from(node.role == Role::Wrapper);
        totals.inner += u64::from(node.role == Role::Inner);
        totals.left_running += u64::from(matches!(node.life, Life::LeftRunning { .. }));
        totals.lost_ends += u64::from(node.life == Life::Lost || node.life == Life::Running && !is_running(view));
        totals.depth = totals.depth.max(u64::from(index.depths.get(at).copied().unwrap_or(0)) + 1);
        if let Some(usage) = &node.rusage {
            totals.cpu = totals.cpu.saturating_add(usage.user_us.saturating_add(usage.system_us).saturating_mul(1000));
        }
    }
    totals
}

fn agent(index: &Index<'_>, cleaner: &Cleaner) -> Option<Agent> {
    let at = index.agent?;
    let node = index.node(at)?;
    let size = index.sizes.get(at).copied().unwrap_or(1);
    // Only agents below this one; a tree's nodes below another are a stretch of the preorder.
    let position = index.preorder.iter().position(|other| *other == at)?;
    let below = index.preorder.get(position.saturating_add(1)..position.saturating_add(usize::try_from(size).ok()?))?;
    let sub_agents = below.iter().filter_map(|other| index.node(*other)).filter(|node| is_agent(node));
    Some(Agent {
        proc: node.proc.0,
        name: cleaner.bytes(&node.tool),
        command_line: cleaner.bytes(&node.argv().map(|argv| summary_of(&cleaner.argv(argv))).unwrap_or_default()),
        rule: node.rule.clone(),
        sub_processes: size.saturating_sub(1),
        sub_agents: sub_agents.map(|node| node.proc.0).take(64).collect(),
    })
}

/// Every process, by its number.
fn processes(index: &Index<'_>, cleaner: &Cleaner, ends: Ends<'_>, listing: Listing) -> Vec<Process> {
    if listing == Listing::Nothing {
        return Vec::new();
    }
    let faces = rows::faces(index);
    let nodes = index.nodes.iter().enumerate();
    nodes
        .zip(faces)
        .map(|((at, node), (shown, asked))| Process {
            shown,
            asked: asked.map(|asked| cleaner.bytes(&asked)),
            ..process(node, index.parent(at), cleaner, ends, listing == Listing::Full)
        })
        .collect()
}

/// A process, with its parent by index: one that exists and closes no cycle.
fn process(node: &ProcessNode, parent: Option<usize>, cleaner: &Cleaner, ends: Ends<'_>, with_execs: bool) -> Process {
    Process {
        proc: node.proc.0,
        parent: parent.and_then(|parent| u32::try_from(parent.saturating_add(1)).ok()),
        pid: node.pid.0,
        depth: node.depth,
        event: node.event.0,
        started: node.started.0,
        duration: node.duration(),
        ending: ending(node, ends),
        label: node.label,
        workflow: node.workflow,
        role: node.role,
        tool: cleaner.bytes(&node.tool),
        summary: cleaner.bytes(&node.summary),
        success: node.success,
        shown: false,
        asked: None,
        rule: node.rule.clone(),
        execs: node
            .execs
            .iter()
            .filter(|_| with_execs)
            .map(|exec| Exec {
                event: exec.event.0,
                at: exec.at.0,
                argv: cleaner.argv(&exec.argv),
                exe: exec.exe.as_ref().map(|exe| cleaner.bytes(exe)),
                cwd: exec.cwd.as_ref().map(|cwd| cleaner.bytes(cwd)),
            })
            .collect(),
        failed_execs: node.failed_execs,
        resources: node
            .resources
            .iter()
            .map(|resource| capsule_core::Resource { kind: resource.kind, value: cleaner.bytes(&resource.value) })
            .collect(),
        cpu_us: node.rusage.as_ref().map(|usage| usage.user_us.saturating_add(usage.system_us)),
        max_rss_kib: node.rusage.as_ref().map(|usage| usage.max_rss_kib),
        worst: node.worst,
        risks: node.risks.iter().map(|seq| seq.0).collect(),
    }
}

/// How a process ended, in words that stand beside a mark: nothing where it ended well.
fn ending(node: &ProcessNode, ends: Ends<'_>) -> Ending {
    let mut ending = Ending::default();
    let (state, text) = match node.life {
        Life::Running if ends.running => ("running", "still running".to_owned()),
        Life::LeftRunning { .. } => ("left_running", "left running".to_owned()),
        Life::Running | Life::Lost => ("lost", "end not seen".to_owned()),
        Life::Exited { signal: Some(signal), core_dumped, .. } => {
            let name = words::signal(signal, ends.os);
            let reader_gone = signal == SIGPIPE && node.success.is_none();
            ending.signal = Some(signal);
            ending.core_dumped = core_dumped;
            ending.signal_name = Some(name.clone());
            (
                "signaled",
                if reader_gone {
                    "pipe closed".to_owned()
                } else if core_dumped {
                    format!("{name}, core dumped")
                } else {
                    name
                },
            )
        }
        Life::Exited { code, .. } => {
            ending.code = code;
            ("exited", code.map_or_else(|| "exit ?".to_owned(), |code| format!("exit {code}")))
        }
    };
    state.clone_into(&mut ending.state);
    ending.text = text;
    ending
}

fn session(view: &SessionView, cleaner: &Cleaner, from: u64, to: u64) -> Session {
    let metadata = &view.metadata;
    let status = match &metadata.status {
        SessionStatus::Incomplete => "incomplete",
        SessionStatus::Complete => "complete",
        SessionStatus::Interrupted { .. } => "interrupted",
        SessionStatus::Failed { .. } => "failed",
    };
    let mut ending = Ending { state: "running".to_owned(), text: "still running".to_owned(), ..Ending::default() };
    if let Some(signal) = metadata.signal {
        let name = words::signal(signal, &metadata.host.os);
        ending.state = "signaled".to_owned();
        (ending.signal, ending.signal_name) = (Some(signal), Some(name.clone()));
        ending.text = name;
    } else if let Some(code) = metadata.exit_code {
        ending.state = "exited".to_owned();
        ending.code = Some(code);
        ending.text = format!("exit {code}");
    } else if !is_running(view) {
        ending.state = "lost".to_owned();
        ending.text = "how it ended was not recorded".to_owned();
    }
    let git = |state: &Option<capsule_core::GitState>| {
        state.as_ref().map(|git| {
            let commit: String = git.commit.as_deref().unwrap_or("no commit").chars().take(12).collect();
            format!("{commit} ({})", git.branch.as_deref().unwrap_or("detached"))
        })
    };
    let because =
        if metadata.tracer.because.is_empty() { String::new() } else { format!(": {}", metadata.tracer.because) };
    let backend: Backend = metadata.tracer.backend;
    Session {
        id: metadata.id.as_str().to_owned(),
        status: status.to_owned(),
        command: cleaner.argv(&metadata.command),
        command_line: cleaner.bytes(&summary_of(&cleaner.argv(&metadata.command))),
        cwd: cleaner.bytes(&metadata.cwd),
        started: from,
        started_text: metadata.started.to_seconds_string(),
        ended: metadata.ended.map(|ended| ended.0),
        ended_text: metadata.ended.map(Timestamp::to_seconds_string),
        duration: to.saturating_sub(from),
        ending,
        host: Some(metadata.host.name.as_str()).filter(|name| !name.is_empty()).map(|name| cleaner.host(name)),
        system: format!("{} {} {}", metadata.host.os, metadata.host.kernel, metadata.host.arch),
        user: metadata.user.name.as_deref().map(|name| cleaner.user(name)),
        tracer: format!("{backend}{because}"),
        capsule: metadata.capsule.clone(),
        git_start: git(&metadata.git_start),
        git_end: git(&metadata.git_end),
        imported: metadata.imported.as_deref().map(|from| cleaner.text(from)),
    }
}

/// How much there was, in words.
fn amount(totals: &Totals) -> String {
    let processes = words::count(totals.processes, "process", "processes");
    let operations = words::count(totals.operations, "operation", "operations");
    let failed = if totals.failed > 0 { format!(", {} failed", words::number(totals.failed)) } else { String::new() };
    format!("{processes}, {operations}{failed}")
}

/// The headline of one process and what it started; `recording` is left empty.
fn zoomed(process: &Process, session: &Session, totals: &Totals, risk: &crate::model::Risk, duration: u64) -> Headline {
    let started = process.started.saturating_sub(session.started);
    Headline {
        what: process.summary.clone(),
        kind: format!("process {} of the session, and what it started: {}", process.proc, amount(totals)),
        duration: format!("{}, from {} on", words::duration(duration), crate::template::offset(started)),
        ending: process.ending.text.clone(),
        success: process.success,
        risk: worst(risk, totals),
        recording: String::new(),
    }
}

/// The headline of a session; `recording` is left empty.
fn headline(session: &Session, agent: &Option<Agent>, totals: &Totals, risk: &crate::model::Risk) -> Headline {
    let who = if agent.is_some() { "agent session" } else { "command" };
    let kind = format!("{who}: {}", amount(totals));
    let mut duration = words::duration(session.duration);
    if agent.is_some() && totals.idle > 0 && totals.operations > 0 {
        duration.push_str(&format!(", of which {} with no operation running", words::duration(totals.idle)));
    }
    let success = match session.ending.state.as_str() {
        "exited" => Some(session.ending.code == Some(0)),
        "signaled" => Some(false),
        _ => None,
    };
    let mut ending = session.ending.text.clone();
    if totals.left_running > 0 {
        ending.push_str(&format!("; {} left running", words::count(totals.left_running, "process", "processes")));
    }
    Headline {
        what: without_directory(&session.command_line),
        kind,
        duration,
        ending,
        success,
        risk: worst(risk, totals),
        recording: String::new(),
    }
}

/// The worst finding, in words.
fn worst(risk: &crate::model::Risk, totals: &Totals) -> String {
    match risk.items.first() {
        Some(item) => {
            let more = risk.items.iter().filter(|other| other.severity >= Severity::Medium).count().saturating_sub(1);
            let more = if more > 0 { format!("; {more} more at medium or above") } else { String::new() };
            let about = risks::about(item).map(|about| format!(": {about}")).unwrap_or_default();
            format!("{}: {}{about} (process {}){more}", risk.level, item.title, item.proc)
        }
        None if risk.level == "LOW" => {
            format!("none found in {}", words::count(totals.processes, "process", "processes"))
        }
        None => risk.reasons.first().map_or_else(|| risk.level.clone(), |reason| format!("{}: {reason}", risk.level)),
    }
}

/// Whether everything is there, in words.
fn recording(view: &SessionView, notices: &[crate::model::Notice]) -> String {
    let incomplete = notices.iter().filter(|notice| notice.incomplete).count();
    match incomplete {
        0 => match view.integrity.as_ref().filter(|integrity| integrity.trust == Trust::Sealed) {
            Some(integrity) if integrity.passed_over.is_empty() => "complete and sealed".to_owned(),
            Some(integrity) => {
                let files = integrity.passed_over.join(" and ");
                format!("complete and sealed ({files} not checked: capsule verify)")
            }
            None => "complete as far as it says itself".to_owned(),
        },
        n => format!("INCOMPLETE: {}", words::count(n as u64, "reason above", "reasons above")),
    }
}

/// A command line without the directory of its program, where that is one of programs: `./a` and `/home/u/a` are what they are.
fn without_directory(line: &ByteString) -> ByteString {
    let bytes = line.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
    let program = bytes.get(..end).unwrap_or_default();
    let from = program.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash.saturating_add(1));
    let directory = program.get(..from.saturating_sub(1)).unwrap_or_default();
    let of_programs =
        directory.starts_with(b"/") && [&b"/bin"[..], b"/sbin", b"/.bin"].iter().any(|end| directory.ends_with(end));
    if from < end && of_programs && !program.contains(&b'\'') {
        ByteString::new(bytes.get(from..).unwrap_or_default())
    } else {
        line.clone()
    }
}

/// `AGENT`, `TOOL:FileAnalysis`, `SYSTEM`: what the tree calls a process.
pub(crate) fn tag(node: &ProcessNode) -> String {
    match (node.label, node.workflow) {
        (Label::Agent, _) => "AGENT".to_owned(),
        (Label::Tool, Some(workflow)) => format!("TOOL:{workflow}"),
        (Label::Tool, None) => "TOOL".to_owned(),
        (Label::SystemTool, _) => "SYSTEM".to_owned(),
        (Label::Unknown, _) if !index::ran(node) => "FORK".to_owned(),
        (Label::Unknown, _) => "UNKNOWN".to_owned(),
    }
}

/// The summary to show: a process that never executed anything has none of its own.
pub(crate) fn shown_text(node: &ProcessNode) -> ByteString {
    if node.summary.as_bytes().is_empty() && !node.tool.as_bytes().is_empty() {
        node.tool.clone()
    } else {
        node.summary.clone()
    }
}
