//! Operations of each workflow with equal commands joined, the most telling first.

use std::collections::HashMap;

use capsule_core::Severity;

use crate::model::{Process, Report};

/// Equal operations.
pub(super) struct Group<'a> {
    /// The first of them; the first that failed, where one did.
    pub(super) shown: &'a Process,
    /// Their numbers.
    pub(super) procs: Vec<u32>,
    pub(super) failed: u64,
    pub(super) duration: u64,
    worst: Option<Severity>,
}

/// One workflow's operations.
pub(super) struct Work<'a> {
    pub(super) name: &'a str,
    pub(super) operations: u64,
    pub(super) failed: u64,
    pub(super) duration: u64,
    /// The most telling first.
    pub(super) groups: Vec<Group<'a>>,
}

/// Every workflow's operations.
pub(super) struct Groups<'a> {
    pub(super) work: Vec<Work<'a>>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let work = report.workflows.iter().map(|item| {
            let mut groups: Vec<Group<'a>> = Vec::new();
            let mut at: HashMap<&[u8], usize> = HashMap::new();
            for process in item.procs.iter().filter_map(|proc| process(report, *proc)) {
                let index = *at.entry(process.words().as_bytes()).or_insert_with(|| {
                    let (procs, failed, duration, worst) = (Vec::new(), 0, 0, None);
                    groups.push(Group { shown: process, procs, failed, duration, worst });
                    groups.len().saturating_sub(1)
                });
                let Some(group) = groups.get_mut(index) else { continue };
                if process.success == Some(false) && group.failed == 0 {
                    group.shown = process;
                }
                group.procs.push(process.proc);
                group.failed = group.failed.saturating_add(u64::from(process.success == Some(false)));
                group.duration = group.duration.saturating_add(process.duration.unwrap_or(0));
                group.worst = group.worst.max(process.worst);
            }
            groups.sort_by_key(|group| {
                let rank = (group.worst.filter(|worst| *worst >= Severity::Medium), group.failed > 0);
                (std::cmp::Reverse((rank, group.duration)), group.shown.proc)
            });
            let (operations, failed, duration) = (item.operations, item.failed, item.duration);
            Work { name: item.name.as_str(), operations, failed, duration, groups }
        });
        Self { work: work.collect() }
    }
}

/// The process with this number.
pub(super) fn process(report: &Report, proc: u32) -> Option<&Process> {
    let index = usize::try_from(proc).ok()?.checked_sub(1)?;
    report.processes.get(index).filter(|process| process.proc == proc)
}
