//! Findings, changed files and hosts: the lists of the report, page by page.

use capsule_core::Severity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Page, QueryError, Questions, holds, named};

/// Which findings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Risks {
    /// At least this severity: info, low, medium, high or critical
    #[serde(default)]
    pub min_severity: Option<String>,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

/// Which changed files.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Files {
    /// Paths that hold this text, letter case aside
    #[serde(default)]
    pub path: Option<String>,
    /// project, outside (of the project), git, cache, state (of tools) or temp
    #[serde(default)]
    pub place: Option<String>,
    /// Changed by this process (its number)
    #[serde(default)]
    pub proc: Option<u32>,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

/// Which hosts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Hosts {
    /// Names or addresses that hold this text
    #[serde(default)]
    pub host: Option<String>,
    /// This machine's own addresses too
    #[serde(default)]
    pub local: bool,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

const PLACES: [&str; 6] = ["project", "outside", "git", "cache", "state", "temp"];

fn procs(list: &[u32]) -> Vec<String> {
    list.iter().take(8).map(|proc| format!("proc:{proc}")).collect()
}

impl Questions<'_> {
    /// Findings, worst first, with the reasons of the session's level.
    ///
    /// # Errors
    /// When the severity is none.
    pub fn risks(&self, risks: &Risks) -> Result<Answered, QueryError> {
        let least =
            risks.min_severity.as_deref().map(|name| named("severity", name, Severity::ALL, |value| value.name()));
        let least = least.transpose()?;
        let risk = &self.report.risk;
        let found: Vec<_> = risk.items.iter().filter(|item| least.is_none_or(|least| item.severity >= least)).collect();
        let about = json!({ "level": risk.level, "reasons": risk.reasons });
        Ok(self.page(about, &found, risks.page, |item| {
            let events: Vec<String> = item.events.iter().take(8).map(|event| format!("event:{event}")).collect();
            let mut entry = json!({
                "ref": format!("risk:{}", item.seq),
                "severity": item.severity.name(),
                "title": item.title,
                "rule": item.rule,
                "category": item.category,
                "why": self.quote(item.why.as_bytes(), 400),
                "command": self.quote(item.subject.as_bytes(), 200),
                "proc": format!("proc:{}", item.proc),
                "procs": procs(&item.procs),
                "events": events,
                "times": item.count,
            });
            if let Value::Object(fields) = &mut entry {
                if !item.attack.is_empty() {
                    fields.insert("attack".to_owned(), json!(item.attack));
                }
                for (name, value) in [("innocent_explanation", &item.innocent), ("severity_adjusted", &item.adjusted)] {
                    if let Some(value) = value {
                        fields.insert(name.to_owned(), json!(self.quote(value.as_bytes(), 300)));
                    }
                }
            }
            entry
        }))
    }

    /// Files that were changed in the end, the project's first.
    ///
    /// # Errors
    /// When the place is none.
    pub fn files(&self, files: &Files) -> Result<Answered, QueryError> {
        let place = files.place.as_deref().map(|name| named("place", name, &PLACES, |place| *place)).transpose()?;
        let report = self.report;
        let found: Vec<_> = report
            .files
            .iter()
            .filter(|item| place.is_none_or(|place| item.place == place))
            .filter(|item| files.path.as_deref().is_none_or(|text| holds(item.path.as_bytes(), text.as_bytes())))
            .filter(|item| files.proc.is_none_or(|proc| item.procs.contains(&proc)))
            .collect();
        let about = json!({
            "effects_recorded": report.effects_total > 0,
            "changed_in_all": report.files_total,
            "made_and_deleted_again": report.files_temporary,
            "git": report.git.as_ref().map(|git| &git.text),
        });
        Ok(self.page(about, &found, files.page, |item| {
            let mut entry = json!({
                "ref": format!("event:{}", item.event),
                "path": self.quote(item.path.as_bytes(), 240),
                "place": item.place,
                "changes": item.changes,
                "procs": procs(&item.procs),
            });
            if let Value::Object(fields) = &mut entry {
                if let Some(to) = &item.renamed_to {
                    fields.insert("renamed_to".to_owned(), json!(self.quote(to.as_bytes(), 240)));
                }
                if let Some(git) = &item.git {
                    fields.insert("git".to_owned(), json!(git));
                }
            }
            entry
        }))
    }

    /// Hosts that were contacted, served or named.
    #[must_use]
    pub fn hosts(&self, hosts: &Hosts) -> Answered {
        let found: Vec<_> = self
            .report
            .hosts
            .iter()
            .filter(|item| hosts.local || !item.local)
            .filter(|item| hosts.host.as_deref().is_none_or(|text| holds(item.host.as_bytes(), text.as_bytes())))
            .collect();
        let local = self.report.hosts.iter().filter(|item| item.local).count();
        let about = json!({ "effects_recorded": self.report.effects_total > 0, "local_hosts": local });
        self.page(about, &found, hosts.page, |item| {
            let mut entry = json!({
                "host": self.quote(item.host.as_bytes(), 200),
                "ports": item.ports,
                "protocol": item.protocol,
                "how": item.how,
                "times": item.count,
                "procs": procs(&item.procs),
            });
            if let (Value::Object(fields), Some(event)) = (&mut entry, item.event) {
                fields.insert("ref".to_owned(), json!(format!("event:{event}")));
            }
            entry
        })
    }
}
