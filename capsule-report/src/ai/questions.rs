//! Questions a reader should ask: each made from something odd in this very session.

use super::groups::process;
use super::synthesis::{Said, Voice};
use crate::words;

pub(super) fn questions(voice: &Voice<'_>) -> Vec<Said> {
    let mut list = Vec::new();
    missing(voice, &mut list);
    risky(voice, &mut list);
    outcome(voice, &mut list);
    world(voice, &mut list);
    time(voice, &mut list);
    if list.is_empty() {
        let operations = words::count(voice.report.totals.operations, "operation", "operations");
        let text = format!("{operations} ended well and nothing stands out: did the session do what was asked of it?");
        list.push(voice.said("outcome", text, voice.whole()));
    }
    list.truncate(voice.level.list.max(1));
    list
}

fn missing(voice: &Voice<'_>, list: &mut Vec<Said>) {
    for notice in voice.report.notices.iter().filter(|notice| notice.incomplete).take(2) {
        let refs = notice.events.iter().take(voice.level.refs).map(|event| format!("event:{event}")).collect();
        let text = match notice.kind.as_str() {
            "tampered" => "Who altered this session after it was written, and what did it say before?",
            "lost" => "What happened while records were lost?",
            "unsealed" | "torn" => "Why did the recording end without a seal, and what came after its last record?",
            "handoff" => "What did the work do that left the recorded tree?",
            _ => "What does this recording lack, and does that change what it shows?",
        };
        list.push(voice.said(&notice.kind, text.to_owned(), refs));
    }
}

fn risky(voice: &Voice<'_>, list: &mut Vec<Said>) {
    let worst = voice.report.risk.items.iter().filter(|item| item.severity >= capsule_core::Severity::Medium);
    for item in worst.filter(|item| item.rank == 0).take(3) {
        let text =
            format!("Was this asked for: {} ({})? {}", item.title, item.severity, voice.quote(item.subject.as_bytes()));
        list.push(voice.said("risk", text, vec![format!("risk:{}", item.seq), format!("proc:{}", item.proc)]));
    }
}

fn outcome(voice: &Voice<'_>, list: &mut Vec<Said>) {
    let report = voice.report;
    let stuck =
        report.patterns.iter().filter(|pattern| pattern.kind == "retry" && pattern.text.ends_with("never recovered"));
    for pattern in stuck.take(2) {
        let subject = pattern.subject.as_ref().map(|subject| voice.quote(subject.as_bytes())).unwrap_or_default();
        let text = format!("Why did this fail again and again ({})? {subject}", pattern.text);
        list.push(voice.said("retry", text, voice.procs(&pattern.procs)));
    }
    let killed = report
        .workflows
        .iter()
        .flat_map(|item| item.procs.iter().copied())
        .filter_map(|proc| process(report, proc))
        .filter(|process| matches!(process.ending.signal, Some(4 | 6 | 7 | 8 | 9 | 11)))
        .take(2);
    for process in killed {
        let text = format!("What ended this by {}? {}", process.ending.text, voice.quote(process.words().as_bytes()));
        list.push(voice.said("signal", text, voice.procs(&[process.proc])));
    }
    let last = |kinds: &[&str]| report.phases.iter().rposition(|phase| kinds.contains(&phase.kind.as_str()));
    let (edit, test) = (last(&["edit"]), last(&["test", "build"]));
    if let Some((edit, phase)) = edit.and_then(|at| report.phases.get(at).map(|phase| (at, phase)))
        && test.is_none_or(|test| test < edit)
    {
        let what = if test.is_some() { "after the last test or build" } else { "and nothing was tested or built" };
        let text = format!("Files were edited {what}: does the result work?");
        list.push(voice.said("untested", text, voice.procs(&phase.procs)));
    }
    if report.totals.left_running > 0 {
        let procs: Vec<u32> = report
            .processes
            .iter()
            .filter(|process| process.ending.state == "left_running")
            .map(|process| process.proc)
            .take(voice.level.refs)
            .collect();
        let what = procs.first().and_then(|proc| process(report, *proc));
        let what = what.map(|process| voice.quote(process.words().as_bytes())).unwrap_or_default();
        let count = words::count(report.totals.left_running, "process was", "processes were");
        list.push(voice.said(
            "left_running",
            format!("{count} left running, is that meant? {what}"),
            voice.procs(&procs),
        ));
    }
}

fn world(voice: &Voice<'_>, list: &mut Vec<Said>) {
    let report = voice.report;
    if let Some(file) = report.files.iter().find(|file| file.place == "outside") {
        let text =
            format!("Why was a file outside the session's directory changed? {}", voice.quote(file.path.as_bytes()));
        list.push(voice.said("outside", text, vec![format!("event:{}", file.event)]));
    }
    let edited = report.phases.iter().any(|phase| phase.kind == "edit");
    if report.agent.is_some() && report.effects_total == 0 && !edited && report.totals.operations > 0 {
        let text = "File effects were not recorded and no program edited anything: which files did the agent change by itself?";
        list.push(voice.said("unseen", text.to_owned(), voice.whole()));
    }
    if let Some(host) = report.hosts.iter().find(|host| !host.local) {
        let verb = if host.how == "argument" { "Was naming" } else { "Was contact with" };
        let text = format!("{verb} this host expected? {}", voice.short(host.host.as_bytes()));
        list.push(voice.said("host", text, voice.procs(&host.procs)));
    }
    if let Some(comparison) = report.comparison.as_ref().filter(|comparison| comparison.sessions > 0)
        && let Some(thing) = comparison.new_programs.first()
    {
        let text = format!("Why was this program needed for the first time? {}", voice.short(thing.name.as_bytes()));
        list.push(voice.said("first_seen", text, voice.procs(&thing.procs)));
    }
}

fn time(voice: &Voice<'_>, list: &mut Vec<Said>) {
    let report = voice.report;
    let longest = report.phases.iter().filter(|phase| phase.kind == "quiet").max_by_key(|phase| phase.duration);
    if let Some(quiet) = longest.filter(|quiet| quiet.duration.saturating_mul(4) > report.session.duration) {
        let text = format!(
            "What went on in the {} from {} on, when no operation ran?",
            words::duration(quiet.duration),
            words::duration(quiet.offset)
        );
        list.push(voice.said("quiet", text, voice.whole()));
    }
}
