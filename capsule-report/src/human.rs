//! The report for people, on a terminal of a given width.

use std::io::{self, Write};

use crate::model::Report;
use crate::options::Options;
use crate::template::{self, Medium};

pub(crate) mod tree;

/// The built-in template.
const TEMPLATE: &str = include_str!("../templates/human.txt");

/// Writes the report for people.
///
/// # Errors
/// Those of `out`.
pub fn human(report: &Report, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    template::render(TEMPLATE, Medium::Terminal, report, options, out).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
