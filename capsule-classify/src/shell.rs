//! Shell text to commands: a tolerant, linear-time reader of POSIX shell and the parts of bash that agents use.
//!
//! It is made for judging, not for running: unbalanced quotes and unknown syntax never fail, they only end sooner; nesting is
//! followed to a fixed depth and is plain text beyond it; every byte is looked at a bounded number of times.
//! `docs/classification.md` has the measurements of the existing parsers that this replaces (stack overflow on
//! nesting, exponential time on parentheses, refusal of unbalanced text).

mod ast;
mod read;
mod word;

pub(crate) use ast::{Command, GroupKind, Item, Part, RedirectKind, Script, Simple, Word};
pub(crate) use read::parse;

#[cfg(test)]
mod tests;
