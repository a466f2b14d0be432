//! What the live view knows of a session. It grows with the session's processes, by a few hundred bytes each; what could
//! grow faster (files, hosts, findings) is kept up to a number, and counted beyond.

use std::collections::HashMap;
use std::sync::Arc;

use capsule_core::{
    ActionEvent, ByteString, EffectKind, Environment, EventKind, Life, ProcId, ProcessNode, RiskEvent, Severity,
    Timestamp,
};
use capsule_report::TreeBuilder;

use crate::follow::Record;

/// How many different things that processes touched are kept.
const TOUCHED: usize = 50_000;
/// How many findings are kept.
const RISKS: usize = 10_000;

/// Something that a process did outside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// When first.
    pub at: Timestamp,
    /// Who.
    pub proc: ProcId,
    /// What it did.
    pub kind: EffectKind,
    /// The path, or host and port.
    pub name: ByteString,
    /// How often.
    pub count: u64,
}

/// What is known.
#[derive(Debug)]
pub struct Model {
    /// The tree.
    pub tree: TreeBuilder,
    /// Findings in the order of their moments.
    pub risks: Vec<RiskEvent>,
    /// What was touched, in the order of first moments.
    pub touched: Vec<Touch>,
    /// Touches and findings that were counted only.
    pub uncounted: u64,
    /// Moments at which processes began or ended, in order.
    pub moments: Vec<Timestamp>,
    /// Records that say that others were lost or unreadable.
    pub lost: u64,
    /// The last moment seen.
    pub last: Option<Timestamp>,
    index: HashMap<(ProcId, EffectKind, ByteString), usize>,
    environments: Vec<Option<Arc<Environment>>>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            tree: TreeBuilder::live(),
            risks: Vec::new(),
            touched: Vec::new(),
            uncounted: 0,
            moments: Vec::new(),
            lost: 0,
            last: None,
            index: HashMap::new(),
            environments: Vec::new(),
        }
    }
}

/// How a process stood at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It ran.
    Running,
    /// It had ended, with this code or by this signal.
    Ended(Option<i32>, Option<i32>),
    /// It outlived the recording, or its end was not seen.
    Unknown,
}

impl Model {
    /// Takes a record.
    pub fn take(&mut self, record: &Record) {
        self.last = self.last.max(record.timestamp());
        match record {
            Record::Event(event) => {
                self.tree.tracked(event);
                let inner = event.event();
                match &inner.kind {
                    EventKind::Spawn(_) | EventKind::Exit { .. } => self.moments.push(inner.timestamp),
                    EventKind::Effect(effect) => {
                        let host = effect.endpoint.as_ref().map(|end| match end.port {
                            Some(port) => {
                                ByteString::from([end.host.as_bytes(), format!(":{port}").as_bytes()].concat())
                            }
                            None => end.host.clone(),
                        });
                        if let (Some(proc), Some(name)) = (event.proc, effect.path.clone().or(host)) {
                            self.touch(Touch { at: inner.timestamp, proc, kind: effect.kind, name, count: 1 });
                        }
                    }
                    EventKind::Gap { count, .. } => self.lost = self.lost.saturating_add((*count).max(1)),
                    EventKind::Diagnostic { .. } => self.lost = self.lost.saturating_add(1),
                    _ => {}
                }
                let env = event.enriched.context.as_ref().and_then(|context| context.env.value());
                if let (Some(env), Some(proc)) = (env, event.proc) {
                    let index = proc.0 as usize;
                    // A hole this large is no real number: the tree refuses it too.
                    if index < self.environments.len().saturating_add(1 << 16) {
                        self.environments.resize(self.environments.len().max(index + 1), None);
                        if let Some(slot) = self.environments.get_mut(index) {
                            *slot = Some(Arc::clone(&env.environment));
                        }
                    }
                }
            }
            Record::Action(action) => self.tree.action(ActionEvent::clone(action)),
            Record::Risk(risk) => {
                self.tree.risk(risk);
                if let Some(earlier) = risk.corrects {
                    let known = self.risks.iter_mut().find(|known| known.seq == earlier);
                    if let Some(known) = known {
                        known.severity = risk.severity;
                        known.why.clone_from(&risk.why);
                        known.adjusted.clone_from(&risk.adjusted);
                    }
                } else if self.risks.len() < RISKS {
                    self.risks.push((**risk).clone());
                } else {
                    self.uncounted += 1;
                }
            }
            Record::Unreadable(_) => self.lost = self.lost.saturating_add(1),
        }
    }

    fn touch(&mut self, touch: Touch) {
        let key = (touch.proc, touch.kind, touch.name.clone());
        if let Some(known) = self.index.get(&key).and_then(|index| self.touched.get_mut(*index)) {
            known.count += 1;
        } else if self.touched.len() < TOUCHED {
            self.index.insert(key, self.touched.len());
            self.touched.push(touch);
        } else {
            self.uncounted += 1;
        }
    }

    /// The processes, by number.
    #[must_use]
    pub fn nodes(&self) -> &[ProcessNode] {
        &self.tree.tree().nodes
    }

    /// One process.
    #[must_use]
    pub fn node(&self, proc: ProcId) -> Option<&ProcessNode> {
        self.tree.tree().get(proc)
    }

    /// The environment of a process, where it is known.
    #[must_use]
    pub fn environment(&self, proc: ProcId) -> Option<&Environment> {
        self.environments.get(proc.0 as usize)?.as_deref()
    }

    /// The worst finding until a moment.
    #[must_use]
    pub fn worst(&self, until: Timestamp) -> Option<Severity> {
        self.risks.iter().filter(|risk| risk.timestamp <= until).map(|risk| risk.severity).max()
    }
}

/// How a process stood at a moment.
#[must_use]
pub fn stand(node: &ProcessNode, moment: Timestamp) -> Stand {
    match node.life {
        Life::Exited { at, .. } if at > moment => Stand::Running,
        Life::Exited { code, signal, .. } => Stand::Ended(code, signal),
        Life::Running => Stand::Running,
        Life::LeftRunning { at, .. } if at > moment => Stand::Running,
        Life::LeftRunning { .. } | Life::Lost => Stand::Unknown,
    }
}

/// How long a process had lived at a moment, in nanoseconds, where that can be said.
#[must_use]
pub fn age(node: &ProcessNode, moment: Timestamp) -> Option<u64> {
    match (stand(node, moment), node.life) {
        (Stand::Running, _) => Some(moment.since(node.started)),
        (Stand::Ended(..), Life::Exited { at, .. }) => Some(at.since(node.started)),
        _ => None,
    }
}

/// What a process was asked, as of a moment.
#[must_use]
pub fn summary(node: &ProcessNode, moment: Timestamp) -> String {
    let last = node.execs.last();
    if last.is_none_or(|exec| exec.at <= moment) {
        let text = capsule_core::escape_terminal(node.summary.as_bytes());
        // A subshell, or another that forks and executes nothing.
        return if text.is_empty() { "(no program of its own)".to_owned() } else { text };
    }
    let exec = node.execs.iter().rev().find(|exec| exec.at <= moment);
    let words = exec.map(|exec| exec.argv.iter().map(capsule_core::escape_terminal).collect::<Vec<_>>().join(" "));
    words.unwrap_or_else(|| "(before its first exec)".to_owned())
}
