//! Checks a session's keyed seals, and turns those that fit into checkpoints for its streams.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _};

use capsule_core::{SessionId, StreamName};

use super::metadata::{Account, Seals};
use super::scan::Checkpoint;
use super::{Damage, KeyedFact, Problem, VerifyOptions};
use crate::chain::{Hash, leading_seq, split_mac};
use crate::error::StoreError;
use crate::key::VerificationKey;
use crate::keyed::{IntervalSeal, code, read_label};
use crate::layout::SEALS;
use crate::ledger::{Ledger, LedgerKind};
use crate::reader::SessionReader;

/// The longest line that can be a seal.
const LINE_LIMIT: u64 = 1 << 16;

/// The keyed seals that can be believed.
pub(super) struct Keyed {
    pub(super) fact: KeyedFact,
    /// The session's seal, by the word of the last one.
    pub(super) seal: Option<Hash>,
    checkpoints: BTreeMap<StreamName, Vec<Checkpoint>>,
    /// Lines that fit.
    lines: u64,
    torn: bool,
    broken: bool,
}

/// Reads the seals as far as they fit the key.
pub(super) fn read(
    session: &SessionReader,
    key: Option<&VerificationKey>,
    problems: &mut Vec<Problem>,
) -> Result<Keyed, StoreError> {
    let mut keyed =
        Keyed { fact: KeyedFact::None, seal: None, checkpoints: BTreeMap::new(), lines: 0, torn: false, broken: false };
    let file = match session.dir().open_file(SEALS) {
        Ok(file) => file,
        Err(StoreError::WrongKind { found, .. }) => {
            problems.push(Problem::file(SEALS, Damage::FileReplaced).because(format!("it is {found}")));
            keyed.broken = true;
            return Ok(keyed);
        }
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => return Ok(keyed),
        Err(error) => return Err(error),
    };
    keyed.fact = KeyedFact::NotChecked;
    let Some(key) = key else { return Ok(keyed) };
    let walked = keyed.walk(session.id(), key, BufReader::new(file), problems);
    walked.map_err(|source| StoreError::io("read", &session.path().join(SEALS), source))?;
    Ok(keyed)
}

impl Keyed {
    /// What the key vouches for in a stream, in order.
    pub(super) fn checkpoints(&self, stream: StreamName) -> &[Checkpoint] {
        self.checkpoints.get(&stream).map_or(&[], Vec::as_slice)
    }

