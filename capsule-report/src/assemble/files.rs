//! Which files the session changed, in the end: the net effect for each path. What was made and went away again is only
//! counted; a file that was written under another name and then renamed (an atomic save) is the file that was saved.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use capsule_core::{ByteString, EffectKind, WorkTree};

use super::clean::Cleaner;
use crate::model::{FileGroup, FileItem, GitItem};
use crate::view::{EffectEntry, SessionView};
use crate::words;

mod contents;
mod places;
#[cfg(test)]
mod tests;

pub(crate) use contents::Contents;
pub(super) use places::is_device;
use places::{OUTSIDE, PLACES, PROJECT, below, place};

/// How many changed files the model lists.
const FILES: usize = 5000;
/// How many files move along with renamed directories; more stay where they were changed.
const MOVED: usize = 20_000;
/// How many processes each names.
const NAMED: usize = 8;

/// What the model says of changed files.
pub(super) struct Files {
    /// The first ones, the project's before others'.
    pub(super) items: Vec<FileItem>,
    /// How many there are in all.
    pub(super) total: u64,
    /// How many there are of each kind of place.
    pub(super) groups: Vec<FileGroup>,
    /// How many were made and went away again.
    pub(super) temporary: u64,
    /// How it is known, where no process's own effects say so.
    pub(super) note: Option<String>,
    /// What git would say.
    pub(super) git: Option<GitItem>,
}

/// What is known of a path at some moment.
#[derive(Debug, Default)]
struct State {
    /// Whether the session made it.
    born: bool,
    /// Whether it is there, as far as is known.
    here: bool,
    /// Whether it is a directory.
    directory: bool,
    written: bool,
    mode: bool,
    /// Whether the last that happened to it was its end, not a new name.
    deleted: bool,
    /// Whether it came here by a rename and nothing was here before.
    arrived: bool,
    /// The path that it had before the session renamed it.
    origin: Option<ByteString>,
    /// The name that it has now.
    moved: Option<ByteString>,
    /// BLAKE3 of what the first change destroyed.
    before: Option<Arc<str>>,
    count: u64,
    procs: Vec<u32>,
    event: u64,
}

impl State {
    fn by(&mut self, proc: u32, event: u64, count: u64) {
        if self.count == 0 {
            self.event = event;
        }
        self.count = self.count.saturating_add(count);
        if self.procs.len() < NAMED && !self.procs.contains(&proc) {
            self.procs.push(proc);
        }
    }

    /// The net effect, in a word; nothing where there is none.
    fn change(&self) -> Option<&'static str> {
        match (self.born, self.here) {
            (true, true) => Some("created"),
            (true, false) => None,
            (false, false) if self.arrived => None,
            (false, false) if self.moved.is_some() => Some("renamed"),
            (false, false) => Some("deleted"),
            (false, true) if self.written => Some("written"),
            (false, true) if self.mode => Some("mode"),
            // The target of a rename is told at its old name.
            (false, true) => None,
        }
    }
}

/// The ledger: what was done to each path, in order.
#[derive(Debug, Default)]
struct Net {
    paths: BTreeMap<ByteString, State>,
    /// The latest path made under each last component, for paths through a descriptor.
    names: HashMap<Vec<u8>, ByteString>,
    /// How many files moved along with directories.
    moved: usize,
}

/// Files that were changed: the project's first, then in order of their first change.
pub(super) fn files(view: &SessionView, cleaner: &Cleaner) -> Files {
    let (cwd, worked) = (view.metadata.cwd.as_bytes(), places::worked(view));
    let contents = Contents::new(&view.metadata);
    let mut files = match comparison(view) {
        Some(tree) => compared(tree, cwd, &worked, &contents, cleaner),
        None => net(view).into_files(cwd, &worked, &contents, cleaner),
    };
    files.git = contents.git(cleaner);
    files
}

/// The comparison of the work tree, where that is all there is.
fn comparison(view: &SessionView) -> Option<&WorkTree> {
    let told = || view.effects.iter().any(|effect| effect.kind.changes_file());
    view.metadata.work_tree.as_ref().filter(|_| !told())
}

