//! The work tree looked at after each command that somebody asked for: what is found changed then was changed by one of the
//! commands that had ended since the last look, or beside them.
//!
//! Commands that end in quick succession are one step: a look waits as many times longer than the last one took that looking
//! stays a small part of the run.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capsule_core::{ActionEvent, ActionPhase, ProcId, Role, WorkTree};
use capsule_io::Subscription;

use super::Listing;
use crate::platform;

/// How many times longer than a look took the next one waits.
const SHARE: u32 = 20;
/// How many commands are named for one step.
const NAMED: usize = 8;

/// The recording's side: tells of commands that ended, and never waits.
#[derive(Debug)]
pub struct Steps {
    ended: Sender<ProcId>,
}

impl Steps {
    /// Tells of commands that ended until there are no more.
    pub async fn follow(self, mut actions: Subscription<ActionEvent>) {
        while let Some(batch) = actions.recv().await {
            let ended = |action: &&ActionEvent| action.phase == ActionPhase::Final && action.role == Role::Asked;
            for action in batch.iter().filter(ended) {
                // Without somebody who looks there is nothing to tell.
                self.ended.send(action.proc).unwrap_or(());
            }
        }
    }
}

/// The side of whoever ends the session.
#[derive(Debug)]
pub struct Ended {
    looking: JoinHandle<Looked>,
}

/// What was found.
#[derive(Debug)]
struct Looked {
    /// After which commands each path was found changed.
    found: BTreeMap<PathBuf, Vec<ProcId>>,
    /// The last look.
    listing: Arc<Listing>,
    /// Who ended since.
    since: Vec<ProcId>,
}

/// Begins to look, with `list`, where there is a thread for it.
pub(super) fn start(listing: Arc<Listing>, list: impl Fn() -> Listing + Send + 'static) -> Option<(Steps, Ended)> {
    let (ended, told) = mpsc::channel();
    let looking = std::thread::Builder::new().name("capsule-steps".to_owned());
    let looking = looking.spawn(move || {
        platform::give_way();
        look(listing, &told, list)
    });
    looking.ok().map(|looking| (Steps { ended }, Ended { looking }))
}

impl Ended {
    /// Names the commands in what a comparison found. `listing` is how the files were listed for it. Every [`Steps`] is gone by now.
    pub fn name_in(self, tree: &mut WorkTree, listing: &Listing) {
        // Without it nobody is named.
        let Ok(mut looked) = self.looking.join() else { return };
        looked.note(listing);
        for change in &mut tree.changes {
            let path = Path::new(std::ffi::OsStr::from_bytes(change.path.as_bytes()));
            change.procs = looked.found.remove(path).unwrap_or_default();
        }
    }
}

fn look(listing: Arc<Listing>, told: &Receiver<ProcId>, list: impl Fn() -> Listing) -> Looked {
    let mut looked = Looked { found: BTreeMap::new(), listing, since: Vec::new() };
    let mut next = Instant::now();
    loop {
        // Asleep until somebody has ended, then until the next look is due.
        let wait = if looked.since.is_empty() { Duration::MAX } else { next.saturating_duration_since(Instant::now()) };
        match told.recv_timeout(wait) {
            Ok(proc) => {
                if looked.since.len() < NAMED {
                    looked.since.push(proc);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let begun = Instant::now();
                let now = list();
                next = Instant::now() + begun.elapsed() * SHARE;
                looked.note(&now);
                looked.listing = Arc::new(now);
                looked.since.clear();
            }
            Err(RecvTimeoutError::Disconnected) => return looked,
        }
    }
}

impl Looked {
    /// Notes who ended between the last look and this one.
    fn note(&mut self, now: &Listing) {
        let changed = now.iter().filter(|(path, seen)| self.listing.get(*path) != Some(*seen)).map(|(path, _)| path);
        let gone = self.listing.keys().filter(|path| !now.contains_key(*path));
        for path in changed.chain(gone) {
            let procs = self.found.entry(path.clone()).or_default();
            for proc in &self.since {
                if procs.len() < NAMED && !procs.contains(proc) {
                    procs.push(*proc);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::sync::Mutex;

    use capsule_core::{TreeChange, TreeChangeKind};

    use super::super::Seen;
    use super::*;

    fn listing(files: &[(&str, u64)]) -> Listing {
        let seen = |size| Seen { inode: 1, size, mode: 0, modified: (0, 0), changed: (0, 0) };
        files.iter().map(|(name, size)| (PathBuf::from(name), seen(*size))).collect()
    }

    #[test]
    fn what_is_found_changed_names_who_ended_since_the_last_look() {
        let looks = Arc::new(Mutex::new(vec![listing(&[("a", 2), ("b", 1)])]));
        let (looked, counted) = mpsc::channel();
        let list = move || {
            let next = looks.lock().unwrap().pop().unwrap();
            looked.send(()).unwrap();
            next
        };
        let (steps, ended) = start(Arc::new(listing(&[("a", 1), ("b", 1), ("c", 1)])), list).unwrap();
        steps.ended.send(ProcId(1)).unwrap();
        counted.recv().unwrap();
        drop(steps);
        let change = |path: &str| TreeChange {
            path: path.into(),
            change: TreeChangeKind::Written,
            before: None,
            after: None,
            size: None,
            procs: Vec::new(),
        };
        let changes = ["a", "b", "c"].map(change).to_vec();
        let mut tree = WorkTree { root: "/".into(), files: 3, incomplete: None, changes, more: 0 };
        // `b` changed after the last look, when nobody ended any more.
        ended.name_in(&mut tree, &listing(&[("a", 2), ("b", 2)]));
        let procs: Vec<_> = tree.changes.into_iter().map(|change| change.procs).collect();
        assert_eq!(procs, [vec![ProcId(1)], vec![], vec![ProcId(1)]]);
    }
}
