//! Checks a session from the bytes as written, and says exactly what does not fit.
//!
//! Every stream is walked link by link; the seal is recomputed and compared with what it commits, and with the ledger.
//! Where something does not fit, a second, slower look tells apart what was done: see [`Damage`]. What a crash can leave
//! behind is never called tampering, and what a crash cannot leave behind is never excused as one.

mod diagnose;
mod keyed;
mod metadata;
mod scan;
mod verdict;

use std::io::Read as _;

use capsule_core::{SessionId, StreamName};

use crate::before;
use crate::chain::Hash;
use crate::dir::Dir;
use crate::error::StoreError;
use crate::key::VerificationKey;
use crate::layout::{STATEMENT, TREE, stream_file};
use crate::ledger::{Ledger, LedgerKind};
use crate::reader::{SessionReader, is_locked};
use crate::sign::{PublicKey, check_statement};
use crate::store::Store;

use keyed::Keyed;
use metadata::{Account, Seals};
use scan::{Scan, scan};
pub use verdict::{Damage, KeyedFact, LedgerFact, Overall, Problem, StreamVerdict, Verdict};

/// What to check a session against.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct VerifyOptions<'a> {
    /// The store with its ledger and the other sessions; without it, the session is checked for itself alone.
    pub store: Option<&'a Store>,
    /// The key that the session must be sealed with.
    pub key: Option<&'a VerificationKey>,
    /// Who must have signed a statement about the session.
    pub signer: Option<&'a PublicKey>,
    /// Sealed streams that are not walked while they have the size that was sealed.
    pub passed_over: &'a [StreamName],
}

impl<'a> VerifyOptions<'a> {
    /// Checks against the ledger of `store`, too.
    #[must_use]
    pub const fn in_store(store: &'a Store) -> Self {
        Self { store: Some(store), key: None, signer: None, passed_over: &[] }
    }

    /// Demands that the session be sealed with this key.
    #[must_use]
    pub const fn with_key(self, key: &'a VerificationKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Passes over sealed streams that have the size that was sealed: the [`Verdict`] is about the other ones.
    #[must_use]
    pub const fn passing_over(self, streams: &'a [StreamName]) -> Self {
        Self { passed_over: streams, ..self }
    }

    /// Demands a statement about the session that is signed by this key.
    #[must_use]
    pub const fn signed_by(self, key: &'a PublicKey) -> Self {
        Self { signer: Some(key), ..self }
    }
}

/// Checks a session.
///
/// # Errors
/// When it could not be checked: the disk or the rights refuse, or another version of Capsule wrote it. What does not
/// fit is no error but a [`Verdict`].
pub fn verify(session: &SessionReader, options: &VerifyOptions<'_>) -> Result<Verdict, StoreError> {
    let dir = session.dir();
    // Asked first: a session that ends while it is checked is called running, not torn.
    let running = is_locked(dir);
    let ledger = options.store.map(Store::ledger).transpose()?;
    let mut problems = Vec::new();
    let keyed = keyed::read(session, options.key, &mut problems)?;
    let account = metadata::read(session, ledger.as_ref(), keyed.seal, running, &mut problems)?;
    keyed.compare(session, &account, options, ledger.as_ref(), &mut problems);
    let mut streams = Vec::new();
    let walked = StreamName::ALL.into_iter().filter(|stream| {
        let passed_over = options.passed_over.contains(stream) && keyed.checkpoints(*stream).is_empty();
        !(passed_over && has_sealed_size(dir, *stream, &account))
    });
    for scanned in scan_all(dir, &walked.collect::<Vec<_>>(), &account, &keyed)? {
        let elsewhere = diagnose::Elsewhere { session, store: options.store, stream: scanned.stream };
        streams.push(judge(scanned, &account, &keyed, running, &elsewhere, &mut problems)?);
    }
    if let Seals::Fit(sealed) = &account.seals {
        check_tree(dir, sealed.tree.as_deref(), &mut problems)?;
        if let Some(snapshots) = &sealed.snapshots {
            before::check(dir, snapshots, &mut problems)?;
        }
    }
    let (fact, problem) = check_ledger(session.id(), &account, ledger.as_ref());
    problems.extend(problem);
    let signer = options.signer.map(|key| check_signature(dir, key, &mut problems)).transpose()?.flatten();
    let ledger_damage = ledger.and_then(|ledger| ledger.damage);
    let overall = overall(&account, running, &mut problems);
    Ok(Verdict {
        session: session.id().clone(),
        overall,
        seal: account.seal.map(Hash::to_hex),
        ledger: fact,
        keyed: keyed.fact,
        signer,
        ledger_damage,
        streams,
        problems,
    })
}

fn overall(account: &Account, running: bool, problems: &mut Vec<Problem>) -> Overall {
    let tampered = problems.iter().any(|problem| problem.damage.is_tampering());
    let torn = problems.iter().any(|problem| problem.damage == Damage::Torn);
    let sealed = matches!(account.seals, Seals::Fit(_));
    if !sealed && !tampered {
        let damage = if running { Damage::Running } else { Damage::Unsealed };
        problems.push(Problem::file(crate::layout::METADATA, damage));
    }
    problems.sort_by_key(|problem| !problem.damage.is_tampering());
    match (tampered, sealed, running, torn) {
        (true, ..) => Overall::Tampered,
        (false, true, ..) => Overall::Whole,
        (false, false, true, _) => Overall::Running,
        (false, false, false, true) => Overall::Torn,
        (false, false, false, false) => Overall::Unsealed,
    }
}

/// A stream, walked from its first record to the first one that does not fit.
struct Scanned {
    stream: StreamName,
    found: Found,
}

enum Found {
    Walked(std::fs::File, Scan),
    Missing,
    Replaced(&'static str),
}

/// Whether a stream's file is as long as it was when it was sealed.
fn has_sealed_size(dir: &Dir, stream: StreamName, account: &Account) -> bool {
    let Seals::Fit(sealed) = &account.seals else { return false };
    let size = dir.open_file(stream_file(stream)).and_then(|file| {
        file.metadata().map_err(|source| StoreError::io("look at", &dir.path().join(stream_file(stream)), source))
    });
    size.is_ok_and(|file| sealed.streams.get(&stream).is_some_and(|seal| seal.bytes == file.len()))
}

/// Walks streams, each on a thread of its own.
fn scan_all(dir: &Dir, streams: &[StreamName], account: &Account, keyed: &Keyed) -> Result<Vec<Scanned>, StoreError> {
    let walk = |stream: StreamName| -> Result<Scanned, StoreError> {
        let name = stream_file(stream);
        let found = match dir.open_file(name) {
            Ok(file) => {
                let walked = scan(&file, &account.chain(stream), keyed.checkpoints(stream));
                let scan = walked.map_err(|source| StoreError::io("read", &dir.path().join(name), source))?;
                Found::Walked(file, scan)
            }
            Err(StoreError::WrongKind { found, .. }) => Found::Replaced(found),
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => Found::Missing,
            Err(error) => return Err(error),
        };
        Ok(Scanned { stream, found })
    };
    let results: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let thread = |stream| std::thread::Builder::new().spawn_scoped(scope, move || walk(stream)).ok();
        let threads: Vec<_> = streams.iter().map(|stream| (*stream, thread(*stream))).collect();
        let joined = threads.into_iter().map(|(stream, thread)| {
            // Where the user has no thread left, one after the other will do.
            thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| walk(stream))
        });
        joined.collect()
    });
    results
}

