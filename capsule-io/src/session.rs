//! A session while it is recorded: the typestate [`Unsealed`] → [`Sealed`].
//!
//! The order of sealing is what makes a crash at any moment readable: streams, tree and the sealed metadata, under a random
//! name, are made durable, then the ledger's entry, and only then the metadata takes its place. Whatever is
//! missing after a crash is missing at the end of this list.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use capsule_core::{ProcessTree, SessionId, SessionMetadata, StreamName, StreamSeal, Timestamp};
use serde::Serialize;

use crate::before;
use crate::chain::{Chain, Hash, SEAL_FIELD, STREAM_DOMAIN, push_field_hash, seal};
use crate::dir::{Dir, LOCK_LIMIT, Pending, lock_within};
use crate::error::StoreError;
use crate::guard::{self, Disturbance, LedgerMark};
use crate::key::SessionKey;
use crate::keyed::{self, Progress, Sealing, Watched};
use crate::layout::{BEFORE, METADATA, RUNS, SEALS, TREE, stream_file};
use crate::ledger::{self, LedgerKind};
use crate::store;
use crate::writer::ChainWriter;

/// How much of a tree's text is written at once.
const WRITE_AT_ONCE: usize = 64 << 10;

/// The state of a session that still takes records.
#[derive(Debug)]
pub struct Unsealed {
    streams: BTreeMap<StreamName, Watched>,
    lock: File,
    keyed: Option<Sealing>,
    ledger: Option<LedgerMark>,
}

/// The state of a session that is closed for good.
#[derive(Debug)]
pub struct Sealed {
    seal: Hash,
    disturbances: Vec<Disturbance>,
}

/// Writes a session.
#[derive(Debug)]
pub struct SessionWriter<State> {
    home: Dir,
    dir: Arc<Dir>,
    id: SessionId,
    state: State,
}

impl<State> SessionWriter<State> {
    /// The session's name.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session's directory, as it was named when it was made.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl SessionWriter<Unsealed> {
    /// Makes the session's directory with empty streams and incomplete metadata, and takes its lock.
    pub(crate) fn create(home: Dir, runs: &Dir, metadata: &SessionMetadata) -> Result<Self, StoreError> {
        let id = metadata.id.clone();
        // The ledger first: what is begun and then gone was taken away. The metadata last: where it is, all is there.
        ledger::append(&home, LedgerKind::Begin, &id, None, metadata.started, false)?;
        let ledger = LedgerMark::of(&home);
        let dir = runs.make_dir(id.as_str(), true)?;
        let lock = dir.create_new(crate::layout::LOCK)?;
        // A reader may be asking for it just now.
        lock_within(&lock, LOCK_LIMIT).map_err(|source| StoreError::io("lock", dir.path(), source))?;
        let mut streams = BTreeMap::new();
        for stream in StreamName::ALL {
            let start = Chain::new(STREAM_DOMAIN, id.as_str(), stream.name()).start();
            let file = Arc::new(dir.create_new(stream_file(stream))?);
            streams.insert(stream, Watched { stream, file, progress: Progress::new(start) });
        }
        dir.replace(METADATA, &unsealed_bytes(metadata, &dir)?, false)?;
        Ok(Self { home, dir: Arc::new(dir), id, state: Unsealed { streams, lock, keyed: None, ledger } })
    }

    /// The writer of a stream. Ask once for each.
    ///
    /// # Errors
    /// When the stream has no open file.
    pub fn stream(&self, stream: StreamName) -> Result<ChainWriter, StoreError> {
        let watched = self.state.streams.get(&stream).ok_or(StoreError::StreamNotEnded { stream })?;
        let path = self.dir.path().join(stream_file(stream));
        Ok(ChainWriter::new(watched, path, &self.id))
    }

