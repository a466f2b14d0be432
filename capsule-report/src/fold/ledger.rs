//! What each process did outside itself, with equal effects counted: a program that writes one file a million times is
//! one entry. Bounded, because what programs touch is theirs to choose.

use std::collections::HashMap;
use std::sync::Arc;

use capsule_core::{ByteString, Effect, EffectKind, Endpoint, ProcId, Seq, Timestamp};

use crate::view::EffectEntry;

/// How many different effects are kept in all.
const ENTRIES: usize = 400_000;
/// How many are kept while a session runs.
const ENTRIES_LIVE: usize = 20_000;
/// How many different files read are kept of each process: the least interesting kind, and the most common.
const READS_EACH: u32 = 256;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    proc: ProcId,
    kind: EffectKind,
    path: Option<ByteString>,
    to: Option<ByteString>,
    endpoint: Option<Endpoint>,
    errno: Option<i32>,
}

/// Effects, counted.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    index: HashMap<Key, usize>,
    entries: Vec<EffectEntry>,
    reads: HashMap<ProcId, u32>,
    uncounted: u64,
    /// Whether only changes of files are kept, and fewer of them.
    live: bool,
}

impl Ledger {
    /// A ledger for while a session runs: what it is asked in the end is which files were changed.
    pub(super) fn of_changes() -> Self {
        Self { live: true, ..Self::default() }
    }

    /// Counts one effect.
    pub(super) fn add(&mut self, proc: ProcId, effect: &Effect, seq: Seq, at: Timestamp) {
        if self.live && (!effect.kind.changes_file() || effect.errno.is_some()) {
            return;
        }
        let key = Key {
            proc,
            kind: effect.kind,
            path: effect.path.clone(),
            to: effect.to.clone(),
            endpoint: effect.endpoint.clone(),
            errno: effect.errno,
        };
        if let Some(entry) = self.index.get(&key).and_then(|index| self.entries.get_mut(*index)) {
            entry.count = entry.count.saturating_add(1);
            entry.last = entry.last.max(seq);
            entry.first = entry.first.min(seq);
            entry.last_at = entry.last_at.max(at);
            entry.first_at = entry.first_at.min(at);
            return;
        }
        let most = if self.live { ENTRIES_LIVE } else { ENTRIES };
        if self.entries.len() >= most || !self.room_for(proc, effect.kind) {
            self.uncounted = self.uncounted.saturating_add(1);
            return;
        }
        self.entries.push(EffectEntry {
            proc,
            kind: effect.kind,
            call: effect.call.clone(),
            path: effect.path.clone(),
            to: effect.to.clone(),
            endpoint: effect.endpoint.clone(),
            detail: effect.detail.clone(),
            errno: effect.errno,
            before: effect.before.as_ref().and_then(|before| before.content.as_deref()).map(Arc::from),
            count: 1,
            first: seq,
            last: seq,
            first_at: at,
            last_at: at,
        });
        self.index.insert(key, self.entries.len().saturating_sub(1));
    }

    fn room_for(&mut self, proc: ProcId, kind: EffectKind) -> bool {
        if kind != EffectKind::FileRead {
            return true;
        }
        let reads = self.reads.entry(proc).or_default();
        *reads = reads.saturating_add(1);
        *reads <= READS_EACH
    }

    /// The entries in the order of their first records, and how many effects were counted nowhere.
    pub(super) fn into_entries(mut self) -> (Vec<EffectEntry>, u64) {
        self.entries.sort_by_key(|entry| (entry.first, entry.proc));
        (self.entries, self.uncounted)
    }
}
