//! The store: a user's sessions below one home.

use std::path::{Path, PathBuf};

use capsule_core::{Pid, SessionId, SessionMetadata, SessionStatus, Timestamp};

use crate::dir::{Dir, random_u64};
use crate::error::StoreError;
use crate::layout::{METADATA, RUNS, default_home};
use crate::ledger::{self, Ledger};
use crate::reader::{SessionReader, SessionState};
use crate::session::{SessionWriter, Unsealed, unsealed_bytes};

/// Among how many of the last sessions one is looked for whose recorder is gone.
const RECENT: usize = 64;

/// A user's sessions.
#[derive(Debug, Clone)]
pub struct Store {
    home: PathBuf,
}

/// A session in a listing.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub id: SessionId,
    /// How it stands.
    pub state: SessionState,
    /// What it says of itself, or why that cannot be read.
    pub metadata: Result<SessionMetadata, StoreError>,
}

impl Store {
    /// The store at `$CAPSULE_HOME` or `~/.capsule`. Nothing is made until a session is.
    ///
    /// # Errors
    /// When no home is known.
    pub fn open() -> Result<Self, StoreError> {
        Ok(Self { home: default_home()? })
    }

    /// The store at `home`.
    #[must_use]
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Self { home: home.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A new session's name.
    ///
    /// # Errors
    /// When the operating system gives no random bits.
    pub fn new_id(&self, started: Timestamp) -> Result<SessionId, StoreError> {
        let random = random_u64()?;
        Ok(SessionId::new(started, u32::try_from(random & 0x3fff_ffff).unwrap_or(0)))
    }

    /// Makes the home, and the directory of sessions in it, where they are missing; says why a session could not be
    /// recorded here.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(&self) -> Result<(), StoreError> {
        open_for_writing(&self.home).map(drop)
    }

    /// Begins a session: its directory, its empty streams, its metadata as it is now, its lock.
    ///
    /// # Errors
    /// When something of it cannot be made, or a session of this name exists.
    pub fn create(&self, metadata: &SessionMetadata) -> Result<SessionWriter<Unsealed>, StoreError> {
        let (home, runs) = open_for_writing(&self.home)?;
        SessionWriter::create(home, &runs, metadata)
    }

    /// Says in a session's metadata that its recorder is gone, for whoever outlives it: its name, or `None` where no
    /// session of this recorder was left in the middle.
    ///
    /// # Errors
    /// When the store cannot be read, or the metadata not written.
    pub fn recorder_gone(&self, recorder: Pid, how: &str) -> Result<Option<SessionId>, StoreError> {
        // It is among the last ones: others may have begun since.
        for id in self.ids()?.into_iter().rev().take(RECENT) {
            let session = self.session(&id)?;
            let Ok(mut metadata) = session.metadata() else { continue };
            let left = metadata.recorder == recorder && metadata.status == SessionStatus::Incomplete;
            if left && session.state() == SessionState::Unsealed {
                metadata.status = SessionStatus::Failed { stage: "recorder".to_owned(), reason: how.to_owned() };
                session.dir().replace(METADATA, &unsealed_bytes(&metadata, session.dir())?, false)?;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn runs(&self) -> Result<Option<Dir>, StoreError> {
        match Dir::open(&self.home).and_then(|home| home.open_dir(RUNS)) {
            Ok(runs) => Ok(Some(runs)),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all sessions, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read. A store that does not exist yet has no sessions.
    pub fn ids(&self) -> Result<Vec<SessionId>, StoreError> {
        let Some(runs) = self.runs()? else { return Ok(Vec::new()) };
        let mut ids: Vec<SessionId> = runs.names()?.iter().filter_map(|name| SessionId::parse(name).ok()).collect();
        ids.sort();
        // Names tell the second; which of several in one second was first, only their own accounts tell.
        for same in ids.chunk_by_mut(|a, b| second(a) == second(b)) {
            if same.len() > 1 {
                same.sort_by_cached_key(|id| {
                    let dir = runs.open_dir(id.as_str()).ok();
                    dir.and_then(|dir| SessionReader::new(dir, id.clone()).metadata().ok())
                        .map(|account| account.started)
                });
            }
        }
        Ok(ids)
    }

    /// All sessions, oldest first; broken ones are among them, with the reason.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let Some(runs) = self.runs()? else { return Ok(Vec::new()) };
        let ids = self.ids()?;
        Ok(ids
            .into_iter()
            .map(|id| match runs.open_dir(id.as_str()) {
                Ok(dir) => {
                    let reader = SessionReader::new(dir, id);
                    Listed { id: reader.id().clone(), state: reader.state(), metadata: reader.metadata() }
                }
                Err(error) => Listed { id, state: SessionState::Unsealed, metadata: Err(error) },
            })
            .collect())
    }

    /// Opens a session by its exact name; [`Self::resolve`] finds it.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn session(&self, id: &SessionId) -> Result<SessionReader, StoreError> {
        let missing = || StoreError::NotFound { wanted: id.to_string() };
        let runs = self.runs()?.ok_or_else(missing)?;
        match runs.open_dir(id.as_str()) {
            Ok(dir) => Ok(SessionReader::new(dir, id.clone())),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(error),
        }
    }

    /// Finds and opens a session by what a person types: `latest`, `@{-1}`, a name or a part of one that is unique.
    ///
    /// # Errors
    /// When none or several match, or the one that does cannot be opened.
    pub fn find(&self, wanted: &str) -> Result<SessionReader, StoreError> {
        self.session(&self.resolve(wanted)?)
    }

    /// The name of the session that `wanted` means: `latest`, `@{-1}`, a name or a part of one that is unique.
    ///
    /// # Errors
    /// When none or several match.
    pub fn resolve(&self, wanted: &str) -> Result<SessionId, StoreError> {
        crate::resolve::resolve(&self.ids()?, wanted)
    }

    /// The ledger of sessions, checked.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn ledger(&self) -> Result<Ledger, StoreError> {
        match Dir::open(&self.home) {
            Ok(home) => ledger::read(&home),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(Ledger::default())
            }
            Err(error) => Err(error),
        }
    }
}

/// The home and its directory of sessions, made where they are missing.
pub(crate) fn open_for_writing(path: &Path) -> Result<(Dir, Dir), StoreError> {
    // The home's own parents are the user's business: links among them are followed, its last component is not.
    let home = match Dir::open(path) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let there = path.ancestors().skip(1).find(|above| above.is_dir());
            let mut builder = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
            builder.create(path).map_err(|source| StoreError::io("create", path, source))?;
            let dir = Dir::open(path)?;
            dir.protect()?;
            for made_in in
                path.ancestors().skip(1).take_while(|above| there.is_some_and(|there| above.starts_with(there)))
            {
                // A directory of somebody else's may be closed to us for reading: then its names are his business.
                drop(std::fs::File::open(made_in).and_then(|made_in| made_in.sync_all()));
            }
            dir
        }
        other => other?,
    };
    let runs = home.make_dir(RUNS, false)?;
    Ok((home, runs))
}

/// The part of a session's name that is its start, to the second.
fn second(id: &SessionId) -> &str {
    id.as_str().rsplit_once('-').map_or(id.as_str(), |(start, _)| start)
}

#[cfg(test)]
mod tests;