    /// Makes the directory for contents that are kept.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_before(&self) -> Result<OwnedFd, StoreError> {
        Ok(self.dir.make_dir(BEFORE, true)?.into_fd())
    }

    /// Seals the session with an evolving key as well, now, at every interval, and at the end.
    ///
    /// Ask before the command starts: the first seal binds the session to the key's epoch.
    ///
    /// # Errors
    /// When the first seal cannot be written.
    pub fn seal_with_key(
        &mut self,
        key: SessionKey,
        every: Duration,
        metadata: &SessionMetadata,
    ) -> Result<(), StoreError> {
        let file = self.dir.create_new(SEALS)?;
        // What is sealed must not lose its name.
        self.dir.sync()?;
        let streams = self.state.streams.values().cloned().collect();
        let path = self.dir.path().join(SEALS);
        self.state.keyed = Some(keyed::start(file, path, self.id.clone(), key, streams, every)?);
        self.update(metadata)
    }

    /// Writes snapshots of the tree while the session runs.
    #[must_use]
    pub fn tree_writer(&self) -> TreeWriter {
        TreeWriter { dir: Arc::clone(&self.dir) }
    }

    /// Replaces the metadata of the running session.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn update(&self, metadata: &SessionMetadata) -> Result<(), StoreError> {
        let mut metadata = metadata.clone();
        metadata.keyed = self.keyed_label();
        metadata.disturbances = said(&self.disturbances());
        self.dir.replace(METADATA, &unsealed_bytes(&metadata, &self.dir)?, false)
    }

    fn keyed_label(&self) -> Option<String> {
        self.state.keyed.as_ref().map(|keyed| keyed.label.clone())
    }

    /// Leaves the session unsealed, with what is known of it: for a session of which a part of Capsule failed.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub fn abandon(self, metadata: &SessionMetadata) -> Result<(), StoreError> {
        self.update(metadata)
    }

    /// What happened to the session's files until now that Capsule did not do.
    #[must_use]
    pub fn disturbances(&self) -> Vec<Disturbance> {
        guard::look(&self.home, &self.dir, self.state.streams.values(), self.state.ledger, false)
    }

    /// Looks after the files a last time, and writes anew what is no longer under its name.
    fn restore(&mut self) -> Result<Vec<Disturbance>, StoreError> {
        let found = guard::look(&self.home, &self.dir, self.state.streams.values(), self.state.ledger, true);
        if !self.dir.still_in_place() {
            let path = self.home.path().to_owned();
            let (home, runs) = store::open_for_writing(&path)?;
            if runs.stat(self.id.as_str()).is_some() {
                guard::put_aside(&runs, self.id.as_str())?;
            }
            self.dir = Arc::new(runs.make_dir(self.id.as_str(), true)?);
            self.home = home;
        }
        for Watched { stream, file, .. } in self.state.streams.values() {
            let name = stream_file(*stream);
            if guard::name_of(&self.dir, name, file).is_some() {
                guard::restore(&self.dir, name, file)?;
            }
        }
        Ok(found)
    }

    /// Seals the session: commits every stream's end and the tree in the metadata, and the metadata in the ledger.
    ///
    /// # Errors
    /// When a stream is not among `ends`, or when the disk refuses. The session then stays unsealed.
    pub fn seal(
        mut self,
        mut metadata: SessionMetadata,
        ends: Vec<(StreamName, StreamSeal)>,
        tree: &ProcessTree,
    ) -> Result<SessionWriter<Sealed>, StoreError> {
        let disturbances = self.restore()?;
        metadata.streams = ends.into_iter().collect();
        metadata.keyed = self.keyed_label();
        metadata.disturbances = said(&disturbances);
        if !disturbances.is_empty() {
            // Nobody but the recorded program had a reason to touch them.
            metadata.worst = Some(capsule_core::Severity::Critical);
        }
        if let Some(stream) = StreamName::ALL.into_iter().find(|stream| !metadata.streams.contains_key(stream)) {
            return Err(StoreError::StreamNotEnded { stream });
        }
        let (tree, hash) = stage_json(tree, &self.dir, TREE)?;
        metadata.tree = Some(hash.to_hex());
        let mut bytes = json(&metadata, &self.dir, METADATA)?;
        // Without its closing brace, to which the seal belongs.
        bytes.pop();
        let seal = seal(self.id.as_str(), &bytes);
        push_field_hash(&mut bytes, SEAL_FIELD, seal);
        bytes.push(b'\n');

        if metadata.snapshots.is_some() {
            before::sync(&self.dir)?;
        }
        let mut sealed = self.dir.stage(&bytes, false)?;
        let streams = self.state.streams.values().map(|watched| &*watched.file);
        sync_together(streams.chain([tree.file(), sealed.file()]), &self.dir)?;
        tree.put(TREE)?;
        self.dir.sync()?;
        self.home.open_dir(RUNS)?.sync()?;
        // From here on the last keyed seal and the ledger speak of it, whatever the disk refuses then.
        sealed.keep();
        if let Some(keyed) = self.state.keyed {
            let file = Arc::clone(&keyed.file);
            keyed.stop()?.finish(seal)?;
            if guard::name_of(&self.dir, SEALS, &file).is_some() {
                guard::restore(&self.dir, SEALS, &file)?;
            }
        }
        let now = metadata.ended.unwrap_or(Timestamp(0));
        ledger::append(&self.home, LedgerKind::Seal, &self.id, Some(seal), now, true)?;
        // Need not be durable: until it is, the ledger vouches for the file under its other name.
        sealed.put(METADATA)?;
        drop(self.state.lock);
        Ok(SessionWriter { home: self.home, dir: self.dir, id: self.id, state: Sealed { seal, disturbances } })
    }
}

