//! How a session compares with the user's earlier ones of the same agent and directory.

use std::collections::BTreeMap;

use capsule_core::ByteString;

use super::clean::Cleaner;
use super::index::Index;
use crate::baseline::Baseline;
use crate::model::{Comparison, HostItem, NewThing, Risk, Totals};

/// How many new things of one kind are named.
const NAMED: usize = 40;
/// How many processes each names.
const PROCS: usize = 4;

pub(super) fn comparison(
    base: &Baseline,
    index: &Index<'_>,
    cleaner: &Cleaner,
    hosts: &[HostItem],
    risk: &Risk,
    totals: &Totals,
    duration: u64,
) -> Comparison {
    let mut programs: BTreeMap<&ByteString, Vec<u32>> = BTreeMap::new();
    for node in index.operations().filter_map(|at| index.node(at)) {
        if !base.programs.contains(node.tool.to_lossy().as_ref()) {
            let procs = programs.entry(&node.tool).or_default();
            if procs.len() < PROCS {
                procs.push(node.proc.0);
            }
        }
    }
    let new_programs =
        programs.into_iter().take(NAMED).map(|(name, procs)| NewThing { name: cleaner.bytes(name), procs }).collect();
    let new_hosts = hosts
        .iter()
        .filter(|host| !base.hosts.contains(host.host.to_lossy().as_ref()))
        .take(NAMED)
        .map(|host| NewThing { name: host.host.clone(), procs: host.procs.iter().copied().take(PROCS).collect() })
        .collect();
    let mut new_risks: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for item in risk.items.iter().filter(|item| !base.rules.contains(&item.rule)) {
        new_risks.entry(&item.rule).or_default().push(item.proc);
    }
    let new_risks = new_risks
        .into_iter()
        .take(NAMED)
        .map(|(name, procs)| NewThing { name: ByteString::from(name), procs: procs.into_iter().take(PROCS).collect() })
        .collect();
    Comparison {
        sessions: base.sessions,
        new_programs,
        new_hosts,
        new_risks,
        processes: (totals.processes, median(&base.processes)),
        duration: (duration, median(&base.durations)),
        failures: (totals.failed, median(&base.failures)),
    }
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
