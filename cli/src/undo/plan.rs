//! What would have to be done so that changes had not happened.
//!
//! Changes are gone through from the last to the first, on a picture of the paths that they touched: a rename puts what is at
//! the new name back under the old one, every other change puts back what was there before it. What the picture says in the end and
//! the file system does not is to be done.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use capsule_core::{EffectKind, EndedFile, FileKind, FileState};

use super::state::{self, equal, same};
use super::{Change, bytes_of, is_no_file, path_of};

/// What should be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    /// What is at this path now.
    Now(PathBuf),
    /// This.
    State(FileState),
    /// It is not known.
    Unknown(String),
}

/// What should be at a path, and its permissions where those were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    what: Want,
    mode: Option<FileState>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give a file or directory its old name back.
    Rename {
        /// Its name now.
        from: PathBuf,
        /// Its old name.
        to: PathBuf,
    },
    /// Remove a file, or a directory that is empty by then.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// Make a directory.
    Directory {
        /// Which.
        path: PathBuf,
        /// What it was.
        state: FileState,
    },
    /// Put a file or link back.
    Restore {
        /// Which.
        path: PathBuf,
        /// What it was.
        state: FileState,
    },
    /// Give permissions and owner back.
    Mode {
        /// To which file.
        path: PathBuf,
        /// What they were.
        state: FileState,
    },
}

/// A path that is left alone, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps, in their order.
    pub steps: Vec<Step>,
    /// What is left alone.
    pub refused: Vec<Refused>,
}

/// What of the changes is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Only this path and what is below it.
    pub only: Option<PathBuf>,
    /// Paths that others changed afterwards: they are left alone.
    pub foreign: BTreeSet<PathBuf>,
    /// Whether files that are different by now are changed all the same.
    pub force: bool,
}

/// The paths that changes touched, as they should be.
#[derive(Debug, Default)]
struct Picture {
    paths: BTreeMap<PathBuf, Wanted>,
    /// What was made below a directory in whose place another one comes back.
    cleared: Vec<PathBuf>,
}

/// What to do so that `changes`, in their order, had not happened. `ended` is what the files were after the last of them.
#[must_use]
pub fn plan(changes: &[Change], ended: &[EndedFile], choice: &Choice) -> Plan {
    let mut picture = Picture::default();
    for change in changes.iter().rev().filter(|change| !is_no_file(change.path.as_bytes())) {
        picture.take_back(change);
    }
    let ended = ended.iter().map(|file| (path_of(&file.path), &file.state)).collect();
    picture.into_plan(&ended, choice)
}

impl Picture {
    fn take_back(&mut self, change: &Change) {
        let path = path_of(&change.path);
        let before = match &change.before {
            Some(state) => match &state.not_kept {
                Some(why) => Want::Unknown(format!("what was there was not kept: {why}")),
                None => Want::State(state.clone()),
            },
            None => Want::Unknown("what was there before is not recorded".to_owned()),
        };
        match (change.kind, &change.to) {
            (EffectKind::FileRename, Some(to)) => {
                let to = path_of(to);
                if change.exchange {
                    let (one, other) = (self.take(&path), self.take(&to));
                    self.put(&to, one);
                    self.put(&path, other);
                } else {
                    let moved = self.take(&to);
                    self.put(&path, moved);
                    self.paths.insert(to, Wanted { what: before, mode: None });
                }
            }
            (EffectKind::FileMode, _) => {
                let Some(state) = change.before.clone() else { return };
                let now = self.physical(&path);
                let wanted = self.paths.entry(path).or_insert(Wanted { what: Want::Now(now), mode: None });
                match &mut wanted.what {
                    Want::State(wanted) => (wanted.mode, wanted.uid, wanted.gid) = (state.mode, state.uid, state.gid),
                    _ => wanted.mode = Some(state),
                }
            }
            // A link to a file that is there changes nothing but the name.
            _ => drop(self.paths.insert(path, Wanted { what: before, mode: None })),
        }
    }

    /// Takes a path out of the picture, with everything below it; paths become relative to it.
    fn take(&mut self, path: &Path) -> Vec<(PathBuf, Wanted)> {
        let below: Vec<PathBuf> = self
            .paths
            .range(path.to_owned()..)
            .map(|(below, _)| below)
            .take_while(|below| below.starts_with(path))
            .cloned()
            .collect();
        let mut taken: Vec<(PathBuf, Wanted)> = Vec::new();
        if !self.paths.contains_key(path) {
            let now = self.physical(path);
            taken.push((PathBuf::new(), Wanted { what: Want::Now(now), mode: None }));
        }
        for below in below {
            if let (Ok(rest), Some(wanted)) = (below.strip_prefix(path).map(Path::to_owned), self.paths.remove(&below))
            {
                taken.push((rest, wanted));
            }
        }
        taken
    }

