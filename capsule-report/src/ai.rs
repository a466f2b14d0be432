//! The report for models: AISynthesis, within a token budget, every statement with the records it rests on.
//!
//! What the traced program wrote stands between random delimiters that only this export has, with controls escaped: it cannot
//! leave its field, and a reader can tell it from Capsule's own words. Where the budget is small, more is
//! folded into counts; the JSON is always whole. Tokens are estimated at [`BYTES_PER_TOKEN`] bytes each.

use std::io::{self, Write};

use crate::model::Report;
use crate::options::Options;

pub(crate) mod fence;
mod findings;
mod groups;
mod narrative;
mod questions;
pub(crate) mod synthesis;
#[cfg(test)]
mod tests;

use fence::Fence;
use groups::Groups;
use synthesis::{AiSynthesis, Level, synthesise};

/// One token is taken to be this many bytes: low for English, about right for paths, ids and JSON.
pub const BYTES_PER_TOKEN: usize = 4;

/// From everything to the least: operations of each workflow, columns of a command, entries of the other lists.
const LEVELS: [Level; 16] = [
    Level { operations: 400, text: 400, list: 60, refs: 6, lean: false },
    Level { operations: 200, text: 320, list: 40, refs: 6, lean: false },
    Level { operations: 120, text: 240, list: 30, refs: 4, lean: false },
    Level { operations: 80, text: 200, list: 24, refs: 4, lean: false },
    Level { operations: 60, text: 160, list: 20, refs: 4, lean: false },
    Level { operations: 45, text: 160, list: 16, refs: 3, lean: false },
    Level { operations: 32, text: 140, list: 14, refs: 3, lean: false },
    Level { operations: 24, text: 120, list: 12, refs: 3, lean: false },
    Level { operations: 16, text: 120, list: 10, refs: 3, lean: false },
    Level { operations: 12, text: 100, list: 8, refs: 2, lean: false },
    Level { operations: 8, text: 100, list: 6, refs: 2, lean: false },
    Level { operations: 5, text: 80, list: 5, refs: 2, lean: false },
    Level { operations: 3, text: 60, list: 3, refs: 2, lean: false },
    Level { operations: 1, text: 50, list: 2, refs: 1, lean: true },
    Level { operations: 0, text: 40, list: 1, refs: 1, lean: true },
    Level { operations: 0, text: 24, list: 0, refs: 1, lean: true },
];

/// Writes AISynthesis as one JSON document: the fullest form that fits the budget, or the least one where none does
/// (`budget.fits` says so).
///
/// # Errors
/// Those of `out`.
pub fn ai(report: &Report, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let fence = Fence::new(&options.fence);
    let groups = Groups::new(report);
    let limit = options.max_tokens.saturating_mul(BYTES_PER_TOKEN);
    let mut levels = LEVELS.iter().enumerate().peekable();
    while let Some((number, level)) = levels.next() {
        let mut made = synthesise(report, &groups, &fence, *level);
        let bytes = settle(&mut made, options.max_tokens, number)?;
        if bytes.len() <= limit || levels.peek().is_none() {
            return out.write_all(&bytes);
        }
    }
    Ok(())
}

/// The document with its own size in it: writing the size may change the size, so it is written until it stands.
fn settle(made: &mut AiSynthesis, max_tokens: usize, level: usize) -> io::Result<Vec<u8>> {
    made.budget.max_tokens = max_tokens;
    made.budget.folding = level;
    let mut bytes = Vec::new();
    for _ in 0..4 {
        bytes.clear();
        serde_json::to_writer(&mut bytes, made)?;
        bytes.push(b'\n');
        let fits = bytes.len() <= max_tokens.saturating_mul(BYTES_PER_TOKEN);
        let tokens = bytes.len().div_ceil(BYTES_PER_TOKEN);
        if made.budget.bytes == bytes.len() && made.budget.fits == fits {
            break;
        }
        (made.budget.bytes, made.budget.tokens, made.budget.fits) = (bytes.len(), tokens, fits);
    }
    Ok(bytes)
}