    fn walk(
        &mut self,
        id: &SessionId,
        key: &VerificationKey,
        mut input: impl BufRead,
        problems: &mut Vec<Problem>,
    ) -> io::Result<()> {
        self.fact = KeyedFact::Checked { epoch: 0, intervals: 0, until: None, ended: false };
        let mut evolving = None;
        let mut prev = Hash([0; 32]);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            if input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut buffer)? == 0 {
                return Ok(());
            }
            let number = self.lines + 1;
            let Some(line) = buffer.strip_suffix(b"\n") else {
                if buffer.len() as u64 == LINE_LIMIT {
                    return self.misfit(number, Damage::Altered, "it is not a seal", problems);
                }
                self.torn = true;
                return Ok(());
            };
            let seal = serde_json::from_slice::<IntervalSeal>(line).ok();
            let (Some((record, carried)), Some(seal)) = (split_mac(line), seal) else {
                return self.misfit(number, Damage::Altered, "it is not a seal", problems);
            };
            if self.seal.is_some() {
                return self.misfit(number, Damage::Inserted, "behind the last seal", problems);
            }
            let current = match &mut evolving {
                Some(current) => current,
                None => match key.session(seal.epoch, id) {
                    Some(session) => evolving.insert((session.epoch, session.interval)),
                    None => return self.misfit(number, Damage::Altered, "its epoch is out of range", problems),
                },
            };
            match leading_seq(record) {
                Some(found) if found == number => {}
                Some(found) if found > number => {
                    return self.misfit(number, Damage::Removed, "a later one stands in its place", problems);
                }
                _ => return self.misfit(number, Damage::Altered, "its number is not its place", problems),
            }
            if seal.epoch != current.0 || code(&current.1, id, number, prev, record) != carried {
                return self.misfit(number, Damage::Altered, "its code does not fit the key", problems);
            }
            for (stream, sealed) in &seal.streams {
                if let Some(head) = Hash::from_hex(sealed.head.as_bytes()) {
                    let checkpoint = Checkpoint { records: sealed.records, head };
                    self.checkpoints.entry(*stream).or_default().push(checkpoint);
                }
            }
            self.seal = seal.seal.as_deref().and_then(|hex| Hash::from_hex(hex.as_bytes()));
            self.lines = number;
            self.fact = KeyedFact::Checked {
                epoch: seal.epoch,
                intervals: number,
                until: Some(seal.timestamp),
                ended: self.seal.is_some(),
            };
            prev = carried;
            current.1.evolve();
        }
    }

    fn misfit(&mut self, line: u64, damage: Damage, why: &str, problems: &mut Vec<Problem>) -> io::Result<()> {
        self.broken = true;
        problems.push(Problem::record(SEALS, line, line, damage).because(why));
        Ok(())
    }

    /// Compares the seals with what the session says of itself, and with the epochs of other sessions.
    pub(super) fn compare(
        &self,
        session: &SessionReader,
        account: &Account,
        options: &VerifyOptions<'_>,
        ledger: Option<&Ledger>,
        problems: &mut Vec<Problem>,
    ) {
        let sealed = match &account.seals {
            Seals::Fit(metadata) => Some(metadata),
            Seals::None | Seals::Broken => None,
        };
        let label = match sealed {
            Some(metadata) => metadata.keyed.clone(),
            None => session.metadata().ok().and_then(|metadata| metadata.keyed),
        };
        if self.fact == KeyedFact::None {
            if !self.broken && (label.is_some() || options.key.is_some()) {
                let why = "nothing of this session is sealed with a key";
                problems.push(Problem::file(SEALS, Damage::FileMissing).because(why));
            }
            return;
        }
        let Some(key) = options.key else { return };
        if label.as_deref().and_then(read_label).is_some_and(|(_, name)| name != key.name()) {
            // Nothing else can fit, and the rest would only repeat it.
            problems.retain(|problem| problem.file != SEALS);
            problems.push(Problem::file(SEALS, Damage::OtherKey));
            return;
        }
        if self.broken {
            return;
        }
        let next = self.lines + 1;
        match (self.seal, account.seal) {
            (None, Some(_)) => problems.push(
                Problem::record(SEALS, next, next, Damage::Truncated)
                    .because("the seal of the session's end is missing"),
            ),
            (Some(by_key), Some(carried)) if by_key != carried => problems.push(
                Problem::file(crate::layout::METADATA, Damage::MetadataAltered)
                    .because("its seal is not the one that was sealed with the key"),
            ),
            _ if self.torn => problems.push(Problem::record(SEALS, next, next, Damage::Torn)),
            _ => {}
        }
        if self.lines == 0 {
            return;
        }
        if let (KeyedFact::Checked { epoch, .. }, Some(store), Some(ledger)) = (&self.fact, options.store, ledger) {
            let others = store.ids().unwrap_or_default();
            for other in others.iter().filter(|other| *other != session.id()) {
                let label = store.session(other).and_then(|other| other.metadata()).ok().and_then(|other| other.keyed);
                let Some((theirs, name)) = label.as_deref().and_then(read_label) else { continue };
                if name == key.name() && conflict(ledger, (session.id(), *epoch), (other, theirs)) {
                    let why = format!("epoch {epoch}, and session {other} is in epoch {theirs}");
                    problems.push(Problem::file(SEALS, Damage::EpochConflict).because(why));
                    return;
                }
            }
        }
    }
}

/// Whether two sessions cannot both have the epochs that they say: each epoch is used once, and a session that began after
/// another had ended has a later one.
fn conflict(ledger: &Ledger, (one, one_epoch): (&SessionId, u64), (other, other_epoch): (&SessionId, u64)) -> bool {
    let place = |id: &SessionId, kind: LedgerKind| {
        ledger.entries.iter().position(|entry| entry.session == *id && entry.kind == kind)
    };
    let before = |first: &SessionId, then: &SessionId| {
        place(first, LedgerKind::Seal).zip(place(then, LedgerKind::Begin)).is_some_and(|(end, begin)| end < begin)
    };
    one_epoch == other_epoch
        || (before(one, other) && one_epoch > other_epoch)
        || (before(other, one) && other_epoch > one_epoch)
}
