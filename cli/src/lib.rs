//! The only crate that knows all others: it reads the command line, wires the pipeline, prints.
//!
//! - [`args`]: the command line, as clap types, and nothing else
//! - [`commands`]: one file a command
//! - [`config`]: the user's settings, which are defaults of options
//! - [`attached`]: a process that runs already, as its user sees it
//! - [`recording`]: one session from its creation to its seal
//! - [`gitview`]: what git would say of the changed files, found out in a process of its own
//! - [`follow`]: a session read while it grows
//! - [`ask`]: questions about sessions, for people and models
//! - [`live`]: the live view around a command
//! - [`load`]: a stored session, folded again
//! - [`pipeline`]: every queue and task of one session, and who decides how it ended
//! - `platform`: what differs between operating systems
//! - [`undo`]: what a session changed, taken back
//! - [`watch`]: the live view of a session
//! - [`on_risk`]: findings handed to a command of the user's
//! - [`output`]: the one door to stdout and stderr
//!
//! stdout is data, stderr is talk. Exit codes are those of [`capsule_core::exit`].

pub mod args;
pub mod ask;
pub mod attached;
pub mod commands;
pub mod config;
pub mod deferred;
pub mod error;
pub mod follow;
pub mod gitview;
pub mod live;
pub mod load;
pub mod on_risk;
pub mod output;
pub mod pipeline;
mod platform;
pub mod recording;
pub mod rules;
pub mod undo;
pub mod watch;
pub mod worktree;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;

use crate::config::Refused;
use crate::error::Problem;

/// Runs one command line and returns the exit code.
///
/// Process-wide set-up (what was inherited of signals and masks) happens before any thread starts; each command
/// builds the runtime it needs.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    capsule_trace::Inherited::remember();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match args::complete::asked(&arguments) {
        Ok(false) => {}
        Ok(true) => return capsule_core::exit::OK,
        Err(error) => return output::clap(&error),
    }
    let args = match config::parse(arguments) {
        Ok(args) => args,
        Err(Refused::Line(error)) => return output::clap(&error),
        Err(Refused::Setting(problem)) => return report(&problem),
    };
    let failed = commands::code_of_a_failure(&args.command);
    // Libraries panic where the system refuses a thread or a descriptor. The hook has said so; the exit code is ours.
    match std::panic::catch_unwind(AssertUnwindSafe(|| commands::dispatch(args.command))) {
        Ok(Ok(code)) => code,
        Ok(Err(problem)) if problem.is_broken_pipe() => capsule_core::exit::OK,
        Ok(Err(problem)) => report(&problem),
        Err(_panic) => failed,
    }
}

fn report(problem: &Problem) -> u8 {
    output::problem(problem);
    problem.code
}
