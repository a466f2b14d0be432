//! The one fold that turns a session's records into its process tree.
//!
//! It is used live, for the snapshots of `tree.json`, and by every reader of a stored session, so that a running, a
//! finished and a crashed session are one code path. Records of the three streams may come in any order relative to
//! each other: when streams are read back one after the other, an action may come before its process's first event.
//! Each record costs constant time. What cannot fit (an action of a process that no event mentions) is counted and
//! said, never guessed.

use std::collections::HashMap;

use capsule_core::{
    ActionEvent, ActionPhase, Argv, ByteString, EventKind, ExecRecord, Label, Life, ProcId, ProcessNode, ProcessTree,
    RiskEvent, Role, Seq, SessionMetadata, Severity, Timestamp, TrackedEvent,
};

use crate::view::{Capped, Gap, OddEvent, PipeLink, SessionView, Unread};

mod intern;
mod ledger;
mod pipes;
#[cfg(test)]
mod tests;

use intern::Interner;
use ledger::Ledger;
use pipes::Pipes;

/// How many gaps, unread records and anomalies are kept one by one.
const KEPT: usize = 1000;
/// How far ahead of the known processes an id may be before it is taken for nonsense.
const MAX_HOLE: usize = 1 << 16;
/// How many bytes of a command line make a summary where no action gives one.
const SUMMARY_BYTES: usize = 400;

/// The signal of a write that nobody will read: the same number on every system that Capsule knows.
pub(crate) const SIGPIPE: i32 = 13;
/// How many processes after a writer may be of its pipeline.
const PIPELINE: usize = 8;

/// What is known of a process before its first event.
#[derive(Debug, Default)]
struct Early {
    action: Option<ActionEvent>,
    risks: Vec<(Seq, Severity)>,
}

/// Builds the tree, and what a report needs besides, from records.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    tree: ProcessTree,
    /// For each node, whether an event made it, and the phase of the action that it shows.
    marks: Vec<Mark>,
    early: HashMap<ProcId, Early>,
    interner: Interner,
    risks: Vec<RiskEvent>,
    /// How bad each finding is, by its number.
    graded: Vec<(Seq, Severity)>,
    ledger: Option<Ledger>,
    pipes: Option<Pipes>,
    links: Vec<PipeLink>,
    gaps: Capped<Gap>,
    lost: u64,
    unread: Capped<Unread>,
    anomalies: Capped<OddEvent>,
    events: u64,
    classified: u64,
    last_seen: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    seen: bool,
    phase: Option<ActionPhase>,
}

impl TreeBuilder {
    /// A builder for a reader of a whole session: keeps effects, pipes and findings too.
    #[must_use]
    pub fn new() -> Self {
        Self { ledger: Some(Ledger::default()), pipes: Some(Pipes::default()), ..Self::default() }
    }

    /// A builder for snapshots of the tree while the session runs: keeps the tree, the first changes of files, and little else.
    #[must_use]
    pub fn live() -> Self {
        Self { ledger: Some(Ledger::of_changes()), ..Self::default() }
    }

    /// The tree so far.
    #[must_use]
    pub const fn tree(&self) -> &ProcessTree {
        &self.tree
    }

