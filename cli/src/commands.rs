//! One file a command. Each works out what its arguments mean, does it, and returns an exit code.

mod attach;
mod chat;
mod classify;
mod completions;
mod config;
mod diff;
mod doctor;
mod explain;
mod export;
mod import;
mod key;
mod list;
mod man;
mod mcp;
mod prune;
mod report;
mod rules;
mod run;
mod schema;
mod shim;
mod tail;
mod undo;
mod verify;
mod watch;
mod why;

use anyhow::Context as _;
use capsule_core::exit;
use capsule_report::{Options, Redact};
use tokio::runtime::Runtime;

use crate::args::Command;
use crate::error::{Outcome, Problem};
use crate::{gitview, recording};

/// The exit code of a command that could not be done at all.
#[must_use]
pub const fn code_of_a_failure(command: &Command) -> u8 {
    match command {
        Command::Run(_) | Command::Attach(_) => exit::CAPSULE_FAILED,
        _ => exit::FAILURE,
    }
}

/// Runs a command.
///
/// # Errors
/// With what went wrong, why, and what to do about it.
pub fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::exec(args),
        Command::Attach(args) => attach::exec(args),
        Command::Shim(args) => shim::exec(args),
        Command::Report(args) => report::exec(&args),
        Command::Undo(args) => undo::exec(&args),
        Command::Why(args) => why::exec(&args),
        Command::Explain(args) => explain::exec(&args),
        Command::Chat(args) => chat::exec(&args),
        Command::Mcp(args) => mcp::exec(&args),
        Command::Export(args) => export::exec(&args),
        Command::Diff(args) => diff::exec(&args),
        Command::List(args) => list::exec(&args),
        Command::Watch(args) => watch::exec(&args),
        Command::Tail(args) => tail::exec(&args),
        Command::Verify(args) => verify::exec(&args),
        Command::Key(args) => key::exec(&args),
        Command::Prune(args) => prune::exec(&args),
        Command::Import(args) => import::exec(&args),
        Command::Classify(args) => classify::exec(&args),
        Command::Rules(args) => rules::exec(&args),
        Command::Doctor(args) => doctor::exec(&args),
        Command::Schema(args) => schema::exec(&args),
        Command::Config(args) => config::exec(&args),
        Command::Man(args) => man::exec(&args),
        Command::Completions(args) => completions::exec(&args),
        Command::GitView => gitview::answer(),
    }
}

/// The runtime of a recording: this thread. What waits for the disk has a thread of its own (`pipeline`), and a runtime
/// of several workers waits for ever where it gets some of its threads and not all.
fn recorder() -> Result<Runtime, Problem> {
    start(&mut tokio::runtime::Builder::new_current_thread())
}

/// The runtime of a conversation: two workers, so that one task that waits does not hold up the others.
fn runtime() -> Result<Runtime, Problem> {
    start(tokio::runtime::Builder::new_multi_thread().worker_threads(2))
}

fn start(builder: &mut tokio::runtime::Builder) -> Result<Runtime, Problem> {
    let runtime = builder.enable_all().build();
    runtime.context("could not start the runtime").map_err(|error| Problem::new(exit::CAPSULE_FAILED, error))
}

/// What every report has in common: the moment, a fresh fence for untrusted text, the home directory left out.
pub(crate) fn options() -> Result<Options, Problem> {
    let fence = recording::random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let home = std::env::var("HOME").ok().filter(|home| home.len() > 1);
    Ok(Options {
        now: Some(recording::now()),
        fence,
        redact: Redact { home, ..Redact::default() },
        ..Options::default()
    })
}
