//! Keys for forward-secure sealing: what evolves, and what the user keeps elsewhere.
//!
//! A pair begins as one secret. The *verification key* is that secret, kept away from the machine. The *sealing key* is
//! the secret at an epoch: each session takes one epoch and the key is replaced by its successor, so the file on disk
//! never holds what an earlier session was sealed with. Within a session the key evolves again with every interval. All
//! derivation is `BLAKE3 derive_key`, which cannot be run backwards, and every key is erased from memory when it is done.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use capsule_core::SessionId;
use zeroize::{Zeroize as _, Zeroizing};

use crate::chain::Hash;
use crate::dir::{Dir, LOCK_LIMIT, fill_random, lock_within};
use crate::error::StoreError;

const NEXT_EPOCH: &str = "capsule 2026 keyed.v1 next epoch";
const SESSION: &str = "capsule 2026 keyed.v1 session";
const NEXT_INTERVAL: &str = "capsule 2026 keyed.v1 next interval";
const MAC: &str = "capsule 2026 keyed.v1 mac";
const NAME: &str = "capsule 2026 keyed.v1 name";
const SEALING: &str = "capsule-seal-1";
const VERIFYING: &str = "capsule-verify-1";
/// More epochs than anybody's sessions; walking them takes a second or two.
const MAX_EPOCH: u64 = 10_000_000;

/// On the heap, so that moving a key leaves no copy behind.
type Secret = Box<Zeroizing<[u8; 32]>>;

fn secret(mut bytes: [u8; 32]) -> Secret {
    let mut secret = Box::new(Zeroizing::new([0; 32]));
    secret.copy_from_slice(&bytes);
    bytes.zeroize();
    secret
}

/// Derives one secret from another.
fn derive(context: &str, parts: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut hash = hasher.finalize();
    let derived = secret(*hash.as_bytes());
    hash.zeroize();
    hasher.zeroize();
    derived
}

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not have the form of one.
    #[error("not a key of Capsule: it should begin with `{expected}`")]
    Form {
        /// How it should begin.
        expected: &'static str,
    },
    /// Its epoch is beyond anything that was ever used.
    #[error("the key's epoch is out of range")]
    Epoch,
}

/// Seals one session after the other, and forgets how.
pub struct SealingKey {
    epoch: u64,
    secret: Secret,
    name: Hash,
}

/// Checks what the sealing key of the same pair sealed, in every epoch. Whoever has it can also forge.
pub struct VerificationKey {
    secret: Secret,
}

/// What one session is sealed with.
pub struct SessionKey {
    pub(crate) epoch: u64,
    pub(crate) interval: IntervalKey,
    pub(crate) name: Hash,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerificationKey").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// A new pair.
///
/// # Errors
/// When the operating system gives no random bits.
pub fn generate() -> Result<(SealingKey, VerificationKey), StoreError> {
    let mut secret: Secret = Box::new(Zeroizing::new([0; 32]));
    fill_random(secret.as_mut_slice())?;
    let verification = VerificationKey { secret };
    Ok((verification.sealing_key(), verification))
}

impl VerificationKey {
    /// Reads `capsule-verify-1:<64 hex>`.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let hex = text.trim().strip_prefix(VERIFYING).and_then(|rest| rest.strip_prefix(':'));
        let hash = hex.and_then(|hex| Hash::from_hex(hex.as_bytes())).ok_or(KeyError::Form { expected: VERIFYING })?;
        Ok(Self { secret: secret(hash.0) })
    }

    /// The text that [`Self::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{VERIFYING}:{}", Hash(**self.secret)))
    }

    /// What both keys of the pair are known by. It says nothing about them.
    #[must_use]
    pub fn name(&self) -> String {
        self.hash_name().to_hex()
    }

    pub(crate) fn hash_name(&self) -> Hash {
        Hash(**derive(NAME, &[self.secret.as_slice()]))
    }

    /// The sealing key of the pair, at its first epoch.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey { epoch: 0, secret: self.secret.clone(), name: self.hash_name() }
    }

    /// What the session `id` was sealed with in `epoch`.
    pub(crate) fn session(&self, epoch: u64, id: &SessionId) -> Option<SessionKey> {
        if epoch > MAX_EPOCH {
            return None;
        }
        let mut key = self.sealing_key();
        (0..epoch).for_each(|_| key.evolve());
        Some(key.session(id))
    }
}