    /// How many tracked records were taken.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The worst finding so far.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.tree.nodes.iter().filter_map(|node| node.worst).max()
    }

    /// Takes an event of `enriched.jsonl`, tracked.
    pub fn tracked(&mut self, tracked: &TrackedEvent) {
        let event = tracked.event();
        self.events = self.events.saturating_add(1);
        self.last_seen = self.last_seen.max(Some(event.timestamp));
        match &event.kind {
            EventKind::Gap { count, since, reason } => {
                self.lost = self.lost.saturating_add(*count);
                let (since, until) = (*since, event.timestamp);
                let gap = Gap { event: event.seq, count: *count, since, until, reason: reason.clone() };
                self.gaps.push(gap, KEPT);
                return;
            }
            EventKind::Diagnostic { reason } => {
                self.unread.push(Unread { event: Some(event.seq), reason: reason.clone() }, KEPT);
                return;
            }
            _ => {}
        }
        let Some(proc) = tracked.proc else {
            self.unread.push(Unread { event: Some(event.seq), reason: "an event of no process".to_owned() }, KEPT);
            return;
        };
        if let Some(what) = tracked.anomaly {
            self.anomalies.push(OddEvent { proc, pid: event.pid, event: event.seq, what }, KEPT);
        }
        let Some(index) = self.first_sight(proc, tracked) else {
            let reason = format!("process number {proc} is far beyond those known");
            self.unread.push(Unread { event: Some(event.seq), reason }, KEPT);
            return;
        };
        if let EventKind::Effect(effect) = &event.kind
            && let Some(ledger) = &mut self.ledger
        {
            ledger.add(proc, effect, event.seq, event.timestamp);
        }
        if let (EventKind::Exec(_), Some(context), Some(pipes)) =
            (&event.kind, &tracked.enriched.context, &mut self.pipes)
        {
            pipes.exec(proc, event.seq, context);
        }
        self.update(index, tracked);
    }

    fn update(&mut self, index: usize, tracked: &TrackedEvent) {
        let event = tracked.event();
        let shown = self.marks.get(index).is_some_and(|mark| mark.phase.is_some());
        let Some(node) = self.tree.nodes.get_mut(index) else { return };
        if node.parent.is_none() && tracked.parent != Some(node.proc) {
            node.parent = tracked.parent;
            node.depth = tracked.depth;
        }
        match &event.kind {
            EventKind::Spawn(how) => {
                node.spawn = Some(*how);
                node.started = node.started.min(event.timestamp);
            }
            EventKind::Exec(exec) => {
                let context = tracked.enriched.context.as_deref();
                let exe = exec.exe.clone().or_else(|| context.and_then(|c| c.exe.value().cloned()));
                let cwd = exec.cwd.clone().or_else(|| context.and_then(|c| c.cwd.value().cloned()));
                if !shown {
                    node.tool = self.interner.one(program_name(exe.as_ref(), &exec.argv));
                    node.summary = summary_of(&exec.argv);
                }
                // Most processes have one: room for more, for each of a million, would be most of the tree's memory.
                if node.execs.is_empty() {
                    node.execs.reserve_exact(1);
                }
                node.execs.push(ExecRecord {
                    event: event.seq,
                    at: event.timestamp,
                    argv: exec.argv.clone(),
                    exe: exe.map(|exe| self.interner.one(exe)),
                    filename: exec.filename.clone().map(|name| self.interner.one(name)),
                    cwd: cwd.map(|cwd| self.interner.one(cwd)),
                });
            }
            EventKind::ExecFailed { filename, argv, .. } => {
                node.failed_execs = node.failed_execs.saturating_add(1);
                if !shown && node.execs.is_empty() {
                    node.tool = self.interner.one(program_name(filename.as_ref(), argv));
                    node.summary = summary_of(argv);
                }
            }
            EventKind::Exit { status, rusage } => {
                node.life = Life::exited(event.timestamp, *status, event.seq);
                node.rusage = *rusage;
                if !shown {
                    node.success = Some(status.success());
                }
            }
            EventKind::LeftRunning => node.life = Life::LeftRunning { at: event.timestamp, event: event.seq },
            EventKind::Effect(_) | EventKind::Gap { .. } | EventKind::Diagnostic { .. } => {}
        }
    }

    /// Takes an action.
    pub fn action(&mut self, action: ActionEvent) {
        self.last_seen = self.last_seen.max(Some(action.timestamp));
        match self.index_of(action.proc) {
            Some(index) => self.show(index, action),
            None => {
                let early = self.early.entry(action.proc).or_default();
                if early.action.as_ref().is_none_or(|known| known.phase <= action.phase) {
                    early.action = Some(action);
                }
            }
        }
    }

    /// Takes a finding.
    pub fn risk(&mut self, risk: &RiskEvent) {
        self.last_seen = self.last_seen.max(Some(risk.timestamp));
        if risk.corrects.is_some() {
            self.correct(risk);
            return;
        }
        self.graded.push((risk.seq, risk.severity));
        if self.pipes.is_some() {
            self.risks.push(risk.clone());
        }
        match self.index_of(risk.proc) {
            Some(index) => self.warn(index, risk.seq, risk.severity),
            None => self.early.entry(risk.proc).or_default().risks.push((risk.seq, risk.severity)),
        }
    }

    /// Says that a stored record could not be read at all.
    pub fn unreadable(&mut self, reason: impl Into<String>) {
        self.unread.push(Unread { event: None, reason: reason.into() }, KEPT);
    }

    /// Ends the fold. With `ended`, processes whose end no record tells are lost; without, the session runs and so do they.
    pub fn close(&mut self, ended: Option<Timestamp>) {
        if ended.is_none() {
            return;
        }
        for node in &mut self.tree.nodes {
            if node.life == Life::Running {
                node.life = Life::Lost;
            }
        }
        self.join();
        excuse(&mut self.tree.nodes, &self.links);
    }

    /// Joins the ends of pipes; later ones are not looked at.
    fn join(&mut self) {
        if let Some(pipes) = self.pipes.take() {
            self.links = pipes.into_links();
        }
    }

    /// The session, folded. Whether it ended is what `metadata` says.
    #[must_use]
    pub fn finish(mut self, metadata: SessionMetadata) -> SessionView {
        self.close(metadata.ended);
        let mut strangers: Vec<&ProcId> = self.early.keys().collect();
        strangers.sort_unstable();
        for proc in strangers {
            let reason = format!("an action or a finding names process {proc}, which no event mentions");
            self.unread.push(Unread { event: None, reason }, KEPT);
        }
        self.risks.sort_by_key(|risk| risk.seq);
        self.join();
        excuse(&mut self.tree.nodes, &self.links);
        let (effects, effects_uncounted) = self.ledger.unwrap_or_default().into_entries();
        SessionView {
            metadata,
            tree: self.tree,
            risks: self.risks,
            effects,
            effects_uncounted,
            pipes: self.links,
            gaps: self.gaps,
            lost: self.lost,
            unread: self.unread,
            anomalies: self.anomalies,
            events: self.events,
            classified: self.classified,
            last_seen: self.last_seen,
            integrity: None,
        }
    }

    /// The index of a process that an event has mentioned.
    fn index_of(&self, proc: ProcId) -> Option<usize> {
        let index = usize::try_from(proc.0).ok()?.checked_sub(1)?;
        self.marks.get(index).filter(|mark| mark.seen).map(|_| index)
    }

    /// The index of the process, made at its first event. Ids come without holes from the tracker; a hole (a torn
    /// stream) is filled with nodes that say that nothing is known.
    fn first_sight(&mut self, proc: ProcId, tracked: &TrackedEvent) -> Option<usize> {
        if let Some(index) = self.index_of(proc) {
            return Some(index);
        }
        let index = usize::try_from(proc.0).ok()?.checked_sub(1)?;
        if index > self.tree.nodes.len().saturating_add(MAX_HOLE) {
            return None;
        }
        for next in self.tree.nodes.len()..=index {
            let proc = ProcId(u32::try_from(next.saturating_add(1)).ok()?);
            self.tree.nodes.push(unknown(proc, tracked));
            self.marks.push(Mark::default());
        }
        if let (Some(node), Some(mark)) = (self.tree.nodes.get_mut(index), self.marks.get_mut(index)) {
            mark.seen = true;
            node.pid = tracked.event().pid;
            node.parent = tracked.parent.filter(|parent| *parent != proc);
            node.depth = tracked.depth;
            node.started = tracked.event().timestamp;
            node.event = tracked.event().seq;
            node.life = Life::Running;
        }
        if let Some(early) = self.early.remove(&proc) {
            if let Some(action) = early.action {
                self.show(index, action);
            }
            for (seq, severity) in early.risks {
                self.warn(index, seq, severity);
            }
        }
        Some(index)
    }

    fn show(&mut self, index: usize, action: ActionEvent) {
        let (Some(node), Some(mark)) = (self.tree.nodes.get_mut(index), self.marks.get_mut(index)) else { return };
        if mark.phase.is_some_and(|known| known > action.phase) {
            return;
        }
        if mark.phase.is_none() {
            self.classified = self.classified.saturating_add(1);
        }
        mark.phase = Some(action.phase);
        node.label = action.label;
        node.workflow = action.workflow;
        node.role = action.role;
        node.tool = self.interner.one(action.tool);
        node.summary = action.summary;
        node.resources = action.resources;
        node.success = action.success;
        node.rule = action.rule;
    }

    /// What was found earlier did not come about: it stays, with what became of it.
    fn correct(&mut self, risk: &RiskEvent) {
        let Some(earlier) = risk.corrects else { return };
        if let Ok(at) = self.graded.binary_search_by_key(&earlier, |(seq, _)| *seq)
            && let Some((_, severity)) = self.graded.get_mut(at)
        {
            *severity = risk.severity;
        }
        let at = self.risks.binary_search_by_key(&earlier, |known| known.seq);
        if let Some(known) = at.ok().and_then(|at| self.risks.get_mut(at)) {
            known.severity = risk.severity;
            known.why.clone_from(&risk.why);
            known.adjusted.clone_from(&risk.adjusted);
            known.evidence.events.extend(risk.evidence.events.iter().copied());
        }
        if let Some(early) = self.early.get_mut(&risk.proc) {
            for (_, severity) in early.risks.iter_mut().filter(|(seq, _)| *seq == earlier) {
                *severity = risk.severity;
            }
        }
        let index = self.index_of(risk.proc);
        if let Some(node) = index.and_then(|index| self.tree.nodes.get_mut(index)) {
            let graded = &self.graded;
            let severity = |seq: &Seq| {
                graded
                    .binary_search_by_key(seq, |(seq, _)| *seq)
                    .ok()
                    .and_then(|at| graded.get(at))
                    .map(|(_, how)| *how)
            };
            node.worst = node.risks.iter().filter_map(severity).max();
        }
    }

    fn warn(&mut self, index: usize, seq: Seq, severity: Severity) {
        if let Some(node) = self.tree.nodes.get_mut(index) {
            node.worst = node.worst.max(Some(severity));
            node.risks.push(seq);
        }
    }
}

