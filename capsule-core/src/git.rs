//! Git's view of a work tree: where it stood, and what it would say has changed between two moments.

use serde::{Deserialize, Serialize};

use crate::session::TreeChangeKind;
use crate::text::ByteString;

/// The work tree's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// The commit, 40 or 64 hex digits; absent before the first one.
    pub commit: Option<String>,
    /// The branch; absent when detached.
    pub branch: Option<String>,
}

/// What differs between the commit that a session began with and the work tree that it left: `git diff --stat` of these two,
/// of the files that changed since the session began. Git itself is not run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GitDiff {
    /// The work tree's directory.
    pub root: ByteString,
    /// The commit.
    pub from: String,
    /// The files that differ, by path; the first ones.
    pub files: Vec<GitChange>,
    /// How many more differ.
    pub more: u64,
    /// Lines added in all of them.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// Why git does not show other files that the session changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<GitOther>,
    /// Why not everything was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A file that differs from the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitChange {
    /// From the work tree's directory.
    pub path: ByteString,
    /// How.
    pub change: TreeChangeKind,
    /// Lines added; absent for what is no text, or too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    /// Lines removed; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// Whether the last commit has it as it is now: `git diff` alone would not show it any more.
    #[serde(default)]
    pub committed: bool,
    /// Whether its content was last changed before the session began.
    #[serde(default)]
    pub earlier: bool,
    /// BLAKE3 of its content in the commit, 64 hex digits; absent where there is none, or too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// BLAKE3 of its content in the work tree; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A file that the session changed and that git does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitOther {
    /// Its absolute path.
    pub path: ByteString,
    /// Why.
    pub why: GitWhy,
}

/// Why git does not show a changed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GitWhy {
    /// It is not in the work tree.
    Outside,
    /// It is in a submodule or another repository below.
    Nested,
    /// A rule says to ignore it.
    Ignored,
    /// It was never added.
    Untracked,
    /// Its content is what the commit has.
    Unchanged,
    /// It is gone and the commit does not have it either.
    Gone,
}

impl GitWhy {
    /// The name in metadata and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Nested => "nested",
            Self::Ignored => "ignored",
            Self::Untracked => "untracked",
            Self::Unchanged => "unchanged",
            Self::Gone => "gone",
        }
    }
}
