//! The ledger of sessions: one chained file a user, to which every session's beginning and seal are appended.
//!
//! It answers what a session cannot say of itself: that it was replaced by another whole one, that its seal was taken
//! off, or that it is gone. Entries are appended under a lock; a half line that a crash left behind is ended and
//! passed over, so it can neither be taken for an entry nor stop the next one.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use capsule_core::{Seq, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chain::{CHAIN_FIELD, Chain, Hash, LEDGER_DOMAIN, leading_seq, push_field_hash, split_line};
use crate::dir::{Dir, LOCK_LIMIT, lock_within};
use crate::error::StoreError;
use crate::layout::LEDGER;

/// How far back the last entry is looked for.
const TAIL: u64 = 64 << 10;
/// The largest ledger that is read: some millions of sessions.
const LIMIT: u64 = 1 << 30;

/// What an entry says of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// Its recording began.
    Begin,
    /// It was sealed.
    Seal,
    /// It was removed by `capsule prune`.
    Prune,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Ordinal, from 1.
    pub seq: Seq,
    /// When it was made.
    pub timestamp: Timestamp,
    /// What it says.
    pub kind: LedgerKind,
    /// Of which session.
    pub session: SessionId,
    /// The session's seal, 64 hex digits, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// Where the ledger stops to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerDamage {
    /// The first line that does not fit.
    pub line: u64,
    /// In what way.
    pub reason: String,
}

/// The ledger as it was read.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Entries up to the damage, where there is any.
    pub entries: Vec<LedgerEntry>,
    /// Entries behind the damage: readable, but not to be trusted.
    pub behind: Vec<LedgerEntry>,
    /// The first line that does not fit.
    pub damage: Option<LedgerDamage>,
    /// Whether there is a ledger at all.
    pub exists: bool,
}

fn chain() -> Chain {
    Chain::new(LEDGER_DOMAIN, "", "ledger")
}

/// How many entries a ledger has at most whose name may not be durable: some sessions at once may begin it.
const YOUNG: u64 = 32;

/// Appends an entry; on disk for good before it returns where `durable`.
pub(crate) fn append(
    home: &Dir,
    kind: LedgerKind,
    session: &SessionId,
    seal: Option<Hash>,
    now: Timestamp,
    durable: bool,
) -> Result<(), StoreError> {
    let path = home.path().join(LEDGER);
    let io = |source| StoreError::io("write", &path, source);
    let mut file = home.append(LEDGER)?;
    lock_within(&file, LOCK_LIMIT).map_err(|source| StoreError::io("lock", &path, source))?;
    let Tail { seq, head, torn } = tail(&mut file).map_err(io)?;
    // A number that somebody else wrote may be the last one there is.
    let next = seq.saturating_add(1);
    let entry =
        LedgerEntry { seq: Seq(next), timestamp: now, kind, session: session.clone(), seal: seal.map(Hash::to_hex) };
    let mut line = if torn { vec![b'\n'] } else { Vec::new() };
    let begin = line.len();
    serde_json::to_writer(&mut line, &entry).map_err(|source| StoreError::Serialise {
        stream: LEDGER.to_owned(),
        seq: next,
        source,
    })?;
    line.pop();
    let link = chain().link(next, head, line.split_at(begin).1);
    push_field_hash(&mut line, CHAIN_FIELD, link);
    line.push(b'\n');
    file.write_all(&line).map_err(io)?;
    if durable {
        file.sync_all().map_err(io)?;
        // A young ledger's own name may not be on the disk yet, nor that of the directory of sessions beside it.
        if seq < YOUNG {
            home.sync()?;
        }
    }
    Ok(())
}

/// Where the next entry links.
struct Tail {
    seq: u64,
    head: Hash,
    torn: bool,
}

fn tail(file: &mut File) -> std::io::Result<Tail> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let torn = bytes.last().is_some_and(|last| *last != b'\n');
    let last = bytes.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let (record, head) = split_line(line)?;
        Some((leading_seq(record)?, head))
    });
    let (seq, head) = last.unwrap_or_else(|| (0, chain().start()));
    Ok(Tail { seq, head, torn })
}

/// Reads and checks the ledger.
pub(crate) fn read(home: &Dir) -> Result<Ledger, StoreError> {
    if home.stat(LEDGER).is_none() {
        return Ok(Ledger::default());
    }
    Ok(parse(&home.read_up_to(LEDGER, LIMIT)?))
}

/// Checks a ledger's bytes.
fn parse(bytes: &[u8]) -> Ledger {
    let chain = chain();
    let mut ledger = Ledger { exists: true, ..Ledger::default() };
    let (mut seq, mut head) = (0_u64, chain.start());
    let mut damaged = |line: u64, reason: &str| {
        ledger.damage.get_or_insert(LedgerDamage { line, reason: reason.to_owned() });
    };
    let mut trusted = Vec::new();
    let mut behind = Vec::new();
    let mut broken = false;
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1_u64..) {
        // A line without an ending hash is what a crash leaves: the next entry ended it. It says nothing.
        let Some((record, link)) = split_line(line) else {
            if looks_whole(line) {
                broken = true;
                damaged(number, "it has no chain value");
            }
            continue;
        };
        let next = seq.saturating_add(1);
        let expected = chain.link(next, head, record);
        let entry = serde_json::from_slice::<LedgerEntry>(line).ok();
        if expected != link || leading_seq(record) != Some(next) {
            broken = true;
            let reason = match leading_seq(record) {
                Some(found) if found > next => "an entry before it was removed",
                Some(found) if found <= seq => "an entry was inserted, repeated or moved here",
                _ => "it was altered, or the one before it",
            };
            damaged(number, reason);
        }
        (seq, head) = (leading_seq(record).unwrap_or(next), link);
        if let Some(entry) = entry {
            if broken { behind.push(entry) } else { trusted.push(entry) }
        }
    }
    (ledger.entries, ledger.behind) = (trusted, behind);
    ledger
}

/// Whether a line without a chain value is more than the beginning of an entry.
fn looks_whole(line: &[u8]) -> bool {
    !line.is_empty() && line.last() == Some(&b'}')
}

impl Ledger {
    /// The last entry of this kind for a session, if the chain vouches for it.
    #[must_use]
    pub fn find(&self, session: &SessionId, kind: LedgerKind) -> Option<&LedgerEntry> {
        self.entries.iter().rev().find(|entry| entry.kind == kind && entry.session == *session)
    }
}

#[cfg(test)]
mod tests;
