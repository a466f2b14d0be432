//! The stage: tracked events in, actions and risks out.
//!
//! A provisional action is said at each exec, a final one at the end of the process, or of the session for those that
//! live on. Memory follows the live processes; what is kept of the session as a whole is bounded. Verdicts of equal
//! commands are remembered ([`cache`]), so that a storm of the same program costs one judgement.

mod attempt;
mod cache;
mod guard;
mod session;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use capsule_core::{
    ActionEvent, ActionPhase, Argv, ByteString, EffectKind, EventKind, Evidence, ExitStatus, Finding, Label, Pid,
    ProcId, RiskEvent, Role, Seq, Severity, SpawnKind, Stage, Timestamp, TrackedEvent,
};

use crate::judge::classify;
use crate::rules::Rules;
use crate::verdict::{CommandContext, Input, Risk, Silenced};
use attempt::Said;
use cache::{Known, VerdictCache};
use session::Session;

/// How many written paths and connections are remembered of one live process.
const EVIDENCE_KEPT: usize = 64;
/// How many findings are remembered of one live process.
const REPORTED_KEPT: usize = 64;

/// A process that lives.
#[derive(Debug)]
struct Live {
    pid: Pid,
    parent: Option<ProcId>,
    started: Timestamp,
    root: bool,
    event: Seq,
    /// Of its last exec; absent for a fork that has not exec'd.
    argv: Option<Argv>,
    cwd: Option<ByteString>,
    elevated: bool,
    /// Kept for Sigma rules only, as the user's name is.
    exe: Option<ByteString>,
    user: Option<String>,
    /// It runs Capsule's own executable.
    capsule: bool,
    /// It runs a program of the system's, not one that merely has its name.
    installed: bool,
    known: Option<Arc<Known>>,
    role: Role,
    label: Label,
    /// It was a shell around what it is now.
    wrapped_before: bool,
    writes: Vec<ByteString>,
    connects: Vec<ByteString>,
    /// There is evidence that the verdict does not know.
    stale: bool,
    /// What was said of it, or of the wrapper around it.
    reported: Vec<Said>,
    /// A process that it started executed something.
    ran: bool,
}

/// Says what each process was for, and what was risky about it.
#[derive(Debug)]
pub struct Classifier {
    rules: Arc<Rules>,
    cache: VerdictCache,
    session: Session,
    live: HashMap<ProcId, Live>,
    /// Rules of which it was said that they are silenced.
    silenced: HashSet<String>,
    last_action: u64,
    last_risk: u64,
}

