//! The report for a pull request or an issue: short, and nothing in it is markup that the traced program wrote.

use std::io::{self, Write};

use crate::model::Report;
use crate::options::Options;
use crate::template::{self, Medium};

/// The built-in template.
const TEMPLATE: &str = include_str!("../templates/report.md");

/// Writes the report as Markdown.
///
/// # Errors
/// Those of `out`.
pub fn markdown(report: &Report, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    template::render(TEMPLATE, Medium::Markdown, report, options, out).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
