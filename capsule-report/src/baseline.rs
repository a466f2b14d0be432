//! The user's own earlier sessions of the same agent and directory, as far as a comparison needs them.

use std::collections::BTreeSet;

use capsule_core::SessionMetadata;
use serde::{Deserialize, Serialize};

use crate::model::Report;

/// What earlier sessions did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// How many sessions it is made of.
    pub sessions: u64,
    /// Programs they ran.
    pub programs: BTreeSet<String>,
    /// Hosts they contacted.
    pub hosts: BTreeSet<String>,
    /// Rules that found something.
    pub rules: BTreeSet<String>,
    /// Processes of each.
    pub processes: Vec<u64>,
    /// Duration of each, nanoseconds.
    pub durations: Vec<u64>,
    /// Failed operations of each.
    pub failures: Vec<u64>,
}

impl Baseline {
    /// Whether an earlier session is one to compare with: of the same program, in the same directory.
    #[must_use]
    pub fn compares(session: &SessionMetadata, earlier: &SessionMetadata) -> bool {
        let program = |metadata: &SessionMetadata| {
            let name = metadata.command.get(0).unwrap_or_default();
            name.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
        };
        earlier.id != session.id
            && earlier.started < session.started
            && earlier.ended.is_some()
            && earlier.cwd == session.cwd
            && program(earlier) == program(session)
    }

    /// Adds what an earlier session did.
    pub fn add(&mut self, report: &Report) {
        self.sessions = self.sessions.saturating_add(1);
        let operations = report.workflows.iter().flat_map(|item| item.procs.iter());
        for process in operations.filter_map(|proc| report.processes.get(usize::try_from(*proc).ok()?.checked_sub(1)?))
        {
            let tool = process.tool.to_lossy();
            if !self.programs.contains(tool.as_ref()) {
                self.programs.insert(tool.into_owned());
            }
        }
        self.hosts.extend(report.hosts.iter().map(|host| host.host.to_lossy().into_owned()));
        self.rules.extend(report.risk.items.iter().map(|item| item.rule.clone()));
        self.processes.push(report.totals.processes);
        self.durations.push(report.session.duration);
        self.failures.push(report.totals.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, support};

    #[test]
    fn a_session_that_did_the_same_before_has_nothing_new() {
        let mut base = Baseline::default();
        for _ in 0..2 {
            base.add(&Report::assemble(&support::rich().view(50_000), &Options::default()));
        }
        let options = Options { baseline: Some(base), ..Options::default() };
        let comparison = Report::assemble(&support::rich().view(50_000), &options).comparison.unwrap();
        assert_eq!(comparison.sessions, 2);
        assert!(
            comparison.new_programs.is_empty() && comparison.new_hosts.is_empty() && comparison.new_risks.is_empty()
        );
        assert_eq!(comparison.processes, (44, 44));
        let sample = Report::assemble(&support::sample().view(5000), &options).comparison.unwrap();
        let names: Vec<_> = sample.new_programs.iter().map(|thing| thing.name.to_lossy().into_owned()).collect();
        assert_eq!(names, ["curl", "find"]);
    }

    #[test]
    fn only_earlier_sessions_of_the_same_program_and_directory_compare() {
        let later = support::sample().metadata;
        let mut earlier = later.clone();
        earlier.id = capsule_core::SessionId::parse("earlier").unwrap();
        earlier.started = capsule_core::Timestamp(later.started.0 - 1);
        earlier.ended = Some(later.started);
        assert!(Baseline::compares(&later, &earlier));
        assert!(!Baseline::compares(&earlier, &later));
        earlier.cwd = "/elsewhere".into();
        assert!(!Baseline::compares(&later, &earlier));
    }
}
