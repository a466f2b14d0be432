use capsule_core::{
    ActionPhase, Anomaly, EffectKind, EventKind, ExitStatus, Label, Life, ProcId, Role, Severity, Timestamp,
    TrackedEvent, Workflow,
};
use proptest::prelude::*;

use super::TreeBuilder;
use crate::support::{self, Made, START, tool};

/// A record of any of the three streams.
#[derive(Clone)]
enum Record {
    Tracked(TrackedEvent),
    Action(capsule_core::ActionEvent),
    Risk(capsule_core::RiskEvent),
}

fn folded(made: &Made, records: impl IntoIterator<Item = Record>) -> crate::SessionView {
    let mut builder = TreeBuilder::new();
    for record in records {
        match record {
            Record::Tracked(event) => builder.tracked(&event),
            Record::Action(action) => builder.action(action),
            Record::Risk(risk) => builder.risk(&risk),
        }
    }
    builder.finish(made.metadata.clone())
}

fn streams(made: &Made) -> [Vec<Record>; 3] {
    [
        made.events.iter().cloned().map(Record::Tracked).collect(),
        made.actions.iter().cloned().map(Record::Action).collect(),
        made.risks.iter().cloned().map(Record::Risk).collect(),
    ]
}

proptest! {
    #[test]
    fn streams_fold_to_the_same_view_however_they_interleave(picks: Vec<u8>) {
        let made = support::rich();
        let plain = folded(&made, streams(&made).concat());
        let mut rest = streams(&made).map(|stream| stream.into_iter().peekable());
        let mut mixed = Vec::new();
        for pick in picks.into_iter().cycle().take(5000).chain(std::iter::repeat_n(0, 500)) {
            let chosen = (0..3).map(|n| (usize::from(pick) + n) % 3).find(|n| rest[*n].peek().is_some());
            let Some(stream) = chosen else { break };
            mixed.extend(rest[stream].next());
        }
        let mixed = folded(&made, mixed.into_iter().chain(rest.into_iter().flatten()));
        prop_assert_eq!(mixed, plain);
    }
}

#[test]
fn the_last_final_action_counts_and_no_provisional_one_after_it() {
    let mut made = support::sample();
    let mut late = made.actions[0].clone();
    late.phase = ActionPhase::Provisional;
    late.label = Label::Unknown;
    made.actions.push(late);
    let view = made.view(5000);
    assert_eq!(view.tree.nodes[0].label, Label::Agent);
    assert_eq!(view.tree.nodes[1].success, Some(true));
    assert_eq!(view.tree.nodes[1].workflow, Some(Workflow::FileAnalysis));
}

#[test]
fn an_action_of_nobody_is_said_and_not_shown() {
    let mut made = support::sample();
    let mut stray = made.actions[0].clone();
    stray.proc = ProcId(4_000_000_000);
    made.actions.push(stray);
    let view = made.view(5000);
    assert_eq!(view.tree.nodes.len(), 5);
    assert_eq!(view.unread.kept[0].reason, "an action or a finding names process 4000000000, which no event mentions");
}

#[test]
fn a_process_number_beyond_all_sense_takes_no_memory() {
    let mut made = support::sample();
    let mut forged = made.events[0].clone();
    forged.proc = Some(ProcId(u32::MAX));
    made.events.push(forged.clone());
    forged.proc = Some(ProcId(9));
    made.events.push(forged);
    let view = made.view(5000);
    assert_eq!(view.tree.nodes.len(), 9);
    assert_eq!(view.tree.nodes[6].life, Life::Lost);
    assert_eq!(view.unread.total, 1);
}

#[test]
fn without_an_end_processes_run_and_with_one_they_are_lost() {
    let mut made = support::sample();
    made.events.retain(|event| !matches!(event.event().kind, EventKind::Exit { .. }));
    let mut builder = TreeBuilder::new();
    made.events.iter().for_each(|event| builder.tracked(event));
    assert!(builder.tree().nodes.iter().all(|node| node.life == Life::Running));
    builder.close(Some(Timestamp(START)));
    assert!(builder.tree().nodes.iter().all(|node| node.life == Life::Lost));
}

#[test]
fn without_actions_the_command_line_speaks() {
    let mut made = support::sample();
    made.actions.clear();
    let view = made.view(5000);
    assert_eq!(view.tree.nodes[1].tool.to_lossy(), "find");
    assert_eq!(view.tree.nodes[1].summary.to_lossy(), "find /home/user/project -name '*.py'");
    assert_eq!(view.classified, 0);
    let report = crate::Report::assemble(&view, &crate::Options::default());
    assert_eq!(report.notices[0].kind, "unclassified");
    assert_eq!(report.risk.level, "NOT ASSESSED");
}

