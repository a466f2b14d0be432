//! The whole model as JSON.

use std::io::{self, Write};

use crate::model::Report;

/// Writes the model as one JSON document.
///
/// # Errors
/// Those of `out`.
pub fn json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    out.write_all(b"\n")
}
