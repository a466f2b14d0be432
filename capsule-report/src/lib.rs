//! One report model, many renderers: people, models, programs and browsers read the same facts.
//!
//! [`TreeBuilder`] folds a session's streams into a [`SessionView`]; [`Report::assemble`] works out everything that is
//! to be said; a renderer ([`human`], [`ai`], [`json`], …) writes it down and computes nothing. Text of the traced program is
//! hostile: it stays bytes in the model and each renderer escapes it for its medium.

mod ai;
mod assemble;
mod baseline;
mod deeds;
mod diff;
mod explain;
mod filter;
mod fold;
mod html;
mod human;
mod json;
mod list;
mod markdown;
mod model;
mod options;
mod query;
mod schema;
mod style;
#[cfg(test)]
mod support;
mod template;
mod text;
mod view;
mod why;
mod words;

pub use ai::{BYTES_PER_TOKEN, ai};
pub use assemble::changed_files;
pub use baseline::Baseline;
pub use diff::{Change, Diff, FailOn, Side, Thing, diff_human};
pub use explain::{Explained, Explanation, Sentence, explain, explain_human};
pub use filter::{Filter, FilterError};
pub use fold::TreeBuilder;
pub use html::html;
pub use human::human;
pub use json::json;
pub use list::ListRow;
pub use markdown::markdown;
pub use model::*;
pub use options::{Listing, Options, Redact};
pub use query::{
    About, Answered, Citation, Files, Find, Hosts, One, Page, QueryError, Questions, RecordKind, Risks, Tree,
    citations, fenced,
};
pub use schema::{SCHEMAS, schema};
pub use template::{Medium, TemplateError, render};
pub use view::{Capped, EffectEntry, Gap, Integrity, OddEvent, PipeLink, SessionView, Trust, Unread};
pub use why::{Answer, Link, Subject, Why, why, why_human};
pub use words::duration;
