//! The session told: one sentence, what happened when, what it meant, and where to look next.

use super::findings;
use super::groups::Groups;
use super::questions;
use super::synthesis::{DrillDown, Narrative, Said, Voice};
use crate::assemble::meaning;
use crate::words;

pub(super) fn narrative(voice: &Voice<'_>, groups: &Groups<'_>) -> Narrative {
    Narrative {
        one_sentence: one_sentence(voice),
        story: story(voice),
        key_questions: questions::questions(voice),
        interesting_findings: findings::interesting(voice, groups),
        significance: significance(voice),
        comparison_baselines: comparison(voice),
        drill_down: drill_down(voice),
    }
}

fn one_sentence(voice: &Voice<'_>) -> Said {
    let report = voice.report;
    let totals = &report.totals;
    let who = match &report.agent {
        Some(agent) => format!("The agent {}", voice.short(agent.name.as_bytes())),
        None => "The command".to_owned(),
    };
    let failed =
        if totals.failed > 0 { format!(", of which {} failed", words::number(totals.failed)) } else { String::new() };
    let kinds: Vec<&str> = report.workflows.iter().map(|item| item.name.as_str()).take(3).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let gaps = if report.notices.iter().any(|notice| notice.incomplete) { "; the recording is incomplete" } else { "" };
    let text = format!(
        "{who} ran {}{failed}{kinds} in {}, ended with {}; risk {}{gaps}.",
        words::count(totals.operations, "operation", "operations"),
        words::duration(report.session.duration),
        report.session.ending.text,
        report.risk.level,
    );
    voice.said("", text, voice.whole())
}

fn story(voice: &Voice<'_>) -> Vec<Said> {
    if voice.level.list == 0 {
        return Vec::new();
    }
    let phases: Vec<_> = voice.report.phases.iter().filter(|phase| phase.operations > 0).collect();
    let limit = voice.level.list.max(1);
    // The beginning and the end of a long story.
    let head = limit.div_ceil(2);
    let skipped = phases.len().saturating_sub(limit);
    let mut list = Vec::new();
    for (index, phase) in phases.iter().enumerate() {
        if skipped > 0 && index == head {
            let cut: Vec<_> = phases.iter().skip(head).take(skipped).collect();
            let operations: u64 = cut.iter().map(|phase| phase.operations).sum();
            let procs: Vec<u32> = cut.iter().filter_map(|phase| phase.procs.first().copied()).collect();
            let text = format!(
                "then {} with {}",
                words::count(skipped as u64, "more phase", "more phases"),
                words::count(operations, "operation", "operations")
            );
            list.push(voice.said("folded", text, voice.procs(&procs)));
        }
        if skipped > 0 && (head..head + skipped).contains(&index) {
            continue;
        }
        let failed = if phase.failed > 0 { format!(", {} failed", words::number(phase.failed)) } else { String::new() };
        let text = format!(
            "after {} it {} for {}: {}{failed} ({})",
            words::duration(phase.offset),
            verb(&phase.kind),
            words::duration(phase.duration),
            words::count(phase.operations, "operation", "operations"),
            voice.tools(&phase.tools, 4),
        );
        list.push(voice.said(&phase.kind, text, voice.procs(&phase.procs)));
    }
    list
}

fn verb(kind: &str) -> &'static str {
    match kind {
        "explore" => "explored",
        "edit" => "edited",
        "build" => "built",
        "test" => "tested",
        "commit" => "worked with version control",
        "network" => "used the network",
        "security" => "touched security-relevant things",
        _ => "ran programs",
    }
}

/// What each kind of phase was good for, each kind once.
fn significance(voice: &Voice<'_>) -> Vec<Said> {
    let mut list: Vec<Said> = Vec::new();
    for phase in voice.report.phases.iter().filter(|phase| phase.operations > 0) {
        if list.len() < voice.level.list && !list.iter().any(|said| said.kind.as_deref() == Some(&phase.kind)) {
            let of_kind = || voice.report.phases.iter().filter(|other| other.kind == phase.kind);
            let operations: u64 = of_kind().map(|other| other.operations).sum();
            let failed: u64 = of_kind().map(|other| other.failed).sum();
            let outcome = match failed {
                0 => "all well".to_owned(),
                n => format!("{} failed", words::number(n)),
            };
            let what = meaning(&phase.kind);
            let text = format!(
                "{what}: {} in {}, {outcome}",
                words::count(operations, "operation", "operations"),
                words::count(of_kind().count() as u64, "phase", "phases")
            );
            list.push(voice.said(&phase.kind, text, voice.procs(&phase.procs)));
        }
    }
    list
}

fn comparison(voice: &Voice<'_>) -> Vec<Said> {
    let Some(comparison) = voice.report.comparison.as_ref().filter(|comparison| comparison.sessions > 0) else {
        if voice.level.lean {
            return Vec::new();
        }
        let text = "no earlier session of this agent in this directory to compare with";
        return vec![voice.said("none", text.to_owned(), voice.whole())];
    };
    let sessions = words::count(comparison.sessions, "earlier session", "earlier sessions");
    let mut list = vec![voice.said(
        "counts",
        format!(
            "against {sessions}: {} processes (median {}), {} (median {}), {} failed operations (median {})",
            words::number(comparison.processes.0),
            words::number(comparison.processes.1),
            words::duration(comparison.duration.0),
            words::duration(comparison.duration.1),
            words::number(comparison.failures.0),
            words::number(comparison.failures.1),
        ),
        voice.whole(),
    )];
    let kinds = [
        ("rare_program", "ran for the first time", &comparison.new_programs),
        ("first_seen_host", "contacted or named for the first time", &comparison.new_hosts),
        ("new_risk", "found for the first time", &comparison.new_risks),
    ];
    for (kind, what, things) in kinds {
        for thing in things.iter().take(voice.level.list / 2) {
            let text = format!("{what}: {}", voice.short(thing.name.as_bytes()));
            list.push(voice.said(kind, text, voice.procs(&thing.procs)));
        }
    }
    list
}

fn drill_down(voice: &Voice<'_>) -> Vec<DrillDown> {
    let report = voice.report;
    let id = &report.session.id;
    let mut list = Vec::new();
    let mut look = |area: String, rest: String, refs: Vec<String>| {
        list.push(DrillDown { area, command: format!("capsule report {id}{rest}"), refs });
    };
    for item in report.risk.items.iter().filter(|item| item.rank == 0).take(3) {
        look(
            format!("{} finding `{}`", item.severity, item.rule),
            format!(" --proc {}", item.proc),
            vec![format!("risk:{}", item.seq)],
        );
    }
    if report.totals.failed > 0 {
        let failed = report.workflows.iter().flat_map(|item| item.procs.iter().copied());
        let failed: Vec<u32> = failed
            .filter(|proc| super::groups::process(report, *proc).is_some_and(|process| process.success == Some(false)))
            .take(voice.level.refs)
            .collect();
        look("operations that failed".to_owned(), " --filter failed".to_owned(), voice.procs(&failed));
    }
    if let Some(busiest) = report.workflows.iter().max_by_key(|item| item.operations)
        && let Some(workflow) = busiest.workflow
    {
        look(format!("all of {workflow}"), format!(" --filter workflow:{workflow}"), voice.procs(&busiest.procs));
    }
    if report.totals.helpers > 0 {
        look("what the agent started for itself".to_owned(), " --filter role:helper".to_owned(), voice.whole());
    }
    look("everything".to_owned(), " --format json".to_owned(), voice.whole());
    let keep = voice.level.list.max(1).min(list.len());
    list.truncate(keep);
    list
}
