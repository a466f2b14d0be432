//! Forward-secure seals while a session runs: `seals.jsonl`.
//!
//! Every interval, a line commits how far each stream has come (records, bytes, chain value) and ends in
//! `,"mac":"<64 hex>"}`: keyed BLAKE3 over length-prefixed (domain, session id, number, the previous line's code, the
//! line's bytes before `,"mac"`). The key then evolves and the old one is erased, so nobody who arrives later can write
//! such a line for what was recorded before. The last line also commits the session's seal. Readers that know nothing of
//! keys lose nothing: the streams are the same with and without.
//!
//! What a line commits is made durable before the line is written, so a power cut cannot make an honest session look
//! shortened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capsule_core::{Seq, SessionId, StreamName, StreamSeal, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chain::{Hash, MAC_FIELD, push_field_hash};
use crate::error::StoreError;
use crate::key::{IntervalKey, SessionKey};

/// The domain of keyed seals.
pub(crate) const KEYED_DOMAIN: &str = "capsule.keyed.v1";
/// How long an interval lasts, by default: what was recorded in the last one is not protected yet.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How far a stream has been written: always whole records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) head: Hash,
}

/// The same, as the writer tells others.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Written>);

impl Progress {
    pub(crate) fn new(start: Hash) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Written { records: 0, bytes: 0, head: start })))
    }

    pub(crate) fn set(&self, written: Written) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }

    pub(crate) fn get(&self) -> Written {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of `seals.jsonl`, without its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntervalSeal {
    pub(crate) seq: Seq,
    pub(crate) timestamp: Timestamp,
    pub(crate) epoch: u64,
    pub(crate) streams: BTreeMap<StreamName, StreamSeal>,
    /// The session's seal, in the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seal: Option<String>,
}

/// The code of a line.
pub(crate) fn code(key: &IntervalKey, session: &SessionId, seq: u64, prev: Hash, bytes: &[u8]) -> Hash {
    key.mac(&[KEYED_DOMAIN.as_bytes(), session.as_str().as_bytes(), &seq.to_le_bytes(), &prev.0, bytes])
}

/// What the metadata says of the key: which epoch of which pair.
pub(crate) fn read_label(label: &str) -> Option<(u64, &str)> {
    label.strip_prefix(KEYED_DOMAIN)?.strip_prefix(':')?.split_once(':').and_then(|(epoch, name)| {
        let epoch = epoch.parse().ok()?;
        Some((epoch, name))
    })
}

/// A stream as the sealer sees it.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) stream: StreamName,
    pub(crate) file: Arc<File>,
    pub(crate) progress: Arc<Progress>,
}

/// Writes the lines.
struct Sealer {
    file: Arc<File>,
    path: PathBuf,
    session: SessionId,
    epoch: u64,
    key: IntervalKey,
    streams: Vec<Watched>,
    seq: u64,
    prev: Hash,
    bytes: u64,
    sealed: u64,
}

/// The thread that seals at every interval.
#[derive(Debug)]
pub(crate) struct Sealing {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Box<dyn FinishSeal>>,
    /// The file that it writes to.
    pub(crate) file: Arc<File>,
    /// How the metadata says it.
    pub(crate) label: String,
}

/// The end of a keyed session: its last line.
pub(crate) trait FinishSeal: Send {
    /// Commits the session's seal.
    fn finish(&mut self, seal: Hash) -> Result<(), StoreError>;
}

impl std::fmt::Debug for dyn FinishSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FinishSeal")
    }
}

/// Begins to seal a session at every interval.
pub(crate) fn start(
    file: File,
    path: PathBuf,
    session: SessionId,
    key: SessionKey,
    streams: Vec<Watched>,
    every: Duration,
) -> Result<Sealing, StoreError> {
    let SessionKey { epoch, interval, name } = key;
    let (failed, file) = (path.clone(), Arc::new(file));
    let held = Arc::clone(&file);
    let prev = Hash([0; 32]);
    let mut sealer = Sealer { file, path, session, epoch, key: interval, streams, seq: 0, prev, bytes: 0, sealed: 0 };
    // The first line is written at once: it binds the session to its epoch before anything happens.
    sealer.seal(None)?;
    let (stop, stopped) = mpsc::channel();
    let run = move || -> Box<dyn FinishSeal> {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
            // A disk that refuses now may take it at the next interval, which then covers both.
            if sealer.streams.iter().map(|watched| watched.progress.get().records).sum::<u64>() > sealer.sealed {
                drop(sealer.seal(None));
            }
        }
        Box::new(sealer)
    };
    let thread = std::thread::Builder::new().name("capsule-seal".to_owned()).spawn(run);
    let thread = thread.map_err(|source| StoreError::io("seal", &failed, source))?;
    Ok(Sealing { stop, thread, file: held, label: format!("{KEYED_DOMAIN}:{epoch}:{name}") })
}

impl Sealing {
    /// Ends the intervals.
    pub(crate) fn stop(self) -> Result<Box<dyn FinishSeal>, StoreError> {
        drop(self.stop);
        self.thread.join().map_err(|_panic| StoreError::SealerFailed)
    }
}

impl Sealer {
    fn seal(&mut self, session_seal: Option<Hash>) -> Result<(), StoreError> {
        let io = |source| StoreError::io("write", &self.path, source);
        let mut streams = BTreeMap::new();
        let mut sealed = 0;
        for Watched { stream, file, progress } in &self.streams {
            let written = progress.get();
            file.sync_data().map_err(io)?;
            sealed += written.records;
            let Written { records, bytes, head } = written;
            streams.insert(*stream, StreamSeal { records, bytes, head: head.to_hex() });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = IntervalSeal {
            seq: Seq(self.seq + 1),
            timestamp: Timestamp(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)),
            epoch: self.epoch,
            streams,
            seal: session_seal.map(Hash::to_hex),
        };
        let mut bytes = serde_json::to_vec(&line).map_err(|source| StoreError::Serialise {
            stream: "seals".to_owned(),
            seq: self.seq + 1,
            source,
        })?;
        bytes.pop();
        let mac = code(&self.key, &self.session, self.seq + 1, self.prev, &bytes);
        push_field_hash(&mut bytes, MAC_FIELD, mac);
        bytes.push(b'\n');
        if let Err(source) = (&*self.file).write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Half a line is no line: the next attempt starts where this one did.
            drop(self.file.set_len(self.bytes));
            return Err(io(source));
        }
        self.bytes += bytes.len() as u64;
        self.seq += 1;
        self.prev = mac;
        self.sealed = sealed;
        self.key.evolve();
        Ok(())
    }
}

impl FinishSeal for Sealer {
    fn finish(&mut self, seal: Hash) -> Result<(), StoreError> {
        self.seal(Some(seal))
    }
}

#[cfg(test)]
mod tests;
