//! Finding processes: by what they ran, what they were, when, and what they touched.

use capsule_core::{Label, Role, Severity, Workflow};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Answered, Page, QueryError, Questions, holds, named};
use crate::model::Process;

/// Which processes: all that is given must fit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Find {
    /// The program's plain name, whole: `git`, `curl`
    #[serde(default)]
    pub program: Option<String>,
    /// Text that the command line holds, letter case aside
    #[serde(default)]
    pub text: Option<String>,
    /// Agent, Tool, SystemTool or Unknown
    #[serde(default)]
    pub label: Option<String>,
    /// FileAnalysis, NetworkCommunication, CodeGeneration, RepositoryOperation, SystemExploration or SecurityOperation
    #[serde(default)]
    pub workflow: Option<String>,
    /// agent, asked (work that was asked for), wrapper, helper (the agent's own) or inner
    #[serde(default)]
    pub role: Option<String>,
    /// With a finding of at least this severity: info, low, medium, high or critical
    #[serde(default)]
    pub min_risk: Option<String>,
    /// true: only those that failed; false: only those that did well
    #[serde(default)]
    pub failed: Option<bool>,
    /// Begun at least so many seconds after the session began
    #[serde(default)]
    pub after_seconds: Option<f64>,
    /// Begun at most so many seconds after the session began
    #[serde(default)]
    pub before_seconds: Option<f64>,
    /// Touched, or named, a path that holds this text
    #[serde(default)]
    pub path: Option<String>,
    /// Contacted, served or named a host that holds this text
    #[serde(default)]
    pub host: Option<String>,
    /// Started, directly or not, by this process (its number)
    #[serde(default)]
    pub below: Option<u32>,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

impl Questions<'_> {
    /// The processes that fit, in the order of their beginning.
    ///
    /// # Errors
    /// When a label, workflow, role, severity or process is none.
    pub fn find(&self, find: &Find) -> Result<Answered, QueryError> {
        let found = self.fitting(find)?;
        let failed = found.iter().filter(|process| process.success == Some(false)).count();
        Ok(self.page(json!({ "failed": failed }), &found, find.page, |process| self.brief(process)))
    }

    /// The processes that fit.
    pub(super) fn fitting(&self, find: &Find) -> Result<Vec<&Process>, QueryError> {
        let label = find.label.as_deref().map(|name| named("label", name, Label::ALL, |value| value.name()));
        let label = label.transpose()?;
        let workflow =
            find.workflow.as_deref().map(|name| named("workflow", name, Workflow::ALL, |value| value.name()));
        let workflow = workflow.transpose()?;
        let role = find.role.as_deref().map(|name| named("role", name, Role::ALL, |value| value.name())).transpose()?;
        let least = find.min_risk.as_deref().map(|name| named("severity", name, Severity::ALL, |value| value.name()));
        let least = least.transpose()?;
        let below = find.below.map(|proc| self.below(proc)).transpose()?;
        let by_path = find.path.as_deref().map(|path| self.touching_path(path));
        let by_host = find.host.as_deref().map(|host| self.touching_host(host));
        let in_set = |set: &Option<Vec<bool>>, process: &Process| {
            set.as_ref().is_none_or(|set| set.get(process.proc as usize).copied().unwrap_or(false))
        };
        let found = self
            .report
            .processes
            .iter()
            .filter(|process| {
                let after = process.started.saturating_sub(self.report.session.started) as f64 / 1e9;
                find.program.as_deref().is_none_or(|name| process.tool.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
                    && find.text.as_deref().is_none_or(|text| has_text(process, text))
                    && label.is_none_or(|label| process.label == label)
                    && workflow.is_none_or(|workflow| process.workflow == Some(workflow))
                    && role.is_none_or(|role| process.role == role)
                    && least.is_none_or(|least| process.worst.is_some_and(|worst| worst >= least))
                    && find.failed.is_none_or(|failed| process.success == Some(!failed))
                    && find.after_seconds.is_none_or(|seconds| after >= seconds)
                    && find.before_seconds.is_none_or(|seconds| after <= seconds)
                    && in_set(&below, process)
                    && in_set(&by_path, process)
                    && in_set(&by_host, process)
            })
            .collect();
        Ok(found)
    }

    /// By process number: whether it is below `proc`. Parents come before their children.
    pub(super) fn below(&self, proc: u32) -> Result<Vec<bool>, QueryError> {
        self.process(proc)?;
        let mut below = vec![false; self.report.processes.len().saturating_add(1)];
        for process in &self.report.processes {
            let inside = process
                .parent
                .is_some_and(|parent| parent == proc || below.get(parent as usize).copied().unwrap_or(false));
            if let Some(slot) = below.get_mut(process.proc as usize) {
                *slot = inside;
            }
        }
        Ok(below)
    }

    fn touching_path(&self, path: &str) -> Vec<bool> {
        let mut set = vec![false; self.report.processes.len().saturating_add(1)];
        let text = path.as_bytes();
        for effect in &self.report.effects {
            let touched = [&effect.path, &effect.to].into_iter().flatten().any(|path| holds(path.as_bytes(), text));
            mark(&mut set, effect.proc, touched);
        }
        for process in &self.report.processes {
            let kind = capsule_core::ResourceKind::Path;
            let mut named = process.resources.iter().filter(|resource| resource.kind == kind);
            mark(&mut set, process.proc, named.any(|resource| holds(resource.value.as_bytes(), text)));
        }
        set
    }

    fn touching_host(&self, host: &str) -> Vec<bool> {
        let mut set = vec![false; self.report.processes.len().saturating_add(1)];
        let text = host.as_bytes();
        for effect in &self.report.effects {
            let met = effect.endpoint.as_ref().is_some_and(|endpoint| holds(endpoint.host.as_bytes(), text));
            mark(&mut set, effect.proc, met);
        }
        for item in self.report.hosts.iter().filter(|item| holds(item.host.as_bytes(), text)) {
            item.procs.iter().for_each(|proc| mark(&mut set, *proc, true));
        }
        for process in &self.report.processes {
            use capsule_core::ResourceKind::{Host, Url};
            let mut named = process.resources.iter().filter(|resource| matches!(resource.kind, Host | Url));
            mark(&mut set, process.proc, named.any(|resource| holds(resource.value.as_bytes(), text)));
        }
        set
    }
}

fn mark(set: &mut [bool], proc: u32, fits: bool) {
    if let Some(slot) = set.get_mut(proc as usize).filter(|_| fits) {
        *slot = true;
    }
}

pub(super) fn has_text(process: &Process, text: &str) -> bool {
    let text = text.as_bytes();
    // Arguments are divided by NUL: text that spans two of them is searched for in the summary.
    holds(process.summary.as_bytes(), text) || process.execs.iter().any(|exec| holds(exec.argv.as_block(), text))
}
