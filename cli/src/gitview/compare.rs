//! Compares a commit with a work tree: the files of the commit that were touched since the session began, and those that the
//! session says it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capsule_core::{ByteString, GitChange, GitDiff, GitOther, GitWhy, Timestamp, TreeChangeKind};
use gix_hash::ObjectId;
use imara_diff::{Algorithm, Diff, InternedInput};

use super::Question;
use super::ignored::Ignored;
use super::tree::{Kind, Objects, Tracked};
use crate::undo::state;
use crate::undo::{bytes_of, path_of};

/// How long it may take.
const TIME: Duration = Duration::from_millis(2000);
/// The largest file that is read.
const LARGE: usize = 8 << 20;
/// The largest file whose lines are counted.
const LINES: usize = 1 << 20;
/// How far git looks for a NUL that says that a file is no text.
const TEXT: usize = 8000;
/// How many bytes are read in all.
const BYTES: usize = 256 << 20;
/// How many files that differ are listed, and how many others are explained.
const FILES: usize = 5000;
/// The clock of a file system is coarser than the system's.
const SLACK: u64 = 1_000_000_000;

/// A file of the work tree.
#[derive(Debug)]
struct Found {
    kind: Kind,
    /// Absent where it is too large, or cannot be read.
    content: Option<Vec<u8>>,
    modified: u64,
}

struct Compare<'a> {
    question: &'a Question,
    root: PathBuf,
    objects: Objects,
    from: BTreeMap<Vec<u8>, Tracked>,
    to: BTreeMap<Vec<u8>, Tracked>,
    until: Instant,
    left: usize,
    diff: GitDiff,
}

/// The answer; `None` where there is no such repository, or no such commit in it.
pub(super) fn compare(question: &Question) -> Option<GitDiff> {
    let until = Instant::now() + TIME;
    let repository = capsule_enrich::repository(&path_of(&question.directory))?;
    let root = repository.work_tree.canonicalize().ok()?;
    let commit = ObjectId::from_hex(question.from.as_bytes()).ok()?;
    let objects = Objects::open(&repository.common, &commit)?;
    let (from, mut incomplete) = objects.files(&commit, until)?;
    let last = question.to.as_ref().filter(|to| **to != question.from);
    let to = match last.and_then(|to| objects.files(&ObjectId::from_hex(to.as_bytes()).ok()?, until)) {
        Some((files, why)) => {
            incomplete = incomplete.or(why);
            files
        }
        None => from.clone(),
    };
    let diff = GitDiff {
        root: bytes_of(&root),
        from: question.from.clone(),
        incomplete: incomplete.map(str::to_owned),
        ..GitDiff::default()
    };
    let mut compare = Compare { question, root, objects, from, to, until, left: BYTES, diff };
    let differing = compare.tracked();
    compare.others(&differing, &repository.common);
    Some(compare.diff)
}

