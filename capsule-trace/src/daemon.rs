//! Daemons that do the session's work: an agent's interface may start a detached process that runs the tools and
//! outlives it. They are stayed with until nothing has happened for a while.

use std::time::Duration;

use capsule_core::{Argv, Pid};

use crate::root;
use crate::tracer::{Linger, StayWith, TraceOptions};

/// How long nothing must have happened in the whole tree before a daemon counts as idle.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// How often it is asked whether anybody is left to stay with.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(500);

/// Whom the options say to stay with.
pub(crate) fn wanted(options: &TraceOptions) -> Option<&StayWith> {
    options.stay_with.as_ref().filter(|_| options.linger == Linger::Auto)
}

/// Whether any of `live` left Capsule's session and does the session's work.
pub(crate) fn any(live: impl IntoIterator<Item = Pid>, stay_with: &StayWith) -> bool {
    let (own, _) = root::sys::session_and_group(0);
    live.into_iter().any(|pid| {
        let (session, _) = root::sys::session_and_group(pid.0);
        session.is_some() && session != own && arguments(pid).is_some_and(|argv| (stay_with.0)(&argv))
    })
}

fn arguments(pid: Pid) -> Option<Argv> {
    let block = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(Argv::from_block(&block))
}
