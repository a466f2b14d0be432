//! Removing sessions, only when asked: first a plan that a person can read, then the deed.
//!
//! Before a session goes, the ledger gets an entry that says so, with the seal that it had: a session that is missing
//! without one was taken away by somebody else ([`Store::vanished`]). A session that is still recorded is never removed.

use std::path::Path;

use capsule_core::{SessionId, Timestamp};
use serde::Serialize;

use crate::before;
use crate::chain::{Hash, split_seal};
use crate::dir::Dir;
use crate::error::StoreError;
use crate::layout::{BEFORE, METADATA};
use crate::ledger::{self, LedgerKind};
use crate::reader::{SessionState, is_locked};
use crate::store::{Store, open_for_writing};

/// How the name of a session that is being removed begins: a crash in the middle leaves it, and no session.
const PRUNED: &str = ".pruned-";

/// Which sessions may go. A session goes when any limit says so, except for the newest `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// So many of the newest always stay.
    pub keep: usize,
    /// Sessions that began before this moment go.
    pub before: Option<Timestamp>,
    /// At most so many stay.
    pub count: Option<usize>,
    /// At most so many bytes stay, the newest sessions first.
    pub bytes: Option<u64>,
}

/// Why a session would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is older than the limit.
    Old,
    /// There are more than the limit.
    Count,
    /// Together they are larger than the limit.
    Size,
}

/// A session that would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Which.
    pub session: SessionId,
    /// How large it is.
    pub bytes: u64,
    /// Whether it is sealed.
    pub state: SessionState,
    /// Why it would go.
    pub reason: Reason,
}

/// What would go, oldest first, and what would stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PrunePlan {
    /// What would go.
    pub remove: Vec<Candidate>,
    /// How many sessions stay.
    pub kept: usize,
    /// How many bytes stay.
    pub kept_bytes: u64,
}

/// What became of a session that was to go.
#[derive(Debug)]
pub struct Pruned {
    /// Which.
    pub session: SessionId,
    /// Why it is still there, where it is.
    pub failed: Option<StoreError>,
}

impl PrunePlan {
    /// How many bytes would be freed.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.remove.iter().map(|candidate| candidate.bytes).sum()
    }
}

impl Store {
    /// Which sessions would go. Nothing is changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn plan_prune(&self, retention: &Retention) -> Result<PrunePlan, StoreError> {
        let mut plan = PrunePlan::default();
        for (listed, newer) in self.list()?.into_iter().rev().zip(0_usize..) {
            let bytes = self.session(&listed.id).map_or(0, |session| size(session.path()));
            let started = listed.metadata.ok().map(|metadata| metadata.started);
            let old = retention.before.zip(started).is_some_and(|(limit, started)| started < limit);
            let many = retention.count.is_some_and(|limit| plan.kept >= limit);
            let large = retention.bytes.is_some_and(|limit| plan.kept_bytes.saturating_add(bytes) > limit);
            let reason = [(old, Reason::Old), (many, Reason::Count), (large, Reason::Size)];
            let reason = reason.into_iter().find_map(|(applies, reason)| applies.then_some(reason));
            match reason {
                Some(reason) if newer >= retention.keep && listed.state != SessionState::Running => {
                    plan.remove.push(Candidate { session: listed.id, bytes, state: listed.state, reason });
                }
                _ => {
                    plan.kept += 1;
                    plan.kept_bytes += bytes;
                }
            }
        }
        plan.remove.reverse();
        Ok(plan)
    }

    /// Removes the sessions of a plan, one after the other, each with its entry in the ledger first. Says for each
    /// whether it is gone; one that cannot be removed does not keep the others.
    ///
    /// # Errors
    /// When the store cannot be opened for writing.
    pub fn prune(&self, plan: &PrunePlan, now: Timestamp) -> Result<Vec<Pruned>, StoreError> {
        let (home, runs) = open_for_writing(self.home())?;
        let sessions = plan.remove.iter().map(|candidate| candidate.session.clone());
        Ok(sessions.map(|id| Pruned { failed: remove(&home, &runs, &id, now).err(), session: id }).collect())
    }

    /// Sessions that the ledger knows, that nobody pruned, and that are gone.
    ///
    /// # Errors
    /// When the store or its ledger cannot be read.
    pub fn vanished(&self) -> Result<Vec<SessionId>, StoreError> {
        let (ledger, present) = (self.ledger()?, self.ids()?);
        let mut gone: Vec<SessionId> = Vec::new();
        for entry in ledger.entries.iter().chain(&ledger.behind) {
            match entry.kind {
                LedgerKind::Prune => gone.retain(|id| *id != entry.session),
                LedgerKind::Begin | LedgerKind::Seal => {
                    if present.binary_search(&entry.session).is_err() && !gone.contains(&entry.session) {
                        gone.push(entry.session.clone());
                    }
                }
            }
        }
        Ok(gone)
    }
}

fn remove(home: &Dir, runs: &Dir, id: &SessionId, now: Timestamp) -> Result<(), StoreError> {
    let dir = runs.open_dir(id.as_str())?;
    if is_locked(&dir) {
        return Err(StoreError::StillRunning { session: id.clone() });
    }
    let names = dir.names()?;
    // Looked at before anything is done: a directory with strangers' directories in it is not ours to remove.
    if let Some(stranger) = names.iter().find(|name| *name != BEFORE && dir.is_dir(name)) {
        let path = dir.path().join(stranger);
        return Err(StoreError::WrongKind { path, found: "a directory", wanted: "a file" });
    }
    let seal = dir.read(METADATA).ok().and_then(|bytes| seal_of(&bytes));
    ledger::append(home, LedgerKind::Prune, id, seal, now, true)?;
    let aside = format!("{PRUNED}{}", id.as_str());
    runs.rename(id.as_str(), &aside)?;
    for name in names {
        if dir.is_dir(&name) {
            before::remove(&dir)?;
        } else {
            dir.remove(&name)?;
        }
    }
    runs.remove_dir(&aside)?;
    runs.sync()
}

fn seal_of(bytes: &[u8]) -> Option<Hash> {
    split_seal(bytes.trim_ascii_end()).map(|(_, seal)| seal)
}

/// How many bytes a session's files have.
fn size(path: &Path) -> u64 {
    let of = |path: &Path| std::fs::read_dir(path).into_iter().flatten();
    of(path)
        .chain(of(&path.join(BEFORE)))
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|is| is.len())
        .sum()
}

#[cfg(test)]
mod tests;
