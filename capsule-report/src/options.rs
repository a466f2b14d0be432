//! What a reader may choose about a report.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use capsule_core::redact::Redactor;
use capsule_core::{ProcId, Timestamp};

use crate::baseline::Baseline;
use crate::filter::Filter;

/// The reader's choices. All of it is plain data: nothing here reads a clock, an environment or a terminal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns of the human report.
    pub width: usize,
    /// Colour in the human report.
    pub color: bool,
    /// Levels of the tree to show; `None` folds what is deep.
    pub depth: Option<u32>,
    /// Show everything: wrappers, helpers, inner processes, repeats.
    pub all: bool,
    /// Show only this process and what it started.
    pub proc: Option<ProcId>,
    /// Show only processes that fit, and their ancestors.
    pub filter: Option<Filter>,
    /// About how many tokens the AI report may take, at [`crate::BYTES_PER_TOKEN`] bytes each.
    pub max_tokens: usize,
    /// The present moment, for sessions that still run.
    pub now: Option<Timestamp>,
    /// Random text, new for each export, that fences what the traced program wrote in the AI report.
    pub fence: String,
    /// What to leave out of the output.
    pub redact: Redact,
    /// The user's earlier sessions, to compare with.
    pub baseline: Option<Baseline>,
    /// How much the model says of each process by itself.
    pub listing: Listing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 100,
            color: false,
            depth: None,
            all: false,
            proc: None,
            filter: None,
            max_tokens: 8000,
            now: None,
            fence: String::new(),
            redact: Redact::default(),
            baseline: None,
            listing: Listing::Full,
        }
    }
}

/// How much a model says of each process by itself: most of the work, where there are a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Nothing: what the built-in reports for people and in Markdown need.
    Nothing,
    /// Everything but its execs: what the report for models and comparisons need.
    Brief,
    /// Everything.
    Full,
}

/// What to leave out of an output, on top of what was left out at capture.
#[derive(Debug, Clone)]
pub struct Redact {
    /// Replaces secrets by fingerprints under its key.
    pub secrets: Redactor,
    /// The home directory, shown as `~`.
    pub home: Option<String>,
    /// Replace the user's name by `user`.
    pub user: bool,
    /// Replace the machine's name by `host`.
    pub host: bool,
}

/// Secrets go, under a key that nobody knows; everything else stays.
impl Default for Redact {
    fn default() -> Self {
        // Keyed by the operating system's random numbers: fingerprints of two reports cannot be compared.
        let random = RandomState::new();
        let mut key = [0; 32];
        for (number, part) in key.chunks_mut(8).enumerate() {
            let mut hasher = random.build_hasher();
            hasher.write_usize(number);
            part.copy_from_slice(&hasher.finish().to_le_bytes());
        }
        Self { secrets: Redactor::new(key), home: None, user: false, host: false }
    }
}
