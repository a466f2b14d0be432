//! What a session changed, taken back: [`plan`](plan::plan) says what would be done, [`apply`](apply::apply) does it.
//!
//! A recording with `--snapshots` has, for each change, what was there before, and what the changed files were when the session
//! ended. From the last change to the first, that gives where everything was and what it held; what differs from that now is to
//! be done. A file that is no longer as the session left it is not touched.
//!
//! Whatever an undo replaces or removes it keeps first, and logs each step in the form of a change: an undo is taken back
//! by the same code.

pub mod apply;
pub mod log;
pub mod plan;
pub mod recorded;
pub mod state;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use capsule_core::{ByteString, ChangedFiles, EffectKind, EndedFile, FileState, Snapshots};
use capsule_io::SessionReader;
use capsule_trace::Keeper;
use serde::{Deserialize, Serialize};

/// How many changed files' last states are kept.
const ENDED: usize = 20_000;
/// How many bytes are read for them.
const READ: u64 = 4 << 30;
/// How many bytes of changed files are hashed where nothing is to be undone.
const HASHED: u64 = 128 << 20;
/// Of how large a file at most.
const HASHED_EACH: u64 = 16 << 20;

/// One change of a file, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What kind of change.
    pub kind: EffectKind,
    /// Which file.
    pub path: ByteString,
    /// Its new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ByteString>,
    /// Whether two files changed their names.
    #[serde(default)]
    pub exchange: bool,
    /// What was there before: at `to` for a rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<FileState>,
}

/// A path as the operating system takes it.
pub(crate) fn path_of(bytes: &ByteString) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;

    PathBuf::from(std::ffi::OsStr::from_bytes(bytes.as_bytes()))
}

/// A path as bytes.
pub(crate) fn bytes_of(path: &Path) -> ByteString {
    use std::os::unix::ffi::OsStrExt as _;

    ByteString::new(path.as_os_str().as_bytes())
}

/// Whether a path is one that only the kernel fills, or no path.
pub(crate) fn is_no_file(path: &[u8]) -> bool {
    !path.starts_with(b"/") || [&b"/proc/"[..], b"/sys/", b"/dev/"].iter().any(|above| path.starts_with(above))
}

/// The paths that changes touched, and those that moved along with directories, under their last names too.
pub(crate) fn touched<'a>(
    changes: impl Iterator<Item = (&'a ByteString, Option<&'a ByteString>)>,
) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    for (path, to) in changes {
        if is_no_file(path.as_bytes()) {
            continue;
        }
        let path = path_of(path);
        if let Some(to) = to.filter(|to| !is_no_file(to.as_bytes())) {
            let to = path_of(to);
            let moved: Vec<PathBuf> = paths
                .range(path.clone()..)
                .take_while(|below| below.starts_with(&path))
                .filter_map(|below| below.strip_prefix(&path).ok())
                .filter(|rest| !rest.as_os_str().is_empty())
                .map(|rest| to.join(rest))
                .collect();
            paths.extend(moved.into_iter().take(ENDED));
            paths.insert(to);
        }
        paths.insert(path);
    }
    paths
}

/// What was kept, and what the files are now that the session's records say were changed.
#[must_use]
pub fn snapshots(keeper: &Keeper, session: &SessionReader) -> Snapshots {
    let kept = keeper.kept();
    // Where the records cannot be read, what the files were in the end is unknown, and an undo says so.
    let recorded = recorded::recorded(session).unwrap_or_default();
    let paths = touched(recorded.iter().map(|recorded| (&recorded.change.path, recorded.change.to.as_ref())));
    let more = paths.len().saturating_sub(ENDED) as u64;
    Snapshots {
        kept: kept.names.len() as u64,
        bytes: kept.bytes,
        not_kept: kept.not_kept,
        names: capsule_io::names_digest(kept.names.iter().map(String::as_str)),
        ended: ended(paths.into_iter().take(ENDED)),
        more,
    }
}

/// What files are now that were changed without a snapshot.
pub(crate) fn changed(paths: &[ByteString], more: u64) -> ChangedFiles {
    ChangedFiles { ended: read(paths.iter().map(path_of), HASHED, HASHED_EACH), more }
}

/// What files are now.
pub(crate) fn ended(paths: impl Iterator<Item = PathBuf>) -> Vec<EndedFile> {
    read(paths, READ, READ)
}

/// What files are now; contents of up to `each` bytes are read, `left` bytes in all.
fn read(paths: impl Iterator<Item = PathBuf>, mut left: u64, each: u64) -> Vec<EndedFile> {
    let mut walk = state::Walk::default();
    paths
        .filter_map(|path| {
            let state = walk.now(&path, left.min(each))?;
            left = left.saturating_sub(state.content.as_ref().and(state.size).unwrap_or(0));
            Some(EndedFile { path: bytes_of(&path), state })
        })
        .collect()
}