impl SealingKey {
    /// Reads `capsule-seal-1:<epoch>:<name>:<64 hex>`.
    ///
    /// # Errors
    /// When it has another form, or its epoch is out of range.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let form = || KeyError::Form { expected: SEALING };
        let rest = text.trim().strip_prefix(SEALING).and_then(|rest| rest.strip_prefix(':')).ok_or_else(form)?;
        let mut parts = rest.split(':');
        let (Some(epoch), Some(name), Some(hex), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let hash = |hex: &str| Hash::from_hex(hex.as_bytes()).ok_or_else(form);
        let epoch: u64 = epoch.parse().map_err(|_not_a_number| form())?;
        if epoch > MAX_EPOCH {
            return Err(KeyError::Epoch);
        }
        Ok(Self { epoch, name: hash(name)?, secret: secret(hash(hex)?.0) })
    }

    /// The text that [`Self::parse`] reads.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SEALING}:{}:{}:{}", self.epoch, self.name, Hash(**self.secret)))
    }

    /// Which epoch it is at: how many sessions it has sealed.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    fn evolve(&mut self) {
        self.secret = derive(NEXT_EPOCH, &[self.secret.as_slice()]);
        self.epoch += 1;
    }

    fn session(&self, id: &SessionId) -> SessionKey {
        let secret = derive(SESSION, &[self.secret.as_slice(), id.as_str().as_bytes()]);
        SessionKey { epoch: self.epoch, interval: IntervalKey { secret }, name: self.name }
    }

    /// The key for one session, for which this epoch is used up.
    #[must_use]
    pub fn take(&mut self, id: &SessionId) -> SessionKey {
        let key = self.session(id);
        self.evolve();
        key
    }

    /// Writes the key to a new file that only the user can read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn save_new(&self, path: &Path) -> Result<(), StoreError> {
        let (dir, name) = place(path)?;
        let mut file = dir.create_new(&name)?;
        let text = self.to_text();
        let written =
            file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
        written.map_err(|source| StoreError::io("write", path, source))?;
        dir.sync()
    }

    /// Takes the next session's key from the file at `path`, which then holds the successor only.
    ///
    /// # Errors
    /// When the file cannot be read or replaced, is no key, or can be read by others.
    pub fn take_from(path: &Path, id: &SessionId) -> Result<SessionKey, StoreError> {
        let (dir, name) = place(path)?;
        // The directory's lock, not the file's: the file is replaced.
        let lock = File::open(dir.path()).map_err(|source| StoreError::io("open", dir.path(), source))?;
        lock_within(&lock, LOCK_LIMIT).map_err(|source| StoreError::io("lock", dir.path(), source))?;
        let file = dir.open_file(&name)?;
        let is = file.metadata().map_err(|source| StoreError::io("look at", path, source))?;
        if is.mode() & 0o077 != 0 {
            return Err(StoreError::KeyExposed { path: path.to_owned(), mode: is.mode() & 0o777 });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(1024).read_to_string(&mut text).map_err(|source| StoreError::io("read", path, source))?;
        let mut key = Self::parse(&text).map_err(|source| StoreError::Key { path: path.to_owned(), source })?;
        let taken = key.take(id);
        let next = Zeroizing::new(format!("{}\n", key.to_text().as_str()));
        dir.replace(&name, next.as_bytes(), true)?;
        Ok(taken)
    }
}

/// The directory and the name of a file.
pub(crate) fn place(path: &Path) -> Result<(Dir, String), StoreError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = name.ok_or_else(|| StoreError::io("use", path, std::io::ErrorKind::InvalidFilename.into()))?;
    let parent = parent.canonicalize().map_err(|source| StoreError::io("open", parent, source))?;
    Ok((Dir::open(&parent)?, name.to_owned()))
}

/// What one interval of a session is sealed with.
pub(crate) struct IntervalKey {
    secret: Secret,
}

impl IntervalKey {
    /// The code of an interval's seal, over its length-prefixed fields.
    pub(crate) fn mac(&self, fields: &[&[u8]]) -> Hash {
        let key = derive(MAC, &[self.secret.as_slice()]);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for field in fields {
            hasher.update(&(field.len() as u64).to_le_bytes()).update(field);
        }
        let mac = Hash(*hasher.finalize().as_bytes());
        hasher.zeroize();
        mac
    }

    /// Becomes the next interval's key; this one's is gone.
    pub(crate) fn evolve(&mut self) {
        self.secret = derive(NEXT_INTERVAL, &[self.secret.as_slice()]);
    }
}

#[cfg(test)]
mod tests;
