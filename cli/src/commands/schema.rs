//! `capsule schema`: JSON Schemas of everything that Capsule writes or prints.

use std::io::Write as _;

use capsule_core::exit;

use crate::args::SchemaArgs;
use crate::error::{Outcome, Problem};
use crate::output;

pub(super) fn exec(args: &SchemaArgs) -> Outcome {
    let Some(name) = &args.name else {
        let mut out = output::data();
        for name in capsule_report::SCHEMAS {
            writeln!(out, "{name}")?;
        }
        out.flush()?;
        return Ok(exit::OK);
    };
    let Some(schema) = capsule_report::schema(name) else {
        let known = capsule_report::SCHEMAS.join(", ");
        return Err(
            Problem::usage(format!("there is no schema `{}`", name.escape_debug())).hint(format!("there are: {known}"))
        );
    };
    output::json(&schema)?;
    Ok(exit::OK)
}