impl SessionWriter<Sealed> {
    /// The seal, 64 hex digits.
    #[must_use]
    pub fn seal(&self) -> String {
        self.state.seal.to_hex()
    }

    /// What happened to the session's files while it was recorded that Capsule did not do.
    #[must_use]
    pub fn disturbances(&self) -> &[Disturbance] {
        &self.state.disturbances
    }
}

/// Writes snapshots of the tree while a session runs.
#[derive(Debug, Clone)]
pub struct TreeWriter {
    dir: Arc<Dir>,
}

impl TreeWriter {
    /// Replaces `tree.json`. Readers see the old or the new one, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn snapshot(&mut self, tree: impl Serialize) -> Result<(), StoreError> {
        stage_json(&tree, &self.dir, TREE)?.0.put(TREE)
    }
}

/// A file, and the hash of what was written to it.
struct Hashed<'a> {
    file: &'a File,
    hasher: blake3::Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `value` under a random name; with the hash of its bytes. A tree's text is far larger than the tree, so it is
/// written while it is made and never in memory as a whole.
fn stage_json<'a, T: Serialize + ?Sized>(
    value: &T,
    dir: &'a Dir,
    name: &str,
) -> Result<(Pending<'a>, Hash), StoreError> {
    let pending = dir.stage(b"", false)?;
    let failed = |source: io::Error| StoreError::io("write", &dir.path().join(name), source);
    let hashed = Hashed { file: pending.file(), hasher: blake3::Hasher::new() };
    let mut out = BufWriter::with_capacity(WRITE_AT_ONCE, hashed);
    serde_json::to_writer(&mut out, value).map_err(|source| match source.is_io() {
        true => failed(source.into()),
        false => StoreError::Json { path: dir.path().join(name), source },
    })?;
    let hashed = out.into_inner().map_err(|error| failed(error.into_error()))?;
    let hash = Hash(*hashed.hasher.finalize().as_bytes());
    Ok((pending, hash))
}

fn json<T: Serialize + ?Sized>(value: &T, dir: &Dir, name: &str) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|source| StoreError::Json { path: dir.path().join(name), source })
}

/// Makes files durable all at once, which costs little more than one of them.
fn sync_together<'a>(files: impl Iterator<Item = &'a File>, dir: &Dir) -> Result<(), StoreError> {
    std::thread::scope(|scope| {
        let thread = |file: &'a File| std::thread::Builder::new().spawn_scoped(scope, || file.sync_all()).ok();
        let threads: Vec<_> = files.map(|file| (file, thread(file))).collect();
        for (file, thread) in threads {
            // Where the user has no thread left, one after the other will do.
            let synced = thread.and_then(|thread| thread.join().ok()).unwrap_or_else(|| file.sync_all());
            synced.map_err(|source| StoreError::io("write", dir.path(), source))?;
        }
        Ok(())
    })
}

fn said(disturbances: &[Disturbance]) -> Vec<String> {
    disturbances.iter().map(ToString::to_string).collect()
}

/// Metadata without a seal: nobody vouches for it, and it commits no ends.
pub(crate) fn unsealed_bytes(metadata: &SessionMetadata, dir: &Dir) -> Result<Vec<u8>, StoreError> {
    let mut bytes = json(metadata, dir, METADATA)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests;
