//! `capsule why`: who did it, and the chain from the first process to that one.

use std::io::Write as _;

use capsule_core::exit;

use crate::args::WhyArgs;
use crate::error::Outcome;
use crate::{load, output};

/// Nothing recorded about it.
const NOTHING: u8 = 1;

pub(super) fn exec(args: &WhyArgs) -> Outcome {
    let view = load::view(&args.session)?;
    let why = capsule_report::why(&view, &args.question, &super::options()?);
    if args.json {
        output::json(&why)?;
    } else {
        let mut out = output::data();
        capsule_report::why_human(&why, &mut out)?;
        out.flush()?;
    }
    Ok(if why.answers.is_empty() { NOTHING } else { exit::OK })
}
