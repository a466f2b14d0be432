//! What repeated, and what stands out: retries, loops of editing and testing, parallel work, waiting.

use std::collections::HashMap;

use capsule_core::{ByteString, Life, Role};

use super::clean::Cleaner;
use super::index::{Index, ran};
use crate::model::{Pattern, Phase, Totals};
use crate::words;

/// How many patterns of one kind are named.
const EACH: usize = 8;
/// How many processes each names.
const NAMED: usize = 8;
/// How many equal operations are a repetition.
const REPEATS: usize = 3;

#[derive(Default)]
struct Runs {
    first: u32,
    /// The first ones; empty where there is only one.
    procs: Vec<u32>,
    count: u64,
    failed: u64,
    /// Whether one failed before another succeeded.
    recovered: bool,
    last_failed: bool,
}

pub(super) fn patterns(
    index: &Index<'_>,
    cleaner: &Cleaner,
    phases: &[Phase],
    totals: &Totals,
    duration: u64,
) -> Vec<Pattern> {
    let mut list = Vec::new();
    list.extend(repetitions(index, cleaner));
    list.extend(edit_test_loop(phases));
    if totals.parallel > 1 {
        let text = format!("up to {} ran at the same time", words::count(totals.parallel, "operation", "operations"));
        list.push(Pattern { kind: "parallel".into(), text, subject: None, count: totals.parallel, procs: Vec::new() });
    }
    let all_of = |fits: &dyn Fn(usize) -> bool| -> Vec<u32> {
        let fitting = index.preorder.iter().filter(|at| fits(**at));
        fitting.filter_map(|at| index.node(*at).map(|node| node.proc.0)).take(NAMED).collect()
    };
    let role = |at: usize| index.node(at).map(|node| node.role);
    if totals.helpers > 0 {
        let procs = all_of(&|at| role(at) == Some(Role::Helper));
        let text = format!("the agent started {} for itself", words::count(totals.helpers, "process", "processes"));
        list.push(Pattern { kind: "helpers".into(), text, subject: None, count: totals.helpers, procs });
    }
    if totals.failed_execs > 0 {
        let procs = all_of(&|at| index.node(at).is_some_and(|node| node.failed_execs > 0));
        let text = format!("{} failed: mostly searches along PATH", words::count(totals.failed_execs, "exec", "execs"));
        list.push(Pattern { kind: "path_search".into(), text, subject: None, count: totals.failed_execs, procs });
    }
    if duration > 0 && totals.operations > 0 && totals.idle.saturating_mul(2) > duration {
        let share = totals.idle.saturating_mul(100) / duration;
        let text = format!("no operation ran for {share} % of the time ({})", words::duration(totals.idle));
        list.push(Pattern { kind: "waiting".into(), text, subject: None, count: 1, procs: Vec::new() });
    }
    if totals.left_running > 0 {
        let procs = all_of(&|at| index.node(at).is_some_and(|node| matches!(node.life, Life::LeftRunning { .. })));
        let text = format!("{} outlived the command", words::count(totals.left_running, "process", "processes"));
        list.push(Pattern { kind: "background".into(), text, subject: None, count: totals.left_running, procs });
    }
    list
}

fn repetitions(index: &Index<'_>, cleaner: &Cleaner) -> Vec<Pattern> {
    let mut runs: HashMap<&ByteString, Runs> = HashMap::new();
    for at in index.operations().filter(|at| index.is_top(*at)) {
        let Some(node) = index.node(at).filter(|node| ran(node)) else { continue };
        let run = runs.entry(&node.summary).or_default();
        run.count = run.count.saturating_add(1);
        match run.count {
            // Most commands run once: they take no memory of their own.
            1 => run.first = node.proc.0,
            2 => run.procs.extend([run.first, node.proc.0]),
            _ if run.procs.len() < NAMED => run.procs.push(node.proc.0),
            _ => {}
        }
        let failed = node.success == Some(false);
        run.failed = run.failed.saturating_add(u64::from(failed));
        run.recovered |= run.last_failed && node.success == Some(true);
        run.last_failed = failed;
    }
    let mut found: Vec<(&ByteString, Runs)> = runs.into_iter().filter(|(_, run)| run.count > 1).collect();
    found.sort_by(|a, b| b.1.count.cmp(&a.1.count).then(a.1.procs.cmp(&b.1.procs)));
    let subject = |text: &ByteString| Some(cleaner.bytes(text));
    let retries = found.iter().filter(|(_, run)| run.failed > 0).take(EACH).map(|(text, run)| Pattern {
        kind: "retry".into(),
        text: format!(
            "run {} times, failed {}{}",
            words::number(run.count),
            words::number(run.failed),
            if run.recovered { ", then succeeded" } else { ", never recovered" }
        ),
        subject: subject(text),
        count: run.count,
        procs: run.procs.clone(),
    });
    let repeats =
        found.iter().filter(|(_, run)| run.failed == 0 && run.count >= REPEATS as u64).take(EACH).map(|(text, run)| {
            Pattern {
                kind: "repeat".into(),
                text: format!("run {} times", words::number(run.count)),
                subject: subject(text),
                count: run.count,
                procs: run.procs.clone(),
            }
        });
    retries.chain(repeats).collect()
}

fn edit_test_loop(phases: &[Phase]) -> Option<Pattern> {
    let (mut rounds, mut edited) = (0_u64, None);
    let mut procs = Vec::new();
    for phase in phases {
        match phase.kind.as_str() {
            "edit" => edited = phase.procs.first().copied(),
            "test" | "build" => {
                if let Some(edit) = edited.take() {
                    rounds = rounds.saturating_add(1);
                    procs.extend([Some(edit), phase.procs.first().copied()].into_iter().flatten());
                }
            }
            _ => {}
        }
    }
    procs.truncate(NAMED);
    (rounds > 1).then(|| Pattern {
        kind: "edit_test_loop".into(),
        text: format!("{rounds} rounds of editing and then testing or building"),
        subject: None,
        count: rounds,
        procs,
    })
}