/// The files that a session changed in the end, in the project and outside it, under their old and new names; no more than
/// `most`, and how many more there are.
#[must_use]
pub fn changed_files(view: &SessionView, most: usize) -> (Vec<ByteString>, u64) {
    let (cwd, worked) = (view.metadata.cwd.as_bytes(), places::worked(view));
    let mut paths: Vec<ByteString> = match comparison(view) {
        Some(tree) => tree.changes.iter().map(|change| absolute(tree, &change.path)).collect(),
        None => {
            let changed = net(view).paths.into_iter().filter(|(_, state)| state.change().is_some());
            changed.flat_map(|(path, state)| [Some(path), state.moved].into_iter().flatten()).collect()
        }
    };
    paths.retain(|path| matches!(place(path.as_bytes(), cwd, &worked), PROJECT | OUTSIDE));
    let more = paths.len().saturating_sub(most) as u64;
    paths.truncate(most);
    (paths, more)
}

fn net(view: &SessionView) -> Net {
    let mut steps: Vec<(u64, bool, &EffectEntry)> = Vec::new();
    for entry in view.effects.iter().filter(|entry| entry.errno.is_none() && entry.kind.changes_file()) {
        steps.push((entry.first.0, true, entry));
        if entry.last != entry.first {
            steps.push((entry.last.0, false, entry));
        }
    }
    steps.sort_by_key(|(seq, ..)| *seq);
    let mut net = Net::default();
    for (_, first, entry) in steps {
        net.step(entry, first);
    }
    net
}

fn absolute(tree: &WorkTree, path: &ByteString) -> ByteString {
    ByteString::from([tree.root.as_bytes(), b"/", path.as_bytes()].concat())
}

/// What a comparison of the work tree says, where effects were not recorded.
fn compared(tree: &WorkTree, cwd: &[u8], worked: &HashSet<&[u8]>, contents: &Contents<'_>, cleaner: &Cleaner) -> Files {
    let mut found: Vec<(usize, FileItem)> = Vec::new();
    for change in &tree.changes {
        let full = absolute(tree, &change.path);
        let path = full.as_bytes();
        let place = place(path, cwd, worked);
        let name = below(path, cwd).unwrap_or(path);
        contents.saw(path);
        let item = FileItem {
            name: cleaner.bytes(&ByteString::new(name)),
            inside: below(path, cwd).is_some(),
            path: cleaner.bytes(&full),
            content: contents.of(path, None),
            git: contents.git_of(path),
            changes: vec![change.change.name().to_owned()],
            renamed_to: None,
            count: 0,
            procs: change.procs.iter().map(|proc| proc.0).collect(),
            event: 0,
            place: PLACES.get(place).map_or(PLACES[PROJECT].0, |(name, _)| name).to_owned(),
        };
        found.push((place, item));
    }
    found.sort_by_key(|(place, _)| *place);
    let groups = groups(|number| found.iter().filter(|(place, _)| *place == number).count() as u64);
    let mut note = format!(
        "by comparing {} of the work tree before and after, without those that git ignores: by whom is not recorded, a process named had just ended when the change was found",
        words::count(tree.files, "file", "files")
    );
    if let Some(why) = &tree.incomplete {
        note.push_str("; ");
        note.push_str(why);
    }
    let total = (found.len() as u64).saturating_add(tree.more);
    Files {
        items: found.into_iter().map(|(_, item)| item).collect(),
        total,
        groups,
        temporary: 0,
        note: Some(note),
        git: None,
    }
}

/// The kinds of places where there are files.
fn groups(count: impl Fn(usize) -> u64) -> Vec<FileGroup> {
    let of = |(number, (name, words)): (usize, &(&str, &str))| {
        let files = count(number);
        (files > 0).then(|| FileGroup { place: (*name).to_owned(), words: (*words).to_owned(), files })
    };
    PLACES.iter().enumerate().filter_map(of).collect()
}

