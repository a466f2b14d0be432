//! `capsule export`: hands a session to a model.

use capsule_report::Options;

use crate::args::{ExportArgs, Format};
use crate::commands::report::Wanted;
use crate::error::Outcome;

pub(super) fn exec(args: &ExportArgs) -> Outcome {
    let options = Options { max_tokens: args.max_tokens as usize, ..super::options()? };
    let wanted = Wanted { session: &args.session, format: Format::Ai, template: None, to: args.output.as_deref() };
    super::report::render(&wanted, options)
}