/// A writer that `SIGPIPE` ended because its pipe's reader had ended (`… | head`) did not fail: whether it did well,
/// nobody knows. Readers are found by their pipes, or, where descriptors are not known, among the processes that the
/// same shell started next.
fn excuse(nodes: &mut [ProcessNode], pipes: &[PipeLink]) {
    let end = |node: &ProcessNode| match node.life {
        Life::Exited { at, .. } => Some(at),
        _ => None,
    };
    let at = |proc: ProcId| usize::try_from(proc.0).ok().and_then(|proc| proc.checked_sub(1));
    for index in 0..nodes.len() {
        let Some(writer) = nodes.get(index) else { continue };
        let Life::Exited { signal: Some(SIGPIPE), at: died, .. } = writer.life else { continue };
        let gone = |reader: &ProcessNode| end(reader).is_some_and(|ended| ended <= died && ended >= writer.started);
        // Links are sorted by their writers.
        let from = pipes.partition_point(|link| link.from < writer.proc);
        let mut links = pipes.get(from..).unwrap_or_default().iter().take_while(|link| link.from == writer.proc);
        let linked = links.any(|link| at(link.to).and_then(|to| nodes.get(to)).is_some_and(gone));
        let next = nodes.get(index.saturating_add(1)..).unwrap_or_default().iter().take(PIPELINE);
        let beside = || {
            let mut siblings = next.filter(|node| node.parent.is_some() && node.parent == writer.parent);
            siblings.any(gone)
        };
        if (linked || beside())
            && let Some(writer) = nodes.get_mut(index)
        {
            writer.success = None;
        }
    }
}

