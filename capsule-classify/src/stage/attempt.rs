//! What was tried and did not come about.
//!
//! A finding is said when a program starts, by its arguments: early enough to act on. Whether the deed was done shows later.
//! Where a program that takes one file ends with a failure, and no effect says that it opened that file all the same, the
//! finding is put right: said again with less severity and the reason, naming the one that it corrects. A wrapper's finding
//! (a shell around the command) is put right when every process under it that was to do the deed failed.
//!
//! A failing exit code is easy to have: code may read a key and then leave with 1. So it counts only of programs that do one
//! thing to a file or nothing ([`all_or_nothing`]) and that the system installed ([`installed`]: anybody can call a script
//! `cat`), and not where they take several files, search, follow a directory, or were ended by a signal.

use std::sync::Arc;

use capsule_core::{Effect, ExitStatus, Finding, Pid, ProcId, RiskEvent, Seq, Severity, TrackedEvent};

use super::{Classifier, Live};
use crate::risk::all_or_nothing;
use crate::verdict::Risk;

/// `EPERM` and `EACCES`.
const REFUSED: [i32; 2] = [1, 13];

/// A finding that was said of a process or of the wrapper around it, and what came of it.
#[derive(Debug)]
pub(super) struct Said {
    rule: Arc<str>,
    severity: Severity,
    /// Its record; the wrapper's where `above` is there.
    seq: Seq,
    /// The wrapper of which it was said.
    above: Option<ProcId>,
    /// The last part of the path that it is about.
    file: Box<str>,
    /// That file was opened or changed, by what effects say.
    opened: bool,
    refused: bool,
    /// How many processes under it were to do the deed, and how many of those failed to.
    carried: usize,
    failed: usize,
}

impl Said {
    pub(super) fn new(risk: &Risk, seq: Seq, above: Option<ProcId>) -> Self {
        let file = risk.subject.rsplit('/').next().unwrap_or_default();
        Self { above, file: Box::from(file), ..Self::seen(&risk.rule, risk.severity, seq) }
    }

    /// One that rests on what was seen.
    pub(super) fn seen(rule: &str, severity: Severity, seq: Seq) -> Self {
        Self {
            rule: Arc::from(rule),
            severity,
            seq,
            above: None,
            file: Box::default(),
            opened: false,
            refused: false,
            carried: 0,
            failed: 0,
        }
    }

    /// Whether it says of `rule` what is at least as bad.
    pub(super) fn is(&self, rule: &str, severity: Severity) -> bool {
        *self.rule == *rule && self.severity >= severity
    }
}

impl Live {
    /// Takes an effect into account: a file that a finding is about was opened, or refused.
    pub(super) fn saw(&mut self, effect: &Effect) {
        if self.reported.is_empty() {
            return;
        }
        for path in [&effect.path, &effect.to].into_iter().flatten() {
            let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            for said in self.reported.iter_mut().filter(|said| !said.file.is_empty() && said.file.as_bytes() == name) {
                match effect.errno {
                    None => said.opened = true,
                    Some(errno) => said.refused |= REFUSED.contains(&errno),
                }
            }
        }
    }
}

/// Whether an executable lies where only the system's packages put programs.
pub(super) fn installed(exe: &[u8]) -> bool {
    const PLACES: [&[u8]; 8] = [
        b"/bin/",
        b"/sbin/",
        b"/usr/bin/",
        b"/usr/sbin/",
        b"/usr/lib/",
        b"/usr/libexec/",
        b"/nix/store/",
        b"/gnu/store/",
    ];
    PLACES.iter().any(|place| exe.starts_with(place)) && !exe.windows(4).any(|part| part == b"/../")
}

/// Programs that ask for a right before they start anything.
fn asks_first(tool: &str) -> bool {
    matches!(tool, "sudo" | "doas" | "su" | "pkexec" | "runuser")
}

impl Classifier {
    /// A process under `above` is to do what was said of that one.
    pub(super) fn carries(&mut self, above: ProcId, rule: &str, severity: Severity) {
        let Some(live) = self.live.get_mut(&above) else { return };
        if let Some(said) = live.reported.iter_mut().find(|said| said.is(rule, severity)) {
            said.carried += 1;
        }
    }

    /// At the end of a process: puts right what was said of it and did not come about.
    pub(super) fn attempted(&mut self, proc: ProcId, status: ExitStatus, event: &TrackedEvent, out: &mut Vec<Finding>) {
        let Some(live) = self.live.get_mut(&proc).filter(|live| !live.reported.is_empty()) else { return };
        let reported = std::mem::take(&mut live.reported);
        let Some(known) = live.known.clone() else { return };
        let (pid, ran, verdict) = (live.pid, live.ran, &known.verdict);
        let failed = live.installed && matches!(status, ExitStatus::Exited(code) if !verdict.is_success(code));
        for said in &reported {
            let Some(risk) = verdict.risks.iter().find(|risk| *risk.rule == *said.rule) else { continue };
            // What the shell does itself, nobody below it fails to do.
            let below = risk.whole && said.carried > 0 && said.failed == said.carried && said.carried >= risk.subjects;
            let refused = failed && verdict.facts.wraps && !ran && asks_first(&verdict.tool);
            let simple = !verdict.facts.wraps && verdict.facts.few && all_or_nothing(&verdict.tool);
            let alone = failed && simple && said.carried == 0 && risk.whole;
            if said.opened || !(below || refused || alone) {
                continue;
            }
            let refused = refused || said.refused;
            if risk.category == "credential-access" {
                self.session.unread(proc);
            }
            match said.above {
                Some(above) => {
                    let above = self.live.get_mut(&above);
                    let entry = above.and_then(|live| live.reported.iter_mut().find(|known| known.rule == said.rule));
                    if let Some(entry) = entry {
                        entry.failed += 1;
                        entry.refused |= refused;
                    }
                }
                None => {
                    let how = match status {
                        _ if below => "every command that was to do it failed".to_owned(),
                        status if refused => format!("it was refused (exit code {})", status.shell_code()),
                        status => format!("it did not succeed (exit code {})", status.shell_code()),
                    };
                    self.correct(said.seq, risk, if refused { 1 } else { 2 }, &how, (proc, pid), event, out);
                }
            }
        }
    }

    /// Says the finding again, so many steps lower. An attempt that was refused was one at what is there: one step.
    #[expect(clippy::too_many_arguments, reason = "the parts of a record")]
    fn correct(
        &mut self,
        earlier: Seq,
        risk: &Risk,
        steps: usize,
        because: &str,
        who: (ProcId, Pid),
        event: &TrackedEvent,
        out: &mut Vec<Finding>,
    ) {
        let at = Severity::ALL.iter().position(|severity| *severity == risk.severity).unwrap_or_default();
        let Some(severity) = Severity::ALL.get(at.saturating_sub(steps)).copied() else { return };
        if severity >= risk.severity {
            return;
        }
        let lowered = format!("lowered from {} to {}: {because}", risk.severity.name(), severity.name());
        let why = format!("{} It was tried only, and {lowered}.", risk.in_words());
        let before = risk.adjusted.as_ref().map(|before| format!("{before}; then "));
        let said = RiskEvent {
            severity,
            why,
            adjusted: Some(before.unwrap_or_default() + &lowered),
            corrects: Some(earlier),
            ..self.next_of(risk, who, event)
        };
        out.push(Finding::Risk(Box::new(said)));
    }
}
