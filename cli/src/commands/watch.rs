//! `capsule watch`: the live view of a session.

use std::io::IsTerminal as _;

use capsule_core::exit;

use crate::args::WatchArgs;
use crate::error::{Outcome, Problem};
use crate::follow::{Follower, to_watch};
use crate::{output, watch};

pub(super) fn exec(args: &WatchArgs) -> Outcome {
    if !output::stdout_is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Problem::usage("watch needs a terminal").hint("capsule tail is for pipes and files"));
    }
    watch::show(Follower::new(to_watch(args.session.as_deref())?)?)?;
    Ok(exit::OK)
}
