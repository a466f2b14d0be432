//! What is incomplete or cannot be trusted: said before anything else.

use capsule_core::SessionStatus;

use super::clean::Cleaner;
use crate::model::{GapItem, Notice, Totals};
use crate::view::{SessionView, Trust};
use crate::words;

/// How many records a notice names.
const NAMED: usize = 8;

/// Where records were lost, one by one.
pub(super) fn gaps(view: &SessionView, cleaner: &Cleaner) -> Vec<GapItem> {
    let gaps = view.gaps.kept.iter();
    gaps.map(|gap| GapItem {
        event: gap.event.0,
        count: gap.count,
        since: gap.since.map(|since| since.0),
        until: gap.until.0,
        reason: cleaner.text(&gap.reason),
    })
    .collect()
}

pub(super) fn notices(view: &SessionView, totals: &Totals, cleaner: &Cleaner) -> Vec<Notice> {
    let mut list = Vec::new();
    let mut say = |kind: &str, incomplete: bool, events: Vec<u64>, text: String| {
        list.push(Notice { kind: kind.to_owned(), text: cleaner.text(&text), incomplete, events });
    };
    let trust = view.integrity.as_ref().map(|integrity| (integrity.trust, integrity.detail.as_str()));
    if let Some((Trust::Tampered, detail)) = trust {
        say("tampered", true, vec![], format!("the session was altered after it was written: {detail}"));
    }
    if let Some(first) = view.metadata.disturbances.first() {
        let more = match view.metadata.disturbances.len().saturating_sub(1) {
            0 => String::new(),
            n => format!("; {n} more"),
        };
        say(
            "disturbed",
            true,
            vec![],
            format!("somebody touched the session's files while it was recorded: {first}{more}"),
        );
    }
    if totals.lost_records > 0 || view.gaps.total > 0 {
        let events: Vec<u64> = view.gaps.kept.iter().map(|gap| gap.event.0).take(NAMED).collect();
        let lost = match totals.lost_records {
            0 => "an unknown number of records was lost".to_owned(),
            1 => "1 record was lost".to_owned(),
            n => format!("{} records were lost", words::number(n)),
        };
        let why = view.gaps.kept.first().map(|gap| format!(": {}", gap.reason)).unwrap_or_default();
        say("lost", true, events, format!("{lost}{why}"));
    }
    match &view.metadata.status {
        SessionStatus::Failed { stage, reason } => {
            say("failed", true, vec![], format!("Capsule's `{stage}` failed while recording: {reason}"));
        }
        SessionStatus::Interrupted { signal } => {
            let name = words::signal(*signal, &view.metadata.host.os);
            say("interrupted", false, vec![], format!("somebody ended the session early with {name}"));
        }
        SessionStatus::Incomplete | SessionStatus::Complete => {}
    }
    match trust {
        Some((Trust::Torn, detail)) => say("torn", true, vec![], format!("the last record is torn: {detail}")),
        Some((Trust::Running, _)) => {
            say("running", true, vec![], "the session is still running: this is what it did so far".to_owned());
        }
        Some((Trust::Unsealed, detail)) => {
            say("unsealed", true, vec![], format!("the session is not sealed: {detail}"))
        }
        None if view.metadata.status == SessionStatus::Incomplete => {
            let text = "the session is not sealed: it runs still, or its recorder was killed";
            say("unsealed", true, vec![], text.to_owned());
        }
        _ => {}
    }
    if view.unread.total > 0 {
        let events =
            view.unread.kept.iter().filter_map(|unread| unread.event.map(|event| event.0)).take(NAMED).collect();
        let first = view.unread.kept.first().map(|unread| format!(", first: {}", unread.reason)).unwrap_or_default();
        let records = words::count(view.unread.total, "record", "records");
        say("unread", true, events, format!("{records} could not be read{first}"));
    }
    if view.effects_uncounted > 0 {
        let effects = words::count(view.effects_uncounted, "effect", "effects");
        say("effects", true, vec![], format!("{effects} left out of files and hosts: too many different ones"));
    }
    if totals.lost_ends > 0 {
        let processes = words::count(totals.lost_ends, "process", "processes");
        say("lost_ends", true, vec![], format!("the end of {processes} was not seen"));
    }
    let missing = totals.processes.saturating_sub(view.classified);
    if view.classified == 0 && totals.processes > 0 {
        say(
            "unclassified",
            true,
            vec![],
            "no process was classified: labels, workflows and risks are missing".to_owned(),
        );
    } else if missing > 0 && view.metadata.ended.is_some() {
        let processes = words::count(missing, "process has", "processes have");
        say("unclassified", true, vec![], format!("{processes} no classification"));
    }
    let handoffs: Vec<_> =
        view.effects.iter().filter(|entry| entry.kind == capsule_core::EffectKind::Handoff).collect();
    if !handoffs.is_empty() {
        let mut to: Vec<&str> = handoffs.iter().map(|entry| entry.call.as_str()).collect();
        to.sort_unstable();
        to.dedup();
        to.truncate(NAMED);
        let events = handoffs.iter().map(|entry| entry.first.0).take(NAMED).collect();
        say("handoff", true, events, format!("work left the recorded tree through {}", to.join(", ")));
    }
    if view.anomalies.total > 0 {
        let events = view.anomalies.kept.iter().map(|odd| odd.event.0).take(NAMED).collect();
        let odd = words::count(view.anomalies.total, "record does", "records do");
        say("odd", false, events, format!("{odd} not fit its process's history (orphans, ends not seen)"));
    }
    list
}
