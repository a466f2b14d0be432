//! `capsule completions`: the function by which a shell asks Capsule itself for completions.

use std::io::Write as _;

use capsule_core::exit;

use crate::args::{CompletionsArgs, complete};
use crate::error::Outcome;
use crate::output;

pub(super) fn exec(args: &CompletionsArgs) -> Outcome {
    let mut out = output::data();
    complete::script(&args.shell.to_string(), &mut out)?;
    out.flush()?;
    Ok(exit::OK)
}