impl Net {
    /// One effect; equal ones come as the first and the last of them.
    fn step(&mut self, entry: &EffectEntry, first: bool) {
        let Some(path) = entry.path.as_ref().and_then(|path| self.resolve(path)) else { return };
        let times = if first { entry.count } else { 0 };
        match entry.kind {
            EffectKind::FileRename => {
                match entry.to.as_ref().and_then(|to| self.resolve_beside(to, entry.path.as_ref(), &path)) {
                    Some(to) if is_exchange(entry) => {
                        [path, to].into_iter().for_each(|path| self.swap(path, entry, times))
                    }
                    Some(to) => self.rename(path, to, entry, times),
                    None => {}
                }
                return;
            }
            EffectKind::FileCreate => {
                if let Some(name) = last_component(path.as_bytes()) {
                    self.names.insert(name.to_vec(), path.clone());
                }
            }
            _ => {}
        }
        let known = self.paths.contains_key(&path);
        let state = self.paths.entry(path).or_default();
        let born = state.born;
        if !known {
            state.before.clone_from(&entry.before);
        }
        match entry.kind {
            EffectKind::FileCreate => {
                // Deleted and made again is written.
                state.born = !known || born;
                state.written = true;
                state.here = true;
                state.deleted = false;
                state.moved = None;
                state.directory = entry.call.starts_with("mkdir");
            }
            EffectKind::FileDelete => {
                state.here = false;
                state.moved = None;
                state.deleted = true;
            }
            EffectKind::FileWrite => (state.written, state.here) = (true, true),
            _ => (state.mode, state.here) = (true, true),
        }
        state.by(entry.proc.0, entry.first.0, times);
        let origin = if state.here { None } else { state.origin.take() };
        // What was renamed and then deleted is deleted.
        if let Some(origin) = origin.and_then(|origin| self.paths.get_mut(&origin)) {
            origin.moved = None;
        }
    }

    /// One of two files that changed places: each holds what the other held.
    fn swap(&mut self, path: ByteString, entry: &EffectEntry, times: u64) {
        let state = self.paths.entry(path).or_default();
        (state.written, state.here, state.deleted) = (true, true, false);
        state.by(entry.proc.0, entry.first.0, times);
    }

    /// What the session made below a directory is, after the directory's rename, below its new name.
    fn move_along(&mut self, from: &ByteString, to: &ByteString) {
        let prefix = ByteString::from([from.as_bytes(), b"/"].concat());
        let made =
            self.paths.range(prefix.clone()..).take_while(|(path, _)| path.as_bytes().starts_with(prefix.as_bytes()));
        let room = MOVED.saturating_sub(self.moved);
        let below: Vec<ByteString> =
            made.filter(|(_, state)| state.born && state.here).take(room).map(|(path, _)| path.clone()).collect();
        self.moved = self.moved.saturating_add(below.len());
        for path in below {
            let rest = path.as_bytes().get(from.as_bytes().len()..).unwrap_or_default();
            let new = ByteString::from([to.as_bytes(), rest].concat());
            if let Some(known) = last_component(path.as_bytes()).and_then(|name| self.names.get_mut(name))
                && *known == path
            {
                known.clone_from(&new);
            }
            if let Some(state) = self.paths.remove(&path) {
                self.paths.insert(new, state);
            }
        }
    }

    fn rename(&mut self, from: ByteString, to: ByteString, entry: &EffectEntry, times: u64) {
        let (proc, event) = (entry.proc.0, entry.first.0);
        let source = self.paths.entry(from.clone()).or_default();
        let fresh = source.born && source.here;
        let (directory, written) = (source.directory, source.written);
        let origin = if fresh { None } else { Some(source.origin.take().unwrap_or_else(|| from.clone())) };
        (source.here, source.deleted) = (false, false);
        source.by(proc, event, times);
        let target_known = self.paths.contains_key(&to);
        let target = self.paths.entry(to.clone()).or_default();
        if !target_known {
            target.before.clone_from(&entry.before);
        }
        (target.here, target.deleted) = (true, false);
        target.moved = None;
        target.directory = directory;
        if fresh {
            // A new file under this name: a directory can only have come to a place where none was.
            target.born = if target_known { target.born } else { directory };
            target.written = true;
        } else {
            target.written |= written || target_known;
            target.arrived |= !target_known;
        }
        target.by(proc, event, times);
        if directory && times > 0 {
            self.move_along(&from, &to);
        }
        let Some(target) = self.paths.get_mut(&to) else { return };
        if origin.as_ref() == Some(&to) {
            // Back under its old name.
            target.origin = None;
        } else {
            target.origin.clone_from(&origin);
            if let Some(origin) = origin.and_then(|origin| self.paths.get_mut(&origin)) {
                origin.moved = Some(to);
            }
        }
    }

    /// A path through a descriptor of a directory (`/proc/self/fd/7/name`) is the one under which the name was made;
    /// nothing for what is no file.
    fn resolve(&self, path: &ByteString) -> Option<ByteString> {
        match through_descriptor(path.as_bytes()) {
            Some((_, name)) => self.names.get(name).cloned(),
            None => Some(path.clone()).filter(|path| !is_device(path.as_bytes()) && !is_nameless(path.as_bytes())),
        }
    }

