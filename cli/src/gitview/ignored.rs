//! Which files git ignores: the rules of a work tree (`.gitignore` of each directory, `info/exclude`), asked for single
//! files. The user's own global rules are not asked: the other process has no home.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The largest file of rules that is read.
const RULES: u64 = 1 << 20;

/// A work tree's rules, read as they are asked for.
pub(super) struct Ignored {
    root: PathBuf,
    exclude: PathBuf,
    read: HashMap<PathBuf, Gitignore>,
}

impl Ignored {
    pub(super) fn new(root: &Path, common: &Path) -> Self {
        Self { root: root.to_owned(), exclude: common.join("info/exclude"), read: HashMap::new() }
    }

    /// Whether a file is ignored, by its path from the root: itself, or a directory that it is in.
    pub(super) fn is(&mut self, path: &[u8], directory: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        let mut parts: Vec<(&Path, bool)> = above.map(|above| (above, true)).collect();
        parts.reverse();
        parts.push((path, directory));
        // What is in an ignored directory is ignored, whatever its own rules say.
        parts.into_iter().any(|(part, directory)| self.one(part, directory))
    }

    /// Whether rules say so of this path itself: the nearest directory's that say anything.
    fn one(&mut self, path: &Path, directory: bool) -> bool {
        for above in path.ancestors().skip(1) {
            match self.rules(above).matched(path.strip_prefix(above).unwrap_or(path), directory) {
                ignore::Match::None => {}
                ignore::Match::Ignore(_) => return true,
                ignore::Match::Whitelist(_) => return false,
            }
        }
        false
    }

    fn rules(&mut self, directory: &Path) -> &Gitignore {
        let (root, exclude) = (&self.root, &self.exclude);
        self.read.entry(directory.to_owned()).or_insert_with(|| {
            // Paths are asked for from their directory, so the rules need none.
            let mut rules = GitignoreBuilder::new("");
            let files = directory.as_os_str().is_empty().then_some(exclude.clone());
            for file in files.into_iter().chain([root.join(directory).join(".gitignore")]) {
                let small = std::fs::symlink_metadata(&file).is_ok_and(|is| is.is_file() && is.len() <= RULES);
                if small {
                    // A line that is no rule is skipped, as git does.
                    drop(rules.add(file));
                }
            }
            rules.build().unwrap_or_else(|_bad| Gitignore::empty())
        })
    }
}