impl Classifier {
    /// A classifier by `rules`.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules: Arc::new(rules),
            cache: VerdictCache::default(),
            session: Session::default(),
            live: HashMap::new(),
            silenced: HashSet::new(),
            last_action: 0,
            last_risk: 0,
        }
    }

    /// The same for a session that is being recorded into this directory: what changes it is an attack, whoever does it.
    #[must_use]
    pub fn recorded_in(mut self, directory: &std::path::Path) -> Self {
        if let Some(rules) = Arc::get_mut(&mut self.rules) {
            rules.guarded.add_session(directory);
        }
        self
    }

    /// How many processes it holds: the live ones.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    fn entry(&mut self, proc: ProcId, event: &TrackedEvent) -> &mut Live {
        // A fork is what its parent was, until it executes something: a wrapper's subshell wraps, too.
        let above = event.parent.and_then(|parent| self.live.get(&parent)).map(|parent| parent.role);
        let role = above.filter(|role| matches!(role, Role::Wrapper | Role::Helper)).unwrap_or(Role::Inner);
        self.live.entry(proc).or_insert_with(|| Live {
            pid: event.event().pid,
            parent: event.parent,
            started: event.event().timestamp,
            root: matches!(event.event().kind, EventKind::Spawn(SpawnKind::Root)) || event.depth == 0,
            event: event.event().seq,
            argv: None,
            cwd: None,
            elevated: false,
            exe: None,
            user: None,
            capsule: false,
            installed: false,
            known: None,
            role,
            label: Label::Unknown,
            wrapped_before: false,
            writes: Vec::new(),
            connects: Vec::new(),
            stale: false,
            reported: Vec::new(),
            ran: false,
        })
    }

    /// Judges what the process is now, all evidence included.
    fn judge(&mut self, proc: ProcId, exit: Option<i32>) {
        let Some(live) = self.live.get(&proc) else { return };
        let Some(argv) = &live.argv else { return };
        let evident = !live.writes.is_empty() || !live.connects.is_empty();
        let above = live.parent.and_then(|parent| self.live.get(&parent));
        let parent_argv = above.and_then(|parent| parent.argv.clone());
        let parent_exe = above.and_then(|parent| parent.exe.clone());
        // A shell that became its last command was no agent, and neither is that command.
        let root = live.root && !live.wrapped_before;
        let judge = || {
            let context = CommandContext {
                root,
                parent: parent_argv,
                writes: live.writes.clone(),
                connects: live.connects.clone(),
                exit,
                elevated: live.elevated,
                exe: live.exe.clone(),
                parent_exe,
                user: live.user.clone(),
            };
            Known::of(classify(&self.rules, &Input { argv: argv.clone(), cwd: live.cwd.clone(), context }))
        };
        // A Sigma rule may ask for the parent, of which the memory of verdicts knows nothing.
        let known = if evident || self.rules.sigma.is_some() {
            Arc::new(judge())
        } else {
            self.cache.get(argv, live.cwd.as_ref(), root, live.elevated, judge)
        };
        let role = self.role(live, &known);
        if let Some(live) = self.live.get_mut(&proc) {
            live.label = known.verdict.label;
            live.role = role;
            live.wrapped_before |= known.verdict.facts.wraps;
            live.known = Some(known);
            live.stale = false;
        }
    }

    /// Why a process exists, seen from the agent: its own arguments and those of whoever started it decide.
    fn role(&self, live: &Live, known: &Known) -> Role {
        let verdict = &known.verdict;
        if verdict.label == Label::Agent {
            return Role::Agent;
        }
        let own = if verdict.facts.wraps { Role::Wrapper } else { Role::Asked };
        let Some(parent) = live.parent.and_then(|parent| self.live.get(&parent)) else { return own };
        match parent.role {
            Role::Agent => {
                let known_agent = parent.known.as_ref().is_some_and(|known| known.verdict.facts.known_agent);
                // A helper's shell that becomes its last command is still the agent's own.
                let was = live.wrapped_before && live.role == Role::Helper;
                if known_agent && (verdict.facts.helper || was) {
                    Role::Helper
                } else if known_agent && own == Role::Asked && !live.wrapped_before {
                    // Agents run what they were asked to through a shell; what they start directly is for themselves.
                    Role::Helper
                } else {
                    own
                }
            }
            Role::Helper => Role::Helper,
            Role::Wrapper => own,
            Role::Asked | Role::Inner => Role::Inner,
        }
    }

    fn action(
        &mut self,
        proc: ProcId,
        at: Timestamp,
        event: Seq,
        end: Option<Option<ExitStatus>>,
        out: &mut Vec<Finding>,
    ) {
        let Some(live) = self.live.get(&proc) else { return };
        let status = end.flatten();
        self.last_action += 1;
        let duration = status.map(|_| at.since(live.started));
        let phase = if end.is_some() { ActionPhase::Final } else { ActionPhase::Provisional };
        let (seq, pid) = (Seq(self.last_action), live.pid);
        let action = match &live.known {
            Some(known) => ActionEvent {
                seq,
                timestamp: at,
                proc,
                pid,
                event,
                phase,
                label: live.label,
                workflow: known.verdict.workflow,
                role: live.role,
                tool: known.tool.clone(),
                summary: known.summary.clone(),
                resources: known.verdict.resources.clone(),
                duration,
                success: status.map(|status| match status {
                    ExitStatus::Exited(code) => known.verdict.is_success(code),
                    ExitStatus::Signaled { .. } => false,
                }),
                rule: known.verdict.rule.clone(),
            },
            None => self.fork(
                live,
                ActionEvent {
                    seq,
                    timestamp: at,
                    proc,
                    pid,
                    event,
                    phase,
                    label: Label::Unknown,
                    workflow: None,
                    role: Role::Inner,
                    tool: ByteString::default(),
                    summary: ByteString::default(),
                    resources: Vec::new(),
                    duration,
                    success: status.map(ExitStatus::success),
                    rule: "label.unknown".to_owned(),
                },
            ),
        };
        out.push(Finding::Action(Box::new(action)));
    }

    /// A fork that never exec'd is a part of whoever forked it.
    fn fork(&self, live: &Live, mut action: ActionEvent) -> ActionEvent {
        if let Some(parent) = live.parent.and_then(|parent| self.live.get(&parent))
            && let Some(known) = &parent.known
        {
            action.label = if parent.label == Label::Agent { Label::Tool } else { parent.label };
            action.tool = known.tool.clone();
            "label.fork".clone_into(&mut action.rule);
        }
        action
    }

    /// Says the findings of a process that were not yet said, of it or of the wrapper around it.
    fn report(&mut self, proc: ProcId, event: &TrackedEvent, out: &mut Vec<Finding>) {
        let Some(known) = self.live.get(&proc).and_then(|live| live.known.clone()) else { return };
        let pid = self.live.get(&proc).map(|live| live.pid).unwrap_or_default();
        for silenced in &known.verdict.silenced {
            self.silence(silenced.clone(), (proc, pid), event, out);
        }
        for risk in &known.verdict.risks {
            let said = |live: &Live| live.reported.iter().any(|said| said.is(&risk.rule, risk.severity));
            if self.live.get(&proc).is_some_and(said) {
                continue;
            }
            let above = event.lineage.iter().rev().take(16).copied();
            let above = above.into_iter().find(|ancestor| self.live.get(ancestor).is_some_and(said));
            let number = Seq(self.last_risk + u64::from(above.is_none()));
            let Some(live) = self.live.get_mut(&proc) else { return };
            if live.reported.len() < REPORTED_KEPT {
                live.reported.push(Said::new(risk, number, above));
                if let Some(above) = above {
                    self.carries(above, &risk.rule, risk.severity);
                }
            }
            if above.is_some() {
                continue;
            }
            let said = self.next_of(risk, (proc, pid), event);
            out.push(Finding::Risk(Box::new(said)));
        }
    }

    /// What this process means together with earlier ones.
    fn sequences(&mut self, proc: ProcId, event: &TrackedEvent, out: &mut Vec<Finding>) {
        let Some(live) = self.live.get(&proc) else { return };
        let Some(known) = live.known.clone() else { return };
        let pid = live.pid;
        for found in self.session.follow(proc, event, &known.verdict) {
            self.session_risk(&found.rule, found.detail, found.evidence, (proc, pid), event, out);
        }
        let weak =
            known.verdict.risks.iter().filter(|risk| self.rules.is_weak(&risk.rule)).map(|risk| risk.rule.as_str());
        if let Some(evidence) = self.session.weak_sign(proc, event.event().seq, weak) {
            self.session_risk("session.adds-up", None, evidence, (proc, pid), event, out);
        }
    }

    /// The next finding about a process, which this event gives rise to: what it says is to be filled in.
    fn next_risk(&mut self, (proc, pid): (ProcId, Pid), event: &TrackedEvent) -> RiskEvent {
        self.last_risk += 1;
        RiskEvent {
            seq: Seq(self.last_risk),
            timestamp: event.event().timestamp,
            proc,
            pid,
            severity: Severity::Info,
            category: String::new(),
            rule: String::new(),
            title: String::new(),
            why: String::new(),
            attack: Vec::new(),
            evidence: Evidence { procs: vec![proc], events: vec![event.event().seq] },
            innocent: None,
            adjusted: None,
            corrects: None,
        }
    }

    /// The same, of a rule that a process's arguments fit.
    fn next_of(&mut self, risk: &Risk, who: (ProcId, Pid), event: &TrackedEvent) -> RiskEvent {
        RiskEvent {
            severity: risk.severity,
            category: risk.category.clone(),
            rule: risk.rule.clone(),
            title: risk.title.clone(),
            why: risk.in_words(),
            attack: risk.attack.clone(),
            innocent: risk.innocent.clone(),
            adjusted: risk.adjusted.clone(),
            ..self.next_risk(who, event)
        }
    }

    fn session_risk(
        &mut self,
        rule: &str,
        detail: Option<String>,
        evidence: Evidence,
        (proc, pid): (ProcId, Pid),
        event: &TrackedEvent,
        out: &mut Vec<Finding>,
    ) {
        let rules = Arc::clone(&self.rules);
        let Some((info, changed)) = rules.session_rule(rule) else { return };
        if changed.silenced {
            let silenced = Silenced::by(info, changed.severity, changed.adjusted);
            self.silence(silenced, (proc, pid), event, out);
            return;
        }
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        let how = changed.adjusted.as_deref().map(|how| format!(" It was {how}.")).unwrap_or_default();
        let said = RiskEvent {
            severity: changed.severity,
            category: info.category.clone(),
            rule: info.id.clone(),
            title: info.title.clone(),
            why: format!("{}{detail}{how}", info.why),
            attack: info.attack.clone(),
            evidence,
            innocent: info.innocent.clone(),
            adjusted: changed.adjusted,
            ..self.next_risk((proc, pid), event)
        };
        out.push(Finding::Risk(Box::new(said)));
    }

    /// Says once for each rule that a user's rule silenced it: no more than that, but no less.
    fn silence(
        &mut self,
        silenced: Silenced,
        (proc, pid): (ProcId, Pid),
        event: &TrackedEvent,
        out: &mut Vec<Finding>,
    ) {
        if !self.silenced.insert(silenced.rule.clone()) {
            return;
        }
        let said = RiskEvent {
            category: silenced.category,
            rule: silenced.rule,
            title: silenced.title,
            why: format!("Found here for the first time, and not shown: {}.", silenced.because),
            attack: silenced.attack,
            adjusted: Some(silenced.because),
            ..self.next_risk((proc, pid), event)
        };
        out.push(Finding::Risk(Box::new(said)));
    }

    fn effect(&mut self, proc: ProcId, effect: &capsule_core::Effect) {
        let Some(live) = self.live.get_mut(&proc) else { return };
        live.saw(effect);
        if effect.errno.is_some() {
            return;
        }
        match effect.kind {
            EffectKind::FileWrite | EffectKind::FileCreate | EffectKind::FileRename => {
                if let Some(path) = effect.to.as_ref().or(effect.path.as_ref())
                    && live.writes.len() < EVIDENCE_KEPT
                    && !live.writes.contains(path)
                {
                    live.writes.push(path.clone());
                    live.stale = true;
                }
            }
            EffectKind::NetConnect => {
                if let Some(endpoint) = &effect.endpoint
                    && endpoint.protocol != "unix"
                    && live.connects.len() < EVIDENCE_KEPT
                {
                    let port = endpoint.port.map(|port| format!(":{port}")).unwrap_or_default();
                    let address = ByteString::from(format!("{}{port}", endpoint.host.to_lossy()));
                    if !live.connects.contains(&address) {
                        live.connects.push(address);
                        live.stale = true;
                    }
                }
            }
            _ => {}
        }
    }
}

