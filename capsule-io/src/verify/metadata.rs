//! What a session says of itself, as far as it can be believed: its name, its seal, and what the seal commits.

use capsule_core::{SessionId, SessionMetadata, StreamName};

use super::{Damage, Problem};
use crate::chain::{Chain, Hash, STREAM_DOMAIN, seal, split_seal};
use crate::error::StoreError;
use crate::format::{VersionOnly, readable};
use crate::layout::{METADATA, PENDING};
use crate::ledger::{Ledger, LedgerKind};
use crate::reader::SessionReader;

/// What the metadata commits.
pub(super) enum Seals {
    /// A seal that fits its own bytes.
    Fit(Box<SessionMetadata>),
    /// No seal.
    None,
    /// A seal was there, or is, and cannot be believed.
    Broken,
}

/// A session's own account.
pub(super) struct Account {
    /// Under which name its records were chained.
    id: SessionId,
    pub(super) seals: Seals,
    /// The seal, where it fits.
    pub(super) seal: Option<Hash>,
    /// Whether a crash left the sealed metadata beside its place, and the last keyed seal vouches for it.
    pub(super) interrupted: bool,
    /// Whether the session got as far as its first metadata; all its files were there by then.
    pub(super) begun: bool,
}

impl Account {
    pub(super) fn chain(&self, stream: StreamName) -> Chain {
        Chain::new(STREAM_DOMAIN, self.id.as_str(), stream.name())
    }
}

/// Reads the metadata, and says what does not fit in it.
pub(super) fn read(
    session: &SessionReader,
    ledger: Option<&Ledger>,
    keyed: Option<Hash>,
    running: bool,
    problems: &mut Vec<Problem>,
) -> Result<Account, StoreError> {
    let id = session.id().clone();
    let committed = ledger.and_then(|ledger| ledger.find(&id, LedgerKind::Seal)).and_then(|entry| entry.seal.clone());
    let committed = keyed.map(Hash::to_hex).or(committed);
    let broken = |problems: &mut Vec<Problem>, damage, detail: String| {
        problems.push(Problem::file(METADATA, damage).because(detail));
        Ok(Account { id: id.clone(), seals: Seals::Broken, seal: None, interrupted: false, begun: true })
    };
    let bytes = match session.dir().read(METADATA) {
        Ok(bytes) => Some(bytes),
        Err(StoreError::WrongKind { found, .. }) => {
            return broken(problems, Damage::FileReplaced, format!("it is {found}"));
        }
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => None,
        Err(error) => return Err(error),
    };
    // A crash before the metadata's last step leaves the sealed metadata beside the old one. The ledger, or the last keyed
    // seal, vouches for it, so it counts.
    let unsealed = bytes.as_deref().is_none_or(|bytes| sealed_part(bytes).is_none());
    let mut interrupted = false;
    let bytes = match (&committed, unsealed && !running) {
        (Some(hex), true) => match interrupted_seal(session, hex) {
            Some(pending) => {
                interrupted = true;
                Some(pending)
            }
            None if bytes.is_none() => return broken(problems, Damage::FileMissing, "it was sealed".to_owned()),
            None => {
                return broken(
                    problems,
                    Damage::MetadataAltered,
                    "its seal, which is known elsewhere, is gone".to_owned(),
                );
            }
        },
        _ => bytes,
    };
    let none = Account { id: id.clone(), seals: Seals::None, seal: None, interrupted: false, begun: true };
    let Some(bytes) = bytes.filter(|bytes| bytes.iter().any(|byte| *byte != 0)) else {
        // Metadata is never written in place: missing or empty is what a crash at the very beginning leaves.
        problems.push(Problem::file(METADATA, Damage::Torn).because("it is empty or missing"));
        return Ok(Account { begun: false, ..none });
    };
    let version = serde_json::from_slice::<VersionOnly>(&bytes);
    if let Ok(version) = &version
        && !readable(version.format)
    {
        return Err(StoreError::Version { path: session.path().join(METADATA), found: version.format });
    }
    let metadata = match serde_json::from_slice::<SessionMetadata>(&bytes) {
        Ok(metadata) => metadata,
        // Nothing vouches for a seal, and the end is missing: renamed before its bytes were on the disk, when power went.
        Err(error) if committed.is_none() && is_cut(&bytes) => {
            problems.push(Problem::file(METADATA, Damage::Torn).because(error.to_string()));
            return Ok(none);
        }
        Err(error) => return broken(problems, Damage::MetadataAltered, error.to_string()),
    };
    let named = metadata.id.clone();
    if named != id {
        problems.push(Problem::file(METADATA, Damage::MetadataAltered).because(format!("it is of session {named}")));
    }
    match sealed_part(&bytes) {
        Some((sealed, carried)) if seal(named.as_str(), sealed) == carried => {
            // A whole session under another name is checked under its own.
            Ok(Account {
                id: named,
                seals: Seals::Fit(Box::new(metadata)),
                seal: Some(carried),
                interrupted,
                begun: true,
            })
        }
        Some(_) => broken(problems, Damage::MetadataAltered, "its seal does not fit".to_owned()),
        None if !metadata.streams.is_empty() || metadata.tree.is_some() => {
            broken(problems, Damage::MetadataAltered, "its seal was taken off".to_owned())
        }
        None => Ok(none),
    }
}

/// Whether bytes are the beginning of metadata, with or without zeros in the place of the rest.
fn is_cut(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let (begin, _) = bytes.split_at(bytes.len() - zeros);
    serde_json::from_slice::<serde_json::Value>(begin).map_or_else(|error| error.is_eof(), |_| zeros > 0)
}

/// The sealed bytes and the seal. The file is one line, with its end.
fn sealed_part(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    split_seal(bytes.strip_suffix(b"\n")?)
}

/// Sealed metadata that did not get to its place, if it has the seal that the ledger knows.
fn interrupted_seal(session: &SessionReader, hex: &str) -> Option<Vec<u8>> {
    let names = session.dir().names().ok()?;
    names.iter().filter(|name| name.starts_with(PENDING)).find_map(|name| {
        let bytes = session.dir().read(name).ok()?;
        let (_, carried) = sealed_part(&bytes)?;
        (carried.to_hex() == hex).then_some(bytes)
    })
}