/// Compares what was walked with what was sealed, and looks closer where it does not fit.
fn judge(
    scanned: Scanned,
    account: &Account,
    keyed: &Keyed,
    running: bool,
    elsewhere: &diagnose::Elsewhere<'_>,
    problems: &mut Vec<Problem>,
) -> Result<StreamVerdict, StoreError> {
    let Scanned { stream, found } = scanned;
    let name = stream_file(stream);
    let sealed = match &account.seals {
        Seals::Fit(metadata) => metadata.streams.get(&stream),
        Seals::None | Seals::Broken => None,
    };
    let chain = account.chain(stream);
    let mut verdict = StreamVerdict {
        stream,
        records: 0,
        bytes: 0,
        head: chain.start().to_hex(),
        sealed_records: sealed.map(|seal| seal.records),
        torn: None,
        fits: false,
    };
    let (file, scan) = match found {
        Found::Walked(file, scan) => (file, scan),
        Found::Replaced(kind) => {
            problems.push(Problem::file(name, Damage::FileReplaced).because(format!("it is {kind}")));
            return Ok(verdict);
        }
        Found::Missing => {
            // A power cut takes the names that were not durable yet: before anything was sealed, all of them.
            let promised = sealed.is_some() || keyed.checkpoints(stream).last().is_some_and(|last| last.records > 0);
            let never = matches!(account.seals, Seals::None) && !running && !promised;
            let damage = if never || !account.begun { Damage::Torn } else { Damage::FileMissing };
            problems.push(Problem::file(name, damage));
            return Ok(verdict);
        }
    };
    (verdict.records, verdict.bytes, verdict.head) = (scan.records, scan.bytes, scan.head.to_hex());
    let io = |source| StoreError::io("read", &elsewhere.session.dir().path().join(name), source);
    let next = scan.records + 1;
    let line = Some(next);
    if let Some((first, last)) = scan.contradicted {
        let detail = format!("records {first} to {last} link, but are not the ones that were sealed with the key");
        problems.push(Problem::record(name, first, first, Damage::Rechained).because(detail));
        return Ok(verdict);
    }
    let more = sealed.is_none_or(|seal| seal.records > scan.records);
    if scan.misfit && more {
        let (damage, detail) = diagnose::diagnose(&file, &chain, &scan, elsewhere).map_err(io)?;
        // Blocks that were never written read as zeros after a power cut; in a sealed stream there are none.
        let damage = if damage == Damage::Torn && sealed.is_some() { Damage::Altered } else { damage };
        problems.push(Problem {
            file: name.to_owned(),
            line,
            record: line,
            damage,
            detail: detail.map(|text| capsule_core::escape_terminal(text.as_bytes())),
        });
        return Ok(verdict);
    }
    if let Some(seal) = sealed {
        let damage = if scan.records < seal.records {
            Some(Damage::Truncated)
        } else if scan.misfit || scan.torn.is_some() || scan.records > seal.records {
            Some(Damage::Inserted)
        } else if seal.head.as_bytes() != verdict.head.as_bytes() {
            Some(Damage::Rechained)
        } else {
            None
        };
        verdict.fits = damage.is_none();
        match damage {
            Some(Damage::Rechained) => problems.push(Problem::file(name, Damage::Rechained)),
            Some(Damage::Inserted) => {
                let first = seal.records.min(scan.records) + 1;
                problems.push(
                    Problem::record(name, first, first, Damage::Inserted).because("behind the last sealed record"),
                );
            }
            Some(damage) => {
                let detail = format!("{} of {} sealed records are left", scan.records, seal.records);
                problems.push(Problem::record(name, next, next, damage).because(detail));
            }
            None => {}
        }
        return Ok(verdict);
    }
    let promised = keyed.checkpoints(stream).last().map_or(0, |last| last.records);
    if scan.records < promised {
        let detail = format!("{} of {promised} records that were sealed with the key are left", scan.records);
        problems.push(Problem::record(name, next, next, Damage::Truncated).because(detail));
        return Ok(verdict);
    }
    verdict.torn = scan.torn;
    verdict.fits = scan.torn.is_none();
    if let Some(torn) = scan.torn {
        let detail = format!("{} bytes of it are there", torn.bytes);
        problems.push(Problem::record(name, next, torn.line, Damage::Torn).because(detail));
    }
    Ok(verdict)
}