fn unknown(proc: ProcId, tracked: &TrackedEvent) -> ProcessNode {
    ProcessNode {
        proc,
        parent: None,
        pid: capsule_core::Pid(0),
        depth: 0,
        started: tracked.event().timestamp,
        spawn: None,
        event: tracked.event().seq,
        execs: Vec::new(),
        failed_execs: 0,
        life: Life::Lost,
        rusage: None,
        label: Label::Unknown,
        workflow: None,
        role: Role::Asked,
        tool: ByteString::default(),
        summary: ByteString::default(),
        resources: Vec::new(),
        success: None,
        rule: String::new(),
        worst: None,
        risks: Vec::new(),
    }
}

/// The last component of `argv[0]`, or of the executable where there is none.
fn program_name(exe: Option<&ByteString>, argv: &Argv) -> ByteString {
    let first = argv.get(0).filter(|name| !name.is_empty());
    let path = first.or_else(|| exe.map(ByteString::as_bytes)).unwrap_or_default();
    let name = path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or(path);
    ByteString::new(name)
}

/// The command line as one would type it, cut at a length.
pub(crate) fn summary_of(argv: &Argv) -> ByteString {
    let mut line = Vec::new();
    for arg in argv.iter() {
        if !line.is_empty() {
            line.push(b' ');
        }
        push_quoted(&mut line, arg);
        if line.len() > SUMMARY_BYTES {
            cut(&mut line, SUMMARY_BYTES);
            line.extend_from_slice("…".as_bytes());
            break;
        }
    }
    ByteString::from(line)
}

/// Appends `arg` as a POSIX shell would need it written.
fn push_quoted(line: &mut Vec<u8>, arg: &[u8]) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=./:,@%^".contains(byte) || *byte >= 0x80;
    let mut arg = arg;
    if arg.len() > SUMMARY_BYTES.saturating_mul(2) {
        arg = arg.get(..SUMMARY_BYTES.saturating_mul(2)).unwrap_or(arg);
    }
    if !arg.is_empty() && arg.iter().all(plain) {
        line.extend_from_slice(arg);
    } else if arg.contains(&b'\'') {
        line.push(b'"');
        for byte in arg {
            if b"\"\\$`".contains(byte) {
                line.push(b'\\');
            }
            line.push(*byte);
        }
        line.push(b'"');
    } else {
        line.push(b'\'');
        line.extend_from_slice(arg);
        line.push(b'\'');
    }
}

/// Cuts at most `limit` bytes, not inside a character where the bytes are UTF-8.
pub(crate) fn cut(line: &mut Vec<u8>, limit: usize) {
    if line.len() <= limit {
        return;
    }
    let mut end = limit;
    while end > limit.saturating_sub(4) && line.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end = end.saturating_sub(1);
    }
    line.truncate(end);
}
