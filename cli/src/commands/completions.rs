//! `capsule completions`: a shell's completions, from the same definitions as the command line itself.

use std::io::Write as _;

use capsule_core::exit;
use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::error::Outcome;
use crate::output;

pub(super) fn exec(args: &CompletionsArgs) -> Outcome {
    let mut out = output::data();
    clap_complete::generate(args.shell, &mut Args::command(), "capsule", &mut out);
    out.flush()?;
    Ok(exit::OK)
}