/// Compares the tree's bytes with what was sealed.
fn check_tree(dir: &Dir, sealed: Option<&str>, problems: &mut Vec<Problem>) -> Result<(), StoreError> {
    let mut file = match dir.open_file(TREE) {
        Ok(file) => file,
        Err(StoreError::WrongKind { found, .. }) => {
            problems.push(Problem::file(TREE, Damage::FileReplaced).because(format!("it is {found}")));
            return Ok(());
        }
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => {
            problems.push(Problem::file(TREE, Damage::FileMissing));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(block.split_at(count.min(block.len())).0);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::io("read", &dir.path().join(TREE), source)),
        }
    }
    if sealed != Some(Hash(*hasher.finalize().as_bytes()).to_hex().as_str()) {
        problems.push(Problem::file(TREE, Damage::TreeAltered));
    }
    Ok(())
}

/// Looks for a statement about the metadata as it is that is signed by `key`; returns the key's name.
fn check_signature(dir: &Dir, key: &PublicKey, problems: &mut Vec<Problem>) -> Result<Option<String>, StoreError> {
    let mut not_signed = |why: String| {
        problems.push(Problem::file(STATEMENT, Damage::NotSigned).because(why));
        Ok(None)
    };
    let envelope = match dir.read(STATEMENT) {
        Ok(envelope) => envelope,
        Err(StoreError::WrongKind { found, .. }) => return not_signed(format!("it is {found}")),
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => {
            return not_signed("there is no statement".to_owned());
        }
        Err(error) => return Err(error),
    };
    // Metadata that cannot be read has its own problem already.
    let metadata = dir.read(crate::layout::METADATA).unwrap_or_default();
    match check_statement(&envelope, &metadata, key) {
        Ok(_) => Ok(Some(key.id())),
        Err(error) => not_signed(error.to_string()),
    }
}

/// Compares a session's seal with the ledger.
fn check_ledger(id: &SessionId, account: &Account, ledger: Option<&Ledger>) -> (LedgerFact, Option<Problem>) {
    let Some(ledger) = ledger else { return (LedgerFact::NotChecked, None) };
    let Some(seal) = account.seal else { return (LedgerFact::NothingToCompare, None) };
    let problem = |damage| Problem::file(crate::layout::LEDGER, damage);
    let hex = seal.to_hex();
    match ledger.find(id, LedgerKind::Seal) {
        Some(entry) if entry.seal.as_deref() == Some(hex.as_str()) => (LedgerFact::Known, None),
        Some(_) => (
            LedgerFact::OtherSeal,
            Some(problem(Damage::LedgerAltered).because("it knows another seal of this session")),
        ),
        // The crash came before the ledger's entry, and the key vouches for what was to be entered.
        None if account.interrupted => (LedgerFact::Unknown, None),
        None => match &ledger.damage {
            Some(damage) => {
                let detail = format!("line {}: {}", damage.line, damage.reason);
                let fact = if ledger.behind.iter().any(|entry| entry.session == *id) {
                    LedgerFact::NotTrusted
                } else {
                    LedgerFact::Unknown
                };
                let mut problem = problem(Damage::LedgerAltered).because(detail);
                problem.line = Some(damage.line);
                (fact, Some(problem))
            }
            None => {
                let why = if ledger.exists { "it has no such entry" } else { "there is no ledger" };
                (LedgerFact::Unknown, Some(problem(Damage::LedgerMissing).because(why)))
            }
        },
    }
}

#[cfg(test)]
mod keyed_tests;
#[cfg(test)]
mod tests;
