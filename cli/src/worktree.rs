//! Which files of the work tree changed, where no tracer sees it: the directory's files are listed before the command and
//! again after it. Says what changed, not who did it; [`Steps`] says after which command it was found.
//!
//! Bounded in files, bytes and time. What git ignores, version control's own files and installed packages are left out. Contents are hashed
//! beside the running command: a hash counts only where the file is still as it was listed.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capsule_core::{ByteString, TreeChange, TreeChangeKind, WorkTree};
use ignore::WalkBuilder;
use nix::fcntl::OFlag;

use crate::platform;

mod steps;

pub use steps::{Ended, Steps};

/// How many files are listed.
const FILES: usize = 50_000;
/// How long listing may take before the command starts.
const TIME: Duration = Duration::from_millis(400);
/// The largest file whose content is hashed.
const LARGE: u64 = 4 << 20;
/// How many bytes are hashed in all.
const BYTES: u64 = 128 << 20;
/// How many changes are kept.
const CHANGES: usize = 5_000;
/// The bits of a mode that are the kind of file, and those of a regular one (inode(7); the same on every Unix).
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
/// Never looked into, whatever git says.
const LEFT_OUT: [&str; 8] = [".git", ".hg", ".jj", ".svn", "node_modules", "__pycache__", ".venv", "target"];

/// A file as it was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Files by their paths from the root.
pub type Listing = BTreeMap<PathBuf, Seen>;
type Hashes = BTreeMap<PathBuf, String>;

/// A work tree as it was before the command.
#[derive(Debug)]
pub struct Before {
    root: PathBuf,
    own: PathBuf,
    listing: Arc<Listing>,
    incomplete: Option<String>,
    stop: Arc<AtomicBool>,
    hashing: Option<JoinHandle<Hashes>>,
}

impl Before {
    /// Lists the files below `root`, without those below `own`, where Capsule itself writes. `None` for the root of the file system and where nothing can be listed.
    #[must_use]
    pub fn take(root: &Path, own: &Path) -> Option<Self> {
        let root = root.canonicalize().ok().filter(|root| root.parent().is_some())?;
        let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
        let (listing, incomplete) = list(&root, &own);
        let (listing, stop) = (Arc::new(listing), Arc::new(AtomicBool::new(false)));
        let (for_thread, at, stopped) = (Arc::clone(&listing), root.clone(), Arc::clone(&stop));
        let hashing = std::thread::Builder::new()
            .name("capsule-worktree".to_owned())
            .spawn(move || {
                platform::give_way();
                hash_all(&at, &for_thread, &stopped)
            })
            .ok();
        Some(Self { root, own, listing, incomplete, stop, hashing })
    }

    /// Begins to look after each command that ends, where the user may have one more thread.
    #[must_use]
    pub fn steps(&self) -> Option<(Steps, Ended)> {
        let list = {
            let (root, own) = (self.root.clone(), self.own.clone());
            move || list(&root, &own).0
        };
        steps::start(Arc::clone(&self.listing), list)
    }

