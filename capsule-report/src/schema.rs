//! JSON Schemas of everything Capsule writes, by name.
//!
//! The types of `capsule-core` know no schema library: their JSON forms are described here by mirror types, and a test
//! validates real records against them.

use schemars::schema_for;
use serde_json::Value;

use crate::ai::synthesis::AiSynthesis;
use crate::diff::Diff;
use crate::explain::Explanation;
use crate::model::Report;
use crate::why::Why;

pub(crate) mod mirror;
#[cfg(test)]
mod tests;

/// The names that [`schema`] knows.
pub const SCHEMAS: &[&str] =
    &["action", "ai", "diff", "enriched", "event", "explain", "metadata", "raw", "report", "risk", "tree", "why"];

/// The JSON Schema (draft 2020-12) of what `name` names: a line of a stream, a file of a session, or an output.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    let schema = match name {
        "action" => schema_for!(mirror::Action),
        "ai" => schema_for!(AiSynthesis),
        "diff" => schema_for!(Diff),
        "explain" => schema_for!(Explanation),
        "enriched" | "event" => schema_for!(mirror::Event),
        "metadata" => schema_for!(mirror::Metadata),
        "raw" => schema_for!(mirror::Raw),
        "report" => schema_for!(Report),
        "risk" => schema_for!(mirror::Risk),
        "tree" => schema_for!(mirror::Tree),
        "why" => schema_for!(Why),
        _ => return None,
    };
    Some(schema.to_value())
}
