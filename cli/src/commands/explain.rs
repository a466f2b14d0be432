//! `capsule explain`: the questions that everybody asks, answered in plain words without any model.

use std::io::Write as _;

use capsule_core::exit;
use capsule_report::{Options, Report};

use crate::args::ExplainArgs;
use crate::error::{Outcome, Problem};
use crate::{load, output};

pub(super) fn exec(args: &ExplainArgs) -> Outcome {
    let options: Options = super::options()?;
    let view = load::view(&args.session)?;
    let mut explanation = capsule_report::explain(&Report::assemble(&view, &options));
    if let Some(unknown) = args.topic.iter().find(|topic| !explanation.questions.iter().any(|one| one.topic == **topic))
    {
        let topics: Vec<&str> = explanation.questions.iter().map(|one| one.topic.as_str()).collect();
        let problem = Problem::usage(format!("unknown topic `{}`", unknown.escape_debug()));
        return Err(problem.hint(format!("there are: {}", topics.join(", "))));
    }
    if !args.topic.is_empty() {
        explanation.questions.retain(|one| args.topic.contains(&one.topic));
    }
    if args.json {
        output::json(&explanation)?;
        return Ok(exit::OK);
    }
    let mut text = Vec::new();
    let color = super::report::wants_color(args.color, true);
    capsule_report::explain_human(&explanation, super::report::terminal_width(), color, &mut text)?;
    if output::stdout_is_terminal() {
        output::page(&text)?;
    } else {
        let mut out = output::data();
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(exit::OK)
}
