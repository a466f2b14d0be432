//! `capsule watch`: the live view of a session.

use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use capsule_core::exit;

use crate::args::WatchArgs;
use crate::error::{Outcome, Problem};
use crate::follow::{Follower, to_watch};
use crate::{output, watch};

pub(super) fn exec(args: &WatchArgs) -> Outcome {
    if !output::stdout_is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Problem::usage("watch needs a terminal").hint("capsule tail is for pipes and files"));
    }
    let terminal = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let signal = watch::show(Follower::new(to_watch(args.session.as_deref())?)?, terminal, None)?;
    let code = signal.map(|signal| i32::from(exit::SIGNAL_BASE) + signal);
    Ok(code.map_or(exit::OK, |code| u8::try_from(code).unwrap_or(exit::FAILURE)))
}