impl Stage for Classifier {
    type In = TrackedEvent;
    type Out = Finding;

    fn feed(&mut self, input: &TrackedEvent, out: &mut Vec<Finding>) {
        let Some(proc) = input.proc else { return };
        let (at, seq) = (input.event().timestamp, input.event().seq);
        let exe = input.enriched.context.as_ref().and_then(|context| context.exe.value());
        let capsule = exe.is_some_and(|exe| self.rules.guarded.is_capsule(exe.as_bytes()));
        let for_sigma = self.rules.sigma.is_some();
        let live = self.entry(proc, input);
        match &input.event().kind {
            EventKind::Exec(exec) => {
                let context = input.enriched.context.as_ref();
                live.cwd = exec.cwd.clone().or_else(|| context.and_then(|context| context.cwd.value().cloned()));
                live.elevated =
                    context.and_then(|context| context.ids.value()).is_some_and(|ids| ids.euid == 0 && ids.uid != 0);
                if for_sigma {
                    live.exe = exe.or(exec.exe.as_ref()).cloned();
                    let is_root = context.and_then(|context| context.ids.value()).is_some_and(|ids| ids.euid == 0);
                    live.user = is_root.then(|| "root".to_owned());
                }
                live.argv = Some(exec.argv.clone());
                live.capsule = capsule;
                live.installed = exe.or(exec.exe.as_ref()).is_some_and(|exe| attempt::installed(exe.as_bytes()));
                live.event = seq;
                if let Some(parent) = input.parent.and_then(|parent| self.live.get_mut(&parent)) {
                    parent.ran = true;
                }
                self.judge(proc, None);
                self.report(proc, input, out);
                self.sequences(proc, input, out);
                self.action(proc, at, seq, None, out);
            }
            EventKind::Effect(effect) => {
                self.guard(proc, effect, input, out);
                self.effect(proc, effect);
            }
            EventKind::Exit { status, .. } => {
                if live.stale {
                    self.judge(proc, Some(status.shell_code()));
                    self.report(proc, input, out);
                }
                self.attempted(proc, *status, input, out);
                self.action(proc, at, seq, Some(Some(*status)), out);
                self.live.remove(&proc);
            }
            EventKind::LeftRunning => {
                let pid = live.pid;
                if live.stale {
                    self.judge(proc, None);
                    self.report(proc, input, out);
                }
                self.action(proc, at, seq, Some(None), out);
                let evidence = Evidence { procs: vec![proc], events: vec![seq] };
                self.session_risk("session.left-running", None, evidence, (proc, pid), input, out);
                self.live.remove(&proc);
            }
            EventKind::Spawn(_)
            | EventKind::ExecFailed { .. }
            | EventKind::Gap { .. }
            | EventKind::Diagnostic { .. } => {}
        }
    }

    fn finish(&mut self, out: &mut Vec<Finding>) {
        let mut left: Vec<(ProcId, Timestamp, Seq)> =
            self.live.iter().map(|(proc, live)| (*proc, live.started, live.event)).collect();
        left.sort_unstable_by_key(|(proc, ..)| *proc);
        for (proc, at, seq) in left {
            self.action(proc, at, seq, Some(None), out);
        }
        self.live.clear();
    }
}

#[cfg(test)]
mod tests;