    /// The new name of a rename: through the same descriptor as the old one, it is in the same directory.
    fn resolve_beside(&self, to: &ByteString, from: Option<&ByteString>, resolved: &ByteString) -> Option<ByteString> {
        let Some((descriptor, name)) = through_descriptor(to.as_bytes()) else { return self.resolve(to) };
        let same = from
            .and_then(|from| through_descriptor(from.as_bytes()))
            .is_some_and(|(other, rest)| other == descriptor && !rest.contains(&b'/'));
        if !same || name.contains(&b'/') {
            return self.names.get(name).cloned();
        }
        let mut path = resolved.as_bytes().to_vec();
        let keep = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash.saturating_add(1));
        path.truncate(keep);
        path.extend_from_slice(name);
        Some(ByteString::from(path))
    }

    fn into_files(self, cwd: &[u8], worked: &HashSet<&[u8]>, contents: &Contents<'_>, cleaner: &Cleaner) -> Files {
        let mut found: Vec<(usize, ByteString, State, &'static str)> = Vec::new();
        let mut temporary = 0_u64;
        let mut told: HashSet<Vec<u8>> = HashSet::new();
        for (path, state) in self.paths.into_iter().rev() {
            let Some(change) = state.change() else {
                temporary = temporary.saturating_add(u64::from(state.born && state.deleted));
                continue;
            };
            // In reverse order what is in a directory comes before it, and tells of it.
            let parent =
                path.as_bytes().iter().rposition(|byte| *byte == b'/').and_then(|at| path.as_bytes().get(..at));
            told.insert(parent.unwrap_or_default().to_vec());
            contents.saw(path.as_bytes());
            if let Some(moved) = &state.moved {
                contents.saw(moved.as_bytes());
            }
            if !state.directory || !told.contains(path.as_bytes()) {
                found.push((place(path.as_bytes(), cwd, worked), path, state, change));
            }
        }
        found.sort_by_key(|(place, _, state, _)| (*place, state.event));
        let groups = groups(|number| found.iter().filter(|(place, ..)| *place == number).count() as u64);
        let total = found.len() as u64;
        let items = found.into_iter().take(FILES).map(|(number, path, state, change)| {
            let relative = below(path.as_bytes(), cwd).filter(|rest| !rest.is_empty());
            let mut name = cleaner.bytes(&relative.map_or_else(|| path.clone(), ByteString::new));
            if state.directory {
                name = ByteString::from([name.as_bytes(), b"/"].concat());
            }
            FileItem {
                name,
                inside: below(path.as_bytes(), cwd).is_some(),
                path: cleaner.bytes(&path),
                content: contents.of(path.as_bytes(), state.before.as_deref()),
                git: contents.git_of(path.as_bytes()),
                changes: vec![change.to_owned()],
                renamed_to: state.moved.map(|to| {
                    let relative = below(to.as_bytes(), cwd).filter(|_| relative.is_some()).map(ByteString::new);
                    cleaner.bytes(&relative.unwrap_or(to))
                }),
                count: state.count,
                procs: state.procs,
                event: state.event,
                place: PLACES.get(number).map_or(PLACES[PROJECT].0, |(name, _)| name).to_owned(),
            }
        });
        Files { items: items.collect(), total, groups, temporary, note: None, git: None }
    }
}

/// Whether a rename exchanged two files: `RENAME_EXCHANGE` among its flags.
fn is_exchange(entry: &EffectEntry) -> bool {
    let flags = entry.detail.as_deref().and_then(|detail| detail.strip_prefix("0x"));
    flags.and_then(|flags| u32::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 2 != 0)
}

/// What only descriptors lead to: memory, a file made without a name, one that was removed while it was open.
fn is_nameless(path: &[u8]) -> bool {
    path.starts_with(b"/memfd:") || path.ends_with(b" (deleted)")
}

fn last_component(path: &[u8]) -> Option<&[u8]> {
    path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty())
}

/// The descriptor's directory and what follows it, in `/proc/self/fd/7/name`.
fn through_descriptor(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = path.strip_prefix(b"/proc/")?;
    let mut parts = rest.splitn(4, |byte| *byte == b'/');
    let (_, fd, _, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let prefix = path.get(..path.len().saturating_sub(name.len()))?;
    (fd == b"fd" && !name.is_empty()).then_some((prefix, name))
}