    /// Lists them again and says what is different, and how they are listed now.
    #[must_use]
    pub fn compare(mut self) -> (WorkTree, Listing) {
        self.stop.store(true, Ordering::Relaxed);
        let hashes = self.hashing.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let (after, incomplete) = list(&self.root, &self.own);
        let mut changes = Vec::new();
        let mut more = 0_u64;
        let mut told = |change: TreeChange| if changes.len() < CHANGES { changes.push(change) } else { more += 1 };
        for (path, now) in &after {
            let before = self.listing.get(path);
            if before == Some(now) {
                continue;
            }
            let hash_before = hashes.get(path).cloned();
            let hash_after = hash(&self.root.join(path), now);
            let same_content = hash_before.is_some() && hash_before == hash_after;
            let kind = match before {
                // What was not listed before may have been there all the same.
                None if self.incomplete.is_some() => continue,
                None => TreeChangeKind::Created,
                Some(before) if same_content && before.mode == now.mode => continue,
                Some(_) if same_content => TreeChangeKind::Mode,
                // Only its names, owner or times changed.
                Some(before) if before.modified == now.modified && before.size == now.size => {
                    if before.mode == now.mode && before.inode == now.inode {
                        continue;
                    }
                    TreeChangeKind::Mode
                }
                Some(_) => TreeChangeKind::Written,
            };
            told(change(path, kind, hash_before, hash_after, Some(now.size)));
        }
        for path in self.listing.keys().filter(|path| !after.contains_key(*path)) {
            if incomplete.is_some() && self.root.join(path).symlink_metadata().is_ok() {
                continue;
            }
            told(change(path, TreeChangeKind::Deleted, hashes.get(path).cloned(), None, None));
        }
        let tree = WorkTree {
            root: ByteString::new(self.root.as_os_str().as_bytes()),
            files: self.listing.len() as u64,
            incomplete: self.incomplete.take().or(incomplete),
            changes,
            more,
        };
        (tree, after)
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn change(
    path: &Path,
    kind: TreeChangeKind,
    before: Option<String>,
    after: Option<String>,
    size: Option<u64>,
) -> TreeChange {
    let path = ByteString::new(path.as_os_str().as_bytes());
    TreeChange { path, change: kind, before, after, size, procs: Vec::new() }
}

/// Files below `root` by their relative paths, and why some are missing.
fn list(root: &Path, own: &Path) -> (Listing, Option<String>) {
    let begun = Instant::now();
    let mut found = Listing::new();
    let own = own.to_owned();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .same_file_system(true)
        .follow_links(false)
        .filter_entry(move |entry| {
            let left_out = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
            entry.depth() == 0 || !(left_out || entry.path() == own)
        })
        .build();
    for entry in walk.flatten() {
        if found.len() >= FILES {
            return (found, Some(format!("only the first {FILES} files were listed")));
        }
        if begun.elapsed() > TIME {
            let listed = found.len();
            return (found, Some(format!("listing took too long: only {listed} files were listed")));
        }
        let Some(metadata) = entry.metadata().ok().filter(|metadata| !metadata.is_dir()) else { continue };
        if let Ok(path) = entry.path().strip_prefix(root) {
            found.insert(path.to_owned(), Seen::of(&metadata));
        }
    }
    (found, None)
}

fn hash_all(root: &Path, listing: &Listing, stop: &AtomicBool) -> Hashes {
    let mut left = BYTES;
    let mut hashes = Hashes::new();
    for (path, seen) in listing {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if seen.size <= left
            && let Some(hash) = hash(&root.join(path), seen)
        {
            left -= seen.size;
            hashes.insert(path.clone(), hash);
        }
    }
    hashes
}

/// BLAKE3 of a regular file's content, where it was as listed before and after it was read.
fn hash(path: &Path, seen: &Seen) -> Option<String> {
    if seen.size > LARGE || seen.mode & FILE_TYPE != REGULAR {
        return None;
    }
    let flags = OFlag::O_NOFOLLOW.bits() | OFlag::O_NONBLOCK.bits();
    let open = |flags| File::options().read(true).custom_flags(flags).open(path);
    // Leaving the time of access alone is for a file's owner only.
    let mut file = open(flags | platform::NO_ATIME).or_else(|_| open(flags)).ok()?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut file.by_ref().take(LARGE), &mut hasher).ok()?;
    let unchanged = Seen::of(&file.metadata().ok()?) == *seen;
    unchanged.then(|| hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::fs;

    use super::*;

    fn told(tree: &WorkTree) -> Vec<String> {
        let mut all: Vec<String> =
            tree.changes.iter().map(|c| format!("{} {}", c.change.name(), c.path.to_lossy())).collect();
        all.sort();
        all
    }

    #[test]
    fn what_changed_is_told_and_what_only_was_touched_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["kept", "touched", "written", "gone", "mode"] {
            fs::write(at(name), name).unwrap();
        }
        fs::write(at(".gitignore"), "ignored\n").unwrap();
        fs::create_dir(at("node_modules")).unwrap();
        fs::create_dir(at("own")).unwrap();
        let mut before = Before::take(dir.path(), &at("own")).unwrap();
        // What is hashed is what was there: wait for that.
        let hashes = before.hashing.take().unwrap().join().unwrap();
        assert_eq!(hashes.len(), 6);
        before.hashing = Some(std::thread::spawn(move || hashes));
        fs::write(at("touched"), "touched").unwrap();
        fs::write(at("written"), "other").unwrap();
        fs::write(at("made"), "new").unwrap();
        fs::write(at("ignored"), "new").unwrap();
        fs::write(at("node_modules/x"), "new").unwrap();
        fs::write(at("own/x"), "new").unwrap();
        fs::remove_file(at("gone")).unwrap();
        let mut rights = fs::metadata(at("mode")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o600);
        fs::set_permissions(at("mode"), rights).unwrap();
        let (tree, _) = before.compare();
        assert_eq!(told(&tree), ["created made", "deleted gone", "mode mode", "written written"]);
        let written = tree.changes.iter().find(|c| c.path.as_bytes() == b"written").unwrap();
        assert_eq!(written.before.as_deref(), Some(&*blake3::hash(b"written").to_hex()));
        assert_eq!(written.after.as_deref(), Some(&*blake3::hash(b"other").to_hex()));
        assert_eq!(tree.incomplete, None);
    }

    #[test]
    fn a_link_swapped_in_for_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let seen = Seen::of(&fs::symlink_metadata(&file).unwrap());
        assert!(hash(&file, &seen).is_some());
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        assert_eq!(hash(&file, &seen), None);
    }
}
