//! One line of a list of sessions.

use capsule_core::{ByteString, Severity};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::Report;
use crate::schema::mirror;
use crate::view::{SessionView, Trust};

/// What a list says of a session.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ListRow {
    /// Its id.
    pub id: String,
    /// The agent, where one was seen.
    #[schemars(with = "Option<mirror::Bytes>")]
    pub agent: Option<ByteString>,
    /// The command.
    #[schemars(with = "mirror::Bytes")]
    pub command: ByteString,
    /// Nanoseconds.
    pub duration: u64,
    /// How the command ended.
    pub ending: String,
    /// Processes.
    pub processes: u64,
    /// Files changed, of the project and outside it, without caches, tools' own and temporary ones; absent where effects were not recorded.
    pub files_changed: Option<u64>,
    /// Hosts contacted, served or named.
    pub hosts: u64,
    /// The worst finding.
    #[schemars(with = "Option<mirror::Severity>")]
    pub worst: Option<Severity>,
    /// Whether it is whole and sealed; unknown where nobody verified it.
    pub sealed: Option<bool>,
    /// Whether something is missing.
    pub incomplete: bool,
}

impl ListRow {
    /// The line of a session, of which `report` was made.
    #[must_use]
    pub fn of(view: &SessionView, report: &Report) -> Self {
        let effects = !view.effects.is_empty() || view.metadata.work_tree.is_some();
        Self {
            id: report.session.id.clone(),
            agent: report.agent.as_ref().map(|agent| agent.name.clone()),
            command: report.session.command_line.clone(),
            duration: report.session.duration,
            ending: report.session.ending.text.clone(),
            processes: report.totals.processes,
            files_changed: effects.then(|| {
                let own = report.file_groups.iter().filter(|group| crate::template::own(&group.place));
                own.map(|group| group.files).sum()
            }),
            hosts: report.hosts.len() as u64,
            worst: report.risk.worst,
            sealed: view.integrity.as_ref().map(|integrity| integrity.trust == Trust::Sealed),
            incomplete: report.notices.iter().any(|notice| notice.incomplete),
        }
    }
}
