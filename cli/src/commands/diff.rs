//! `capsule diff`: what one session did that another did not.

use std::io::Write as _;

use capsule_core::exit;
use capsule_report::{Diff, FailOn, Options, diff_human};

use crate::args::DiffArgs;
use crate::error::{Outcome, Problem};
use crate::{load, output};

pub(super) fn exec(args: &DiffArgs) -> Outcome {
    let names = || FailOn::ALL.map(|(_, name)| name).join(", ");
    let fail_on: Vec<FailOn> = args
        .fail_on
        .iter()
        .map(|name| {
            let unknown = || {
                Problem::usage(format!("unknown kind `{}`", name.escape_debug()))
                    .hint(format!("there are: {}", names()))
            };
            FailOn::from_name(name).ok_or_else(unknown)
        })
        .collect::<Result<_, _>>()?;
    let options = Options { width: super::report::terminal_width(), ..super::options()? };
    let diff = Diff::between(&load::view(&args.before)?, &load::view(&args.after)?, &options);
    if args.json {
        output::json(&diff)?;
    } else {
        let mut out = output::data();
        diff_human(&diff, &options, &mut out)?;
        out.flush()?;
    }
    let failures = diff.failures(&fail_on);
    for failure in &failures {
        output::say(failure);
    }
    Ok(if failures.is_empty() { exit::OK } else { exit::FAILURE })
}
