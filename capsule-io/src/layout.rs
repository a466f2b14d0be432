//! Every name on disk, in one place.
//!
//! ```text
//! $CAPSULE_HOME or ~/.capsule/      0700
//! ├── ledger.jsonl                  0600  the chained ledger of sessions
//! └── runs/                         0700
//!     └── 2024-01-15T14:30:00Z-abc123/   0700
//!         ├── metadata.json         0600  unsealed while incomplete; sealed by its last field
//!         ├── raw.jsonl … actions.jsonl   chained streams
//!         ├── tree.json                   the labelled tree
//!         ├── before/                     0700, contents by their BLAKE3, with --snapshots only
//!         ├── seals.jsonl                 keyed seals, with --key only
//!         ├── statement.dsse.json         signed statement, with --sign only
//!         └── lock                        held (flock) by the recorder while it runs
//! ```

use std::path::PathBuf;

use capsule_core::StreamName;

use crate::error::StoreError;

/// The directory of sessions below the home.
pub const RUNS: &str = "runs";
/// The ledger of sessions below the home.
pub const LEDGER: &str = "ledger.jsonl";
/// A session's own account.
pub const METADATA: &str = "metadata.json";
/// A session's labelled tree.
pub const TREE: &str = "tree.json";
/// The directory of contents that were kept, each named by its BLAKE3.
pub const BEFORE: &str = "before";
/// The keyed seals of a session, where it has any.
pub const SEALS: &str = "seals.jsonl";
/// The signed statement about a session, where there is one.
pub const STATEMENT: &str = "statement.dsse.json";
/// Held by the recorder while it runs.
pub const LOCK: &str = "lock";
/// How the names of files that are being written begin; the rest is random.
pub const PENDING: &str = ".pending-";

/// The file of a stream.
#[must_use]
pub const fn stream_file(stream: StreamName) -> &'static str {
    match stream {
        StreamName::Raw => "raw.jsonl",
        StreamName::Events => "events.jsonl",
        StreamName::Enriched => "enriched.jsonl",
        StreamName::Risks => "risks.jsonl",
        StreamName::Actions => "actions.jsonl",
    }
}

/// The home: `$CAPSULE_HOME`, else `.capsule` in `$HOME`, else in the home directory of the user database.
///
/// # Errors
/// When none of the three is known.
pub fn default_home() -> Result<PathBuf, StoreError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(home) = set("CAPSULE_HOME") {
        return std::path::absolute(&home).map_err(|source| StoreError::io("find", &home, source));
    }
    let user_home = set("HOME").or_else(|| {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten()?;
        Some(user.dir)
    });
    user_home.filter(|home| home.is_absolute()).map(|home| home.join(".capsule")).ok_or(StoreError::NoHome)
}
