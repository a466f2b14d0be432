//! The state of a work tree, read from git's own files: no subprocess, nothing that could run a hook or change an index.
//!
//! Formats are those of `gitrepository-layout(5)`: `HEAD`, loose refs, `packed-refs`, and the `gitdir:` files of worktrees
//! and submodules.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use capsule_core::GitState;

/// Refs are short; `packed-refs` of the largest repositories is some megabytes.
const LIMIT: u64 = 64 << 20;

/// How many directories upwards a repository is looked for.
const LEVELS: usize = 64;

/// Where the files of a repository are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The directory whose files it keeps.
    pub work_tree: PathBuf,
    /// What belongs to all of its work trees: `objects`, `info`.
    pub common: PathBuf,
}

/// The repository whose work tree `directory` is in.
#[must_use]
pub fn repository(directory: &Path) -> Option<Repository> {
    let found = directory.ancestors().take(LEVELS).find_map(|at| Some((at, git_directory(at)?)));
    found.map(|(at, git)| Repository { work_tree: at.to_owned(), common: common_directory(&git) })
}

/// The commit and branch of the work tree that `directory` is in, or `None` where it is in none.
#[must_use]
pub fn git_state(directory: &Path) -> Option<GitState> {
    let git = directory.ancestors().take(LEVELS).find_map(git_directory)?;
    let head = read(&git.join("HEAD"))?;
    let head = head.trim_end();
    let Some(reference) = head.strip_prefix("ref: ") else {
        return Some(GitState { commit: hash(head), branch: None });
    };
    if reference.split('/').any(|part| part == ".." || part.is_empty()) {
        return None;
    }
    let common = common_directory(&git);
    let commit = [&git, &common]
        .into_iter()
        .find_map(|directory| hash(read(&directory.join(reference))?.trim_end()))
        .or_else(|| packed(&common, reference));
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
    Some(GitState { commit, branch: Some(branch.to_owned()) })
}

/// The repository that has its work tree at `directory`: `.git` itself, or what a `.git` file names.
fn git_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    let kind = std::fs::metadata(&git).ok()?;
    if kind.is_dir() {
        return git.join("HEAD").exists().then_some(git);
    }
    let text = read(&git)?;
    let named = text.trim_end().strip_prefix("gitdir: ")?;
    let path = directory.join(named);
    path.join("HEAD").exists().then_some(path)
}

/// Where a worktree's branches are: its repository's own directory.
fn common_directory(git: &Path) -> PathBuf {
    match read(&git.join("commondir")) {
        Some(text) => git.join(text.trim_end()),
        None => git.to_owned(),
    }
}

fn packed(common: &Path, reference: &str) -> Option<String> {
    let text = read(&common.join("packed-refs"))?;
    text.lines().find_map(|line| match line.split_once(' ') {
        Some((commit, name)) if name == reference => hash(commit),
        _ => None,
    })
}

/// A commit's name, where `text` is one.
fn hash(text: &str) -> Option<String> {
    let fits = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| text.to_owned())
}

/// A small text file; `None` where it is not there, not a file, too large or not UTF-8.
fn read(path: &Path) -> Option<String> {
    let kind = std::fs::metadata(path).ok()?;
    if !kind.is_file() || kind.len() > LIMIT {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn state(root: &Path) -> Option<(Option<String>, Option<String>)> {
        git_state(root).map(|state| (state.commit, state.branch))
    }

    #[test]
    fn a_branch_is_followed_from_below() {
        let root = repository(&[
            (".git/HEAD", "ref: refs/heads/feature/x\n"),
            (".git/refs/heads/feature/x", &format!("{COMMIT}\n")),
            ("deep/er/file", ""),
        ]);
        let expect = Some((Some(COMMIT.to_owned()), Some("feature/x".to_owned())));
        assert_eq!(state(&root.path().join("deep/er")), expect);
    }

    #[test]
    fn packed_detached_and_unborn_heads() {
        let packed = repository(&[
            (".git/HEAD", "ref: refs/heads/main\n"),
            (".git/packed-refs", &format!("# pack-refs with: peeled\n{COMMIT} refs/heads/main\n")),
        ]);
        assert_eq!(state(packed.path()), Some((Some(COMMIT.to_owned()), Some("main".to_owned()))));
        let detached = repository(&[(".git/HEAD", &format!("{COMMIT}\n"))]);
        assert_eq!(state(detached.path()), Some((Some(COMMIT.to_owned()), None)));
        let unborn = repository(&[(".git/HEAD", "ref: refs/heads/main\n")]);
        assert_eq!(state(unborn.path()), Some((None, Some("main".to_owned()))));
    }

    #[test]
    fn a_worktree_finds_its_branch_in_the_repository() {
        let root = repository(&[
            ("main/.git/HEAD", "ref: refs/heads/main\n"),
            ("main/.git/refs/heads/side", &format!("{COMMIT}\n")),
            ("main/.git/worktrees/side/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/side/commondir", "../..\n"),
            ("side/.git", "gitdir: ../main/.git/worktrees/side\n"),
        ]);
        assert_eq!(state(&root.path().join("side")), Some((Some(COMMIT.to_owned()), Some("side".to_owned()))));
    }

    #[test]
    fn hostile_files_are_no_repository() {
        let outside = repository(&[(".git/HEAD", "ref: ../../../etc/passwd\n")]);
        assert_eq!(state(outside.path()), None);
        let noise = repository(&[(".git/HEAD", "\u{1b}[2J not a hash\n")]);
        assert_eq!(state(noise.path()), Some((None, None)));
        let fifo = repository(&[(".git", "gitdir: /dev/zero\n")]);
        assert_eq!(state(fifo.path()), None);
    }
}