impl Compare<'_> {
    /// The tracked files that differ.
    fn tracked(&mut self) -> BTreeSet<Vec<u8>> {
        let paths: BTreeSet<Vec<u8>> = self.from.keys().chain(self.to.keys()).cloned().collect();
        let mut differing = BTreeSet::new();
        for path in paths {
            if Instant::now() > self.until || self.left == 0 {
                self.diff.incomplete = Some("there was too much to compare".to_owned());
                break;
            }
            let Some(change) = self.change(&path) else { continue };
            self.diff.added = self.diff.added.saturating_add(change.added.unwrap_or(0));
            self.diff.removed = self.diff.removed.saturating_add(change.removed.unwrap_or(0));
            if self.diff.files.len() < FILES {
                self.diff.files.push(change);
            } else {
                self.diff.more = self.diff.more.saturating_add(1);
            }
            differing.insert(path);
        }
        differing
    }

    fn change(&mut self, path: &[u8]) -> Option<GitChange> {
        let (from, to) = (self.from.get(path).copied(), self.to.get(path).copied());
        if [from, to].iter().flatten().any(|tracked| tracked.kind == Kind::Submodule) {
            return None;
        }
        let full = self.root.join(OsStr::from_bytes(path));
        let metadata = full.symlink_metadata().ok();
        let touched = metadata.as_ref().is_none_or(|is| nanoseconds(is.ctime(), is.ctime_nsec()) >= self.since());
        if from == to && !touched {
            return None;
        }
        let now = self.found(&full);
        let before = from.and_then(|from| self.objects.content(&from.id, LARGE));
        let same = |tracked: Option<Tracked>, content: Option<&[u8]>| match (tracked, &now) {
            (None, None) => true,
            (Some(tracked), Some(now)) => tracked.kind == now.kind && same_content(tracked.id, content, now),
            _ => false,
        };
        if same(from, before.as_deref()) {
            return None;
        }
        let committed = self.question.to.is_some() && same(to, None) && from != to;
        let change = match (from, &now) {
            (None, _) => TreeChangeKind::Created,
            (_, None) => TreeChangeKind::Deleted,
            (Some(from), Some(now)) if same_content(from.id, before.as_deref(), now) => TreeChangeKind::Mode,
            _ => TreeChangeKind::Written,
        };
        // A file that is not there has no lines; one that was not read may have any.
        let known = |there: bool, content: Option<&Vec<u8>>| match (there, content) {
            (false, _) => Some(Vec::new()),
            (true, content) => content.cloned(),
        };
        let contents = known(from.is_some(), before.as_ref())
            .zip(known(now.is_some(), now.as_ref().and_then(|now| now.content.as_ref())));
        let counts = contents.and_then(|(before, after)| lines(&before, &after));
        let hash = |content: Option<&Vec<u8>>| content.map(|content| blake3::hash(content).to_hex().to_string());
        Some(GitChange {
            path: ByteString::new(path),
            change,
            added: counts.map(|(added, _)| added),
            removed: counts.map(|(_, removed)| removed),
            committed,
            earlier: now.as_ref().is_some_and(|now| now.modified < self.question.started.0),
            before: hash(before.as_ref()),
            after: hash(now.as_ref().and_then(|now| now.content.as_ref())),
        })
    }

    /// Files touched before this moment are as they were.
    const fn since(&self) -> u64 {
        self.question.started.0.saturating_sub(SLACK)
    }

    /// What is at a path now, reached without a symbolic link.
    fn found(&mut self, path: &Path) -> Option<Found> {
        let place = state::place(path).ok()?;
        let is = state::at(&place, 0)?;
        let metadata = path.symlink_metadata().ok()?;
        let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        match is.kind {
            capsule_core::FileKind::Link => {
                Some(Found { kind: Kind::Link, content: is.target.map(|target| target.as_bytes().to_vec()), modified })
            }
            capsule_core::FileKind::File => {
                let kind = if is.mode.unwrap_or(0) & 0o100 != 0 { Kind::Executable } else { Kind::File };
                let most = LARGE.min(self.left);
                let mut content = Vec::new();
                let read = state::open(&place)
                    .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut content))
                    .is_ok_and(|_| content.len() <= most);
                self.left = self.left.saturating_sub(content.len());
                Some(Found { kind, content: read.then_some(content), modified })
            }
            _ => None,
        }
    }

    /// Why git does not show the other files that the session changed.
    fn others(&mut self, differing: &BTreeSet<Vec<u8>>, common: &Path) {
        let mut ignored = Ignored::new(&self.root, common);
        let prefix = [self.diff.root.as_bytes(), b"/"].concat();
        for path in &self.question.changed {
            if self.diff.others.len() >= FILES || Instant::now() > self.until {
                break;
            }
            let Some(inside) = path.as_bytes().strip_prefix(prefix.as_slice()) else {
                self.diff.others.push(GitOther { path: path.clone(), why: GitWhy::Outside });
                continue;
            };
            let inside = inside.strip_suffix(b"/").unwrap_or(inside);
            if differing.contains(inside) {
                continue;
            }
            let metadata = path_of(path).symlink_metadata().ok();
            let directory = metadata.as_ref().is_some_and(std::fs::Metadata::is_dir);
            let why = match () {
                () if self.from.contains_key(inside) || self.to.contains_key(inside) => GitWhy::Unchanged,
                () if self.is_nested(inside) => GitWhy::Nested,
                () if ignored.is(inside, directory) => GitWhy::Ignored,
                () if metadata.is_none() => GitWhy::Gone,
                () => GitWhy::Untracked,
            };
            self.diff.others.push(GitOther { path: path.clone(), why });
        }
    }

    /// Whether a path is below a submodule, or a directory with a repository of its own.
    fn is_nested(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).any(|above| {
            let tracked = self.from.get(above.as_os_str().as_bytes());
            tracked.is_some_and(|tracked| tracked.kind == Kind::Submodule)
                || self.root.join(above).join(".git").symlink_metadata().is_ok()
        })
    }
}

/// Whether a file has the content of an object; line ends alone, which git may translate, make no difference.
fn same_content(id: ObjectId, known: Option<&[u8]>, now: &Found) -> bool {
    let Some(content) = &now.content else { return false };
    let is = |content: &[u8]| {
        gix_object::compute_hash(id.kind(), gix_object::Kind::Blob, content).is_ok_and(|found| found == id)
    };
    known == Some(content) || is(content) || content.contains(&b'\r') && is(&without_returns(content))
}

fn without_returns(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(content.len());
    for (at, byte) in content.iter().enumerate() {
        if *byte != b'\r' || content.get(at + 1) != Some(&b'\n') {
            plain.push(*byte);
        }
    }
    plain
}

/// Lines added and removed; nothing for what is no text.
fn lines(before: &[u8], after: &[u8]) -> Option<(u64, u64)> {
    let is_text = |content: &[u8]| {
        content.len() <= LINES && !content.get(..TEXT.min(content.len())).unwrap_or_default().contains(&0)
    };
    if !is_text(before) || !is_text(after) {
        return None;
    }
    let sides = (imara_diff::sources::byte_lines(before), imara_diff::sources::byte_lines(after));
    let diff = Diff::compute(Algorithm::Myers, &InternedInput::new(sides.0, sides.1));
    Some((u64::from(diff.count_additions()), u64::from(diff.count_removals())))
}

fn nanoseconds(seconds: i64, more: i64) -> u64 {
    let (seconds, more) = (u64::try_from(seconds).unwrap_or(0), u64::try_from(more).unwrap_or(0));
    Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(more)).0
}
