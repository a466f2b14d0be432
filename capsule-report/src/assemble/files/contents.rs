//! What is known of changed files' contents, before and after, and what git would say of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};

use capsule_core::{ByteString, GitChange, GitDiff, GitWhy, SessionMetadata};

use crate::assemble::Cleaner;
use crate::model::{FileContent, FileGit, GitItem, GitOnly, GitOthers};
use crate::words;

/// How many of the files that only git shows are listed.
const LISTED: usize = 1000;
/// How much of a commit's name people read.
const SHORT: usize = 10;

/// Why git does not show files, in words that follow a number.
const REASONS: [(GitWhy, &str); 6] = [
    (GitWhy::Ignored, "ignored by git"),
    (GitWhy::Untracked, "never added"),
    (GitWhy::Unchanged, "as the commit has them"),
    (GitWhy::Gone, "gone and never added"),
    (GitWhy::Nested, "in repositories below"),
    (GitWhy::Outside, "outside the repository"),
];

/// What a session's metadata says of contents, by absolute paths.
pub(crate) struct Contents<'a> {
    metadata: &'a SessionMetadata,
    ended: HashMap<&'a [u8], &'a str>,
    compared: HashMap<Vec<u8>, (Option<&'a str>, Option<&'a str>)>,
    changes: HashMap<Vec<u8>, &'a GitChange>,
    others: HashMap<&'a [u8], GitWhy>,
    /// Paths that the session's own record speaks of.
    seen: RefCell<HashSet<Vec<u8>>>,
}

impl<'a> Contents<'a> {
    pub(crate) fn new(metadata: &'a SessionMetadata) -> Self {
        let snapshots = metadata.snapshots.iter().flat_map(|snapshots| &snapshots.ended);
        let changed = metadata.changed.iter().flat_map(|changed| &changed.ended);
        let ended = snapshots.chain(changed);
        let diff = metadata.git_diff.as_ref();
        let full = |root: &ByteString, path: &ByteString| [root.as_bytes(), b"/", path.as_bytes()].concat();
        let compared = metadata.work_tree.iter().flat_map(|tree| tree.changes.iter().map(move |change| (tree, change)));
        Self {
            metadata,
            ended: ended.filter_map(|file| Some((file.path.as_bytes(), file.state.content.as_deref()?))).collect(),
            compared: compared
                .map(|(tree, change)| {
                    (full(&tree.root, &change.path), (change.before.as_deref(), change.after.as_deref()))
                })
                .collect(),
            changes: diff
                .iter()
                .flat_map(|diff| diff.files.iter().map(|change| (full(&diff.root, &change.path), change)))
                .collect(),
            others: diff.iter().flat_map(|diff| diff.others.iter().map(|o| (o.path.as_bytes(), o.why))).collect(),
            seen: RefCell::default(),
        }
    }

    /// The session's record speaks of this path.
    pub(super) fn saw(&self, path: &[u8]) {
        if !self.changes.is_empty() {
            self.seen.borrow_mut().insert(path.to_vec());
        }
    }

    /// What is known of a file's content; `kept` is that of the first thing that was destroyed there.
    pub(crate) fn of(&self, path: &[u8], kept: Option<&str>) -> Option<FileContent> {
        let git = self.changes.get(path);
        let compared = self.compared.get(path);
        let sources = [
            ("snapshot", kept),
            ("work_tree", compared.and_then(|(before, _)| *before)),
            ("commit", git.and_then(|git| git.before.as_deref())),
        ];
        let before = sources.into_iter().find_map(|(source, hash)| Some((source, hash?)));
        let after = self.ended.get(path).copied().or_else(|| compared.and_then(|(_, after)| *after));
        let after = after.or_else(|| git.and_then(|git| git.after.as_deref()));
        (before.is_some() || after.is_some()).then(|| FileContent {
            before: before.map(|(_, hash)| hash.to_owned()),
            before_from: before.map(|(source, _)| source.to_owned()),
            after: after.map(str::to_owned),
        })
    }

    /// What git would say of a file.
    pub(crate) fn git_of(&self, path: &[u8]) -> Option<FileGit> {
        if let Some(change) = self.changes.get(path) {
            let says = if change.committed { "committed" } else { "changed" };
            return Some(FileGit { says: says.to_owned(), added: change.added, removed: change.removed });
        }
        let why = self.others.get(path)?;
        Some(FileGit { says: why.name().to_owned(), added: None, removed: None })
    }

    /// Git's view as a whole, and how it differs from the session's own.
    pub(super) fn git(&self, cleaner: &Cleaner) -> Option<GitItem> {
        let diff = self.metadata.git_diff.as_ref()?;
        let mut counts: BTreeMap<GitWhy, u64> = BTreeMap::new();
        for other in &diff.others {
            *counts.entry(other.why).or_default() += 1;
        }
        let others: Vec<GitOthers> = REASONS
            .into_iter()
            .filter_map(|(why, words)| {
                let files = *counts.get(&why)?;
                Some(GitOthers { why: why.name().to_owned(), words: words.to_owned(), files })
            })
            .collect();
        let only: Vec<GitOnly> = diff
            .files
            .iter()
            .filter(|change| !self.is_told(&[diff.root.as_bytes(), b"/", change.path.as_bytes()].concat()))
            .take(LISTED)
            .map(|change| GitOnly {
                path: cleaner.bytes(&change.path),
                why: match change.earlier {
                    true => "changed before the session began",
                    false => "by no recorded process",
                }
                .to_owned(),
            })
            .collect();
        let committed = diff.files.iter().filter(|change| change.committed).count() as u64;
        let files = (diff.files.len() as u64).saturating_add(diff.more);
        Some(GitItem {
            text: sentence(diff, files, committed, &others),
            from: diff.from.clone(),
            to: self.metadata.git_end.as_ref().and_then(|end| end.commit.clone()),
            files,
            added: diff.added,
            removed: diff.removed,
            committed,
            others,
            only,
            incomplete: diff.incomplete.clone(),
        })
    }

    /// Whether the session's record speaks of a path, or of a directory above it.
    fn is_told(&self, path: &[u8]) -> bool {
        let seen = self.seen.borrow();
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.chain([path.len()]).filter_map(|end| path.get(..end)).any(|part| seen.contains(part))
    }
}

/// One line for people.
fn sentence(diff: &GitDiff, files: u64, committed: u64, others: &[GitOthers]) -> String {
    let from = diff.from.get(..SHORT).unwrap_or(&diff.from);
    let mut text = match files {
        0 => format!("nothing differs from {from}"),
        _ => format!(
            "{} {} from {from} (+{} −{})",
            words::count(files, "file", "files"),
            if files == 1 { "differs" } else { "differ" },
            words::number(diff.added),
            words::number(diff.removed)
        ),
    };
    match committed {
        0 => {}
        _ if committed == files => text.push_str(", committed meanwhile"),
        _ => text.push_str(&format!(", {} of them committed meanwhile", words::number(committed))),
    }
    let others: Vec<String> = others.iter().map(|o| format!("{} {}", words::number(o.files), o.words)).collect();
    if !others.is_empty() {
        text.push_str(&format!("; of the files changed it does not show {}", others.join(", ")));
    }
    if let Some(why) = &diff.incomplete {
        text.push_str(&format!("; {why}"));
    }
    text
}
