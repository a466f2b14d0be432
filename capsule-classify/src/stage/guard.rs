//! Effects on what records the session: said when they happen, once for each process.

use std::sync::Arc;

use capsule_core::{Effect, Finding, ProcId, RiskEvent, Seq, TrackedEvent};

use super::attempt::Said;
use super::{Classifier, REPORTED_KEPT};
use crate::recorder::RULE;
use crate::verdict::Silenced;

impl Classifier {
    /// Reports an effect that touches the session, its key or Capsule's processes.
    pub(super) fn guard(&mut self, proc: ProcId, effect: &Effect, event: &TrackedEvent, out: &mut Vec<Finding>) {
        let Some(live) = self.live.get_mut(&proc) else { return };
        let Some((severity, detail)) = self.rules.guarded.touched(effect, live.capsule) else { return };
        // A user's change to the rule may make it less than that, or silence it.
        let rules = Arc::clone(&self.rules);
        let Some((info, changed)) = rules.session_rule(RULE) else { return };
        let pid = live.pid;
        let severity = severity.min(changed.severity);
        if changed.silenced {
            let silenced = Silenced::by(info, severity, changed.adjusted);
            self.silence(silenced, (proc, pid), event, out);
            return;
        }
        if live.reported.iter().any(|said| said.is(RULE, severity)) {
            return;
        }
        if live.reported.len() < REPORTED_KEPT {
            live.reported.push(Said::seen(RULE, severity, Seq(self.last_risk + 1)));
        }
        let said = RiskEvent {
            severity,
            category: info.category.clone(),
            rule: info.id.clone(),
            title: info.title.clone(),
            why: format!("{} ({detail})", info.why),
            attack: info.attack.clone(),
            innocent: info.innocent.clone(),
            adjusted: changed.adjusted,
            ..self.next_risk((proc, pid), event)
        };
        out.push(Finding::Risk(Box::new(said)));
    }
}
