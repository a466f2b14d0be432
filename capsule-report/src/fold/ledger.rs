//! What each process did outside itself, with equal effects counted: a program that writes one file a million times is
//! one entry. Bounded, because what programs touch is theirs to choose.

use std::collections::HashMap;

use capsule_core::{ByteString, Effect, EffectKind, Endpoint, ProcId, Seq, Timestamp};

use crate::view::EffectEntry;

/// How many different effects are kept in all.
const ENTRIES: usize = 400_000;
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
}

impl Ledger {
    /// Counts one effect.
    pub(super) fn add(&mut self, proc: ProcId, effect: &Effect, seq: Seq, at: Timestamp) {
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
        if self.entries.len() >= ENTRIES || !self.room_for(proc, effect.kind) {
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
