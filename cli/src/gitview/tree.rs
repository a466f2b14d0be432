//! The files of a commit, read from the object store. Everything is bounded: whoever made the repository may mean harm.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use gix_hash::ObjectId;
use gix_object::FindExt as _;
use gix_odb::store::init::Options;

/// How many files, and how many directories, of a commit are looked at.
const ENTRIES: usize = 200_000;
/// The longest path.
const PATH: usize = 4096;
/// How much memory one object may want.
const OBJECT: usize = 64 << 20;

/// A file of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) id: ObjectId,
    pub(super) kind: Kind,
}

/// The kind of a tracked file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Executable,
    Link,
    /// A commit of another repository.
    Submodule,
}

/// The files of a commit by their paths, and why some are missing.
pub(super) type Files = (BTreeMap<Vec<u8>, Tracked>, Option<&'static str>);

/// An object store.
pub(super) struct Objects {
    store: gix_odb::Handle,
}

impl Objects {
    /// Opens the store of a repository that names objects as `commit` is named.
    pub(super) fn open(common: &Path, commit: &ObjectId) -> Option<Self> {
        let options = Options { alloc_limit_bytes: Some(OBJECT), ..Options::default() };
        gix_odb::at_opts(common.join("objects"), commit.kind(), None, options).ok().map(|store| Self { store })
    }

    /// The files of a commit; `None` where there is no such commit.
    pub(super) fn files(&self, commit: &ObjectId, until: Instant) -> Option<Files> {
        let mut buffer = Vec::new();
        let root = self.store.find_commit_iter(commit, &mut buffer).ok()?.tree_id().ok()?;
        let mut files = BTreeMap::new();
        let mut todo = vec![(Vec::new(), root)];
        let (mut seen, mut missing) = (0_usize, None);
        while let Some((above, id)) = todo.pop() {
            let Ok(tree) = self.store.find_tree_iter(&id, &mut buffer) else {
                missing = Some("some of the commit's directories cannot be read");
                continue;
            };
            for entry in tree.flatten() {
                seen = seen.saturating_add(1);
                if seen > ENTRIES || Instant::now() > until {
                    return Some((files, Some("the commit has too many files to look at all of them")));
                }
                let path = if above.is_empty() { entry.filename.to_vec() } else { join(&above, entry.filename) };
                if path.len() > PATH || !is_name(entry.filename) {
                    continue;
                }
                let kind = match () {
                    () if entry.mode.is_tree() => {
                        todo.push((path, entry.oid.to_owned()));
                        continue;
                    }
                    () if entry.mode.is_commit() => Kind::Submodule,
                    () if entry.mode.is_link() => Kind::Link,
                    () if entry.mode.is_executable() => Kind::Executable,
                    () => Kind::File,
                };
                files.insert(path, Tracked { id: entry.oid.to_owned(), kind });
            }
        }
        Some((files, missing))
    }

    /// The content of a file, where it has at most `largest` bytes.
    pub(super) fn content(&self, id: &ObjectId, largest: usize) -> Option<Vec<u8>> {
        let mut buffer = Vec::new();
        let content = self.store.find_blob(id, &mut buffer).ok()?.data;
        (content.len() <= largest).then(|| content.to_vec())
    }
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    [above, b"/", name].concat()
}

/// Names that git itself refuses lead elsewhere.
fn is_name(name: &[u8]) -> bool {
    !(name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.eq_ignore_ascii_case(b".git"))
}
