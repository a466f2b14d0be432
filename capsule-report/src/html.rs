//! The report as one page: no network, no other file; search, tree and timeline work from `file://`.
//!
//! Tables are written by the template. The tree and the timeline are drawn by the page's own script from a compact
//! model inside it ([`data`]), and only as much as is in view, so that large sessions stay fluid. Text of the traced program
//! reaches the page as text only: escaped in markup, as `textContent` from the script; a content security policy with a
//! nonce forbids everything else.

use std::io::{self, Write};

use crate::model::Report;
use crate::options::Options;
use crate::template::{self, Medium};

pub(crate) mod data;
#[cfg(test)]
mod tests;

/// The built-in template.
const TEMPLATE: &str = include_str!("../templates/report.html");
/// The page's style.
pub(crate) const CSS: &str = include_str!("../templates/report.css");
/// The page's script.
pub(crate) const SCRIPT: &str = include_str!("../templates/report.js");

/// Writes the report as one self-contained HTML page.
///
/// # Errors
/// Those of `out`.
pub fn html(report: &Report, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    template::render(TEMPLATE, Medium::Html, report, options, out).map_err(io::Error::from)
}