    /// Puts what was taken at a path, in the place of what the picture has there.
    fn put(&mut self, path: &Path, taken: Vec<(PathBuf, Wanted)>) {
        for (rest, wanted) in self.take(path) {
            if !rest.as_os_str().is_empty()
                && matches!(&wanted.what, Want::State(state) if state.kind == FileKind::Absent)
            {
                self.cleared.push(path.join(rest));
            }
        }
        for (rest, wanted) in taken {
            let at = if rest.as_os_str().is_empty() { path.to_owned() } else { path.join(rest) };
            self.paths.insert(at, wanted);
        }
    }

    /// Where now is what belongs to a path of the picture: the nearest directory above it that was renamed says so.
    fn physical(&self, path: &Path) -> PathBuf {
        for above in path.ancestors().skip(1) {
            match self.paths.get(above).map(|wanted| &wanted.what) {
                Some(Want::Now(now)) => {
                    return path.strip_prefix(above).map_or_else(|_| path.to_owned(), |rest| now.join(rest));
                }
                Some(Want::State(_)) => break,
                _ => {}
            }
        }
        path.to_owned()
    }

    fn into_plan(self, ended: &BTreeMap<PathBuf, &FileState>, choice: &Choice) -> Plan {
        let mut plan = Plan::default();
        let mut sorted = Sorted::default();
        // What goes away under its present name has to be put back there, even where it is the same.
        let leaving: HashSet<&PathBuf> =
            self.paths.iter().filter_map(|(path, wanted)| wanted.source().filter(|from| *from != path)).collect();
        let sources: HashSet<PathBuf> = leaving.iter().map(|path| (*path).clone()).collect();
        let chosen = |path: &Path| choice.only.as_ref().is_none_or(|only| path.starts_with(only));
        for (path, wanted) in self.paths.iter().filter(|(path, _)| chosen(path)) {
            let at = wanted.source().cloned().unwrap_or_else(|| self.physical(path));
            let now = state::now(&at, u64::MAX);
            let there = match (&wanted.what, &now) {
                (Want::Now(from), Some(now)) => {
                    from == path && wanted.mode.as_ref().is_none_or(|mode| attributes(mode, now))
                }
                (Want::State(state), Some(now)) => at == *path && equal(state, now) && !leaving.contains(path),
                _ => false,
            };
            if there {
                continue;
            }
            match self.refuses(path, &at, wanted, now.as_ref(), ended, choice) {
                Some(why) => plan.refused.push(Refused { path: path.clone(), why }),
                None => sorted.add(path, &at, wanted, now.as_ref()),
            }
        }
        let cleared = self.cleared.into_iter().rev().filter(|path| chosen(path) && !sources.contains(path));
        plan.steps.extend(cleared.map(|path| Step::Remove { path }));
        sorted.into_steps(&mut plan.steps);
        plan
    }

    /// Why a path is left alone.
    fn refuses(
        &self,
        path: &Path,
        at: &Path,
        wanted: &Wanted,
        now: Option<&FileState>,
        ended: &BTreeMap<PathBuf, &FileState>,
        choice: &Choice,
    ) -> Option<String> {
        match (&wanted.what, now) {
            (Want::Unknown(why), _) => return Some(why.clone()),
            (Want::State(state), _) if state.kind == FileKind::Other => {
                return Some("it was a device, a fifo or a socket".to_owned());
            }
            (_, None) => return Some("it cannot be looked at, or there is a symbolic link in its path now".to_owned()),
            (_, Some(now)) if !choice.force => {
                if choice.foreign.contains(at) {
                    return Some("another process changed it afterwards".to_owned());
                }
                if let Some(why) = changed(at, now, ended.get(at).copied()) {
                    return Some(why);
                }
            }
            _ => {}
        }
        // Something else may stand where a file is to come back to.
        let target = wanted.source().filter(|from| *from != path && !choice.force).and_then(|_| ended.get(path))?;
        match state::now(path, u64::MAX) {
            Some(now) => changed(path, &now, Some(target)),
            None => Some("there is a symbolic link in its path now".to_owned()),
        }
    }
}

impl Wanted {
    /// Where what should be here is now.
    const fn source(&self) -> Option<&PathBuf> {
        match &self.what {
            Want::Now(from) => Some(from),
            _ => None,
        }
    }
}

/// Whether permissions and owner are these.
fn attributes(one: &FileState, other: &FileState) -> bool {
    (one.mode, one.uid, one.gid) == (other.mode, other.uid, other.gid)
}

