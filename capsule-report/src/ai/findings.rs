//! What repeated and what stands out, as statements.

use super::groups::Groups;
use super::synthesis::{Said, Voice};
use crate::words;

pub(super) fn patterns(voice: &Voice<'_>) -> Vec<Said> {
    let patterns = voice.report.patterns.iter().take(voice.level.list);
    patterns
        .map(|pattern| {
            let text = match &pattern.subject {
                Some(subject) => format!("{}: {}", voice.quote(subject.as_bytes()), pattern.text),
                None => pattern.text.clone(),
            };
            let refs = if pattern.procs.is_empty() { voice.whole() } else { voice.procs(&pattern.procs) };
            voice.said(&pattern.kind, text, refs)
        })
        .collect()
}

/// The longest operation, files outside the project, the most parallel moment, the share of the agent's own processes.
pub(super) fn interesting(voice: &Voice<'_>, groups: &Groups<'_>) -> Vec<Said> {
    let report = voice.report;
    let mut list = Vec::new();
    for item in report.risk.items.iter().filter(|item| item.rank == 0).take(3) {
        let text = format!("{} finding: {}", item.severity, item.title);
        list.push(voice.said("risk", text, vec![format!("risk:{}", item.seq), format!("proc:{}", item.proc)]));
    }
    let all = || groups.work.iter().flat_map(|work| &work.groups);
    if let Some(longest) = all().max_by_key(|group| group.shown.duration) {
        let duration = words::duration(longest.shown.duration.unwrap_or(0));
        let text = format!("the longest operation took {duration}: {}", voice.quote(longest.shown.words().as_bytes()));
        list.push(voice.said("longest", text, voice.procs(&[longest.shown.proc])));
    }
    for pattern in report.patterns.iter().filter(|pattern| pattern.kind == "retry").take(2) {
        let subject = pattern.subject.as_ref().map(|subject| voice.quote(subject.as_bytes())).unwrap_or_default();
        list.push(voice.said("retry", format!("{subject}: {}", pattern.text), voice.procs(&pattern.procs)));
    }
    let outside: Vec<_> = report.files.iter().filter(|file| file.place == "outside").collect();
    if let Some(first) = outside.first() {
        let files = words::count(outside.len() as u64, "file", "files");
        let text =
            format!("{files} changed outside the session's directory, first {}", voice.quote(first.path.as_bytes()));
        list.push(voice.said("outside", text, vec![format!("event:{}", first.event)]));
    }
    if report.totals.processes > 0 && report.totals.helpers.saturating_mul(2) > report.totals.processes {
        let text = format!(
            "{} of {} processes were started by the agent for itself",
            words::number(report.totals.helpers),
            words::number(report.totals.processes)
        );
        list.push(voice.said("helpers", text, voice.whole()));
    }
    list.truncate(voice.level.list);
    list
}