#[test]
fn effects_are_counted_by_what_they_touched_and_failures_apart() {
    let mut made = support::sample();
    let proc = ProcId(2);
    let first = made.effect(proc, 10, EffectKind::FileWrite, "/a", None);
    made.effect(proc, 11, EffectKind::FileWrite, "/b", None);
    let last = made.effect(proc, 12, EffectKind::FileWrite, "/a", None);
    for n in 0..1000 {
        made.effect(proc, 13, EffectKind::FileRead, &format!("/r{n}"), None);
    }
    let view = made.view(5000);
    let a = &view.effects[0];
    assert_eq!((a.count, a.first, a.last), (2, first, last));
    assert_eq!(view.effects.len(), 2 + 256);
    assert_eq!(view.effects_uncounted, 744);
}

#[test]
fn pipes_join_writers_and_readers() {
    let view = support::rich().view(50_000);
    let links: Vec<_> = view.pipes.iter().map(|link| (link.from.0, link.to.0)).collect();
    assert_eq!(links, [(23, 24)]);
}

#[test]
fn anomalies_and_findings_reach_their_process() {
    let mut made = support::sample();
    made.events[3].anomaly = Some(Anomaly::Orphan);
    made.risk(ProcId(2), Severity::Low, "A", "a");
    made.risk(ProcId(2), Severity::High, "B", "b");
    let view = made.view(5000);
    assert_eq!(view.anomalies.total, 1);
    assert_eq!(view.tree.nodes[1].worst, Some(Severity::High));
    assert_eq!(view.tree.nodes[1].risks.len(), 2);
    assert_eq!(view.risks.len(), 2);
}

#[test]
fn what_was_tried_only_is_shown_as_that() {
    let found = || {
        let mut made = support::sample();
        let first = made.risk(ProcId(2), Severity::High, "Private key read", "A private key was read.");
        made.risk(ProcId(2), Severity::Medium, "Other", "Something else.");
        (made, first)
    };
    let (before, _) = found();
    let before = before.view(5000);
    let (mut made, first) = found();
    made.risk(ProcId(2), Severity::Low, "Private key read", "It was tried only.");
    let correction = made.risks.last_mut().unwrap();
    correction.corrects = Some(first);
    correction.adjusted = Some("lowered".to_owned());
    let after = made.view(5000);
    assert_eq!((before.tree.nodes[1].worst, after.tree.nodes[1].worst), (Some(Severity::High), Some(Severity::Medium)));
    assert_eq!(after.risks.len(), before.risks.len());
    assert_eq!(after.tree.nodes[1].risks, before.tree.nodes[1].risks);
    let found = |seq| after.risks.iter().find(|risk| risk.seq == seq).unwrap();
    assert_eq!((found(first).severity, found(first).why.as_str()), (Severity::Low, "It was tried only."));
    assert_eq!(found(first).adjusted.as_deref(), Some("lowered"));
}

#[test]
fn a_live_builder_shows_the_same_tree() {
    let made = support::rich();
    let mut live = TreeBuilder::live();
    for event in &made.events {
        live.tracked(event);
    }
    made.actions.iter().for_each(|action| live.action(action.clone()));
    made.risks.iter().for_each(|risk| live.risk(risk));
    assert_eq!(live.worst(), Some(Severity::High));
    let whole = made.clone().view(50_000);
    live.close(Some(Timestamp(START)));
    assert_eq!(live.tree(), &whole.tree);
}

#[test]
fn odd_arguments_become_a_line_that_a_shell_would_read_back() {
    let line = |args: &[&[u8]]| super::summary_of(&capsule_core::Argv::from_iter(args)).to_lossy().into_owned();
    assert_eq!(line(&[b"a", b"", b"b c", b"it's", b"$x`"]), "a '' 'b c' \"it's\" '$x`'");
    assert_eq!(line(&[b"q", b"'$(x)'"]), "q \"'\\$(x)'\"");
    assert_eq!(line(&[]), "");
    let long = line(&[b"x", "é".repeat(5000).as_bytes()]);
    assert!(long.len() < 410 && long.ends_with('…') && !long.contains('\u{fffd}'), "{long}");
}

#[test]
fn a_process_that_only_searched_its_path_is_a_probe() {
    let mut made = support::sample();
    let probe = made.fork(Some(ProcId(1)), 100);
    let argv = capsule_core::Argv::from_iter(["pwsh"]);
    for _ in 0..3 {
        let failed = EventKind::ExecFailed { filename: None, argv: argv.clone(), errno: 2 };
        made.push(Some(probe), 100, failed, None);
    }
    made.end(probe, 101, ExitStatus::Exited(127));
    let done = made.done(ProcId(1), 200, 1, &["ls"], tool(None, "ls"), 0);
    assert_eq!(done, ProcId(7));
    let view = made.view(5000);
    assert_eq!(view.tree.nodes[5].failed_execs, 3);
    assert_eq!(view.tree.nodes[5].summary.to_lossy(), "pwsh");
    assert_eq!(view.tree.nodes[5].role, Role::Asked);
    let report = crate::Report::assemble(&view, &crate::Options::default());
    assert!(report.rows.iter().any(|row| row.note.contains("searches along PATH")), "{:#?}", report.rows);
}