/// Steps by their kind, in the order of their paths.
#[derive(Debug, Default)]
struct Sorted {
    renames: Renames,
    removes: Vec<PathBuf>,
    directories: Vec<(PathBuf, FileState)>,
    restores: Vec<(PathBuf, FileState)>,
    modes: Vec<(PathBuf, FileState)>,
}

impl Sorted {
    fn add(&mut self, path: &Path, at: &Path, wanted: &Wanted, now: Option<&FileState>) {
        let path = path.to_owned();
        match &wanted.what {
            Want::Now(from) => {
                if *from != path {
                    self.renames.push((from.clone(), path.clone()));
                }
                if let Some(mode) = &wanted.mode {
                    self.modes.push((path, mode.clone()));
                }
            }
            Want::State(state) => match state.kind {
                FileKind::Absent => self.removes.push(path),
                FileKind::Directory => {
                    self.directories.push((path.clone(), state.clone()));
                    self.modes.push((path, state.clone()));
                }
                // Only its permissions differ.
                FileKind::File if at == path && now.is_some_and(|now| same(now, state) && !attributes(now, state)) => {
                    self.modes.push((path, state.clone()));
                }
                _ => self.restores.push((path, state.clone())),
            },
            Want::Unknown(_) => {}
        }
    }

    /// Parents before their contents where something comes, after them where something goes.
    fn into_steps(self, steps: &mut Vec<Step>) {
        let goes_into =
            |(path, _): &(PathBuf, FileState)| self.renames.iter().any(|(_, to)| to != path && to.starts_with(path));
        let (first, then): (Vec<_>, Vec<_>) = self.directories.into_iter().partition(goes_into);
        let made: Vec<PathBuf> = first.iter().map(|(path, _)| path.clone()).collect();
        let (leaving, renames) = aside(self.renames, &made);
        let rename = |(from, to)| Step::Rename { from, to };
        let directory = |(path, state)| Step::Directory { path, state };
        steps.extend(leaving.into_iter().map(rename));
        steps.extend(first.into_iter().map(directory));
        steps.extend(renames.into_iter().map(rename));
        steps.extend(self.removes.into_iter().rev().map(|path| Step::Remove { path }));
        steps.extend(then.into_iter().map(directory));
        steps.extend(self.restores.into_iter().map(|(path, state)| Step::Restore { path, state }));
        steps.extend(self.modes.into_iter().rev().map(|(path, state)| Step::Mode { path, state }));
    }
}

/// Names that files have now, and those that they get back.
type Renames = Vec<(PathBuf, PathBuf)>;

/// Takes what is in the way of another rename, or of a directory that is to be made, aside: gives what leaves now, and the renames
/// that are left, in their order. `made` are the directories that are there before the second.
fn aside(mut renames: Renames, made: &[PathBuf]) -> (Renames, Renames) {
    let sources: Vec<PathBuf> = renames.iter().map(|(from, _)| from.clone()).collect();
    let targets: Vec<PathBuf> = renames.iter().map(|(_, to)| to.clone()).collect();
    let mut leaving = Vec::new();
    for (from, to) in &mut renames {
        // What comes back in the place of the directory that it is in waits beside that.
        let inside = from.starts_with(&*to);
        if inside || made.contains(from) || targets.iter().any(|to| to.starts_with(&*from)) {
            let away = if inside { &*to } else { &*from };
            let away = away.with_file_name(format!(".capsule-undo-aside-{}", leaving.len()));
            leaving.push((from.clone(), away.clone()));
            *from = away;
        }
    }
    // What is in a directory that leaves, too, leaves before it.
    leaving.sort_by(|(one, _), (other, _)| other.cmp(one));
    let inside = |from: &Path| sources.iter().any(|other| from != other && from.starts_with(other));
    renames.sort_by_key(|(from, to)| (!inside(from), to.clone()));
    (leaving, renames)
}

/// Why a file is left alone: it is not what the changes left.
fn changed(path: &Path, now: &FileState, ended: Option<&FileState>) -> Option<String> {
    match ended {
        None => Some("what it was in the end is not recorded".to_owned()),
        Some(ended) if ended.kind == FileKind::File && ended.content.is_none() => {
            Some("what it held in the end is not recorded".to_owned())
        }
        Some(ended) if same(now, ended) => None,
        Some(_) if now.kind == FileKind::Absent => Some("it was removed since".to_owned()),
        Some(_) => Some(format!("it has changed since (`{}`)", bytes_of(path).to_lossy())),
    }
}

#[cfg(test)]
mod tests;
