//! Reads a stored session: typed, streaming, and never stopped by a bad line.
//!
//! A line that cannot be read is an item of its own, and reading goes on behind it; a last line without its end is what a
//! crash leaves, and is a fact that the reader states, not an error. Chain values are not checked here; that is
//! `verify`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use capsule_core::{
    ActionEvent, EnrichedEvent, EnvTable, Fact, Outlined, ProcessEvent, ProcessTree, RawBody, RawRecord, RiskEvent,
    SessionId, SessionMetadata, StreamName,
};
use serde::de::DeserializeOwned;

use crate::chain::split_seal;
use crate::dir::{Dir, TREE_LIMIT};
use crate::error::StoreError;
use crate::format::{VersionOnly, readable};
use crate::layout::{LOCK, METADATA, TREE, stream_file};

/// The longest line that is read; longer ones are bad lines.
const LINE_LIMIT: usize = 64 << 20;
const BUFFER: usize = 256 << 10;

/// How a session on disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its recorder is at work.
    Running,
    /// Nobody records it, and nobody sealed it: Capsule was killed, or a part of it failed.
    Unsealed,
    /// It carries a seal. Whether the seal fits, `verify` says.
    Sealed,
}

/// A session on disk.
#[derive(Debug)]
pub struct SessionReader {
    dir: Dir,
    id: SessionId,
}

impl SessionReader {
    pub(crate) const fn new(dir: Dir, id: SessionId) -> Self {
        Self { dir, id }
    }

    /// Opens a session's directory wherever it is; its name is taken from its metadata, or else from the directory.
    ///
    /// # Errors
    /// When it is no directory, or its metadata cannot be read and the directory's name is no session's.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let dir = Dir::open(path)?;
        let id = match read_metadata(&dir) {
            Ok(metadata) => metadata.id,
            Err(error) => {
                let name = path.file_name().and_then(|name| name.to_str());
                name.and_then(|name| SessionId::parse(name).ok()).ok_or(error)?
            }
        };
        Ok(Self { dir, id })
    }

    /// The session's name.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) const fn dir(&self) -> &Dir {
        &self.dir
    }

    /// What the session says of itself.
    ///
    /// # Errors
    /// When it cannot be read, or another version of Capsule is needed to.
    pub fn metadata(&self) -> Result<SessionMetadata, StoreError> {
        read_metadata(&self.dir)
    }

    /// Whether the session is still recorded, and whether it carries a seal.
    #[must_use]
    pub fn state(&self) -> SessionState {
        if is_locked(&self.dir) {
            return SessionState::Running;
        }
        let sealed = self.dir.read(METADATA).is_ok_and(|bytes| split_seal(bytes.trim_ascii_end()).is_some());
        if sealed { SessionState::Sealed } else { SessionState::Unsealed }
    }

    /// The stored tree. A running or crashed session has an older one, or none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tree(&self) -> Result<ProcessTree, StoreError> {
        let bytes = self.dir.read_up_to(TREE, TREE_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: self.dir.path().join(TREE), source })
    }

    /// A content that was kept, by its name: BLAKE3, 64 lower-case hex digits. Whoever uses it checks it against its name.
    ///
    /// # Errors
    /// When the name is none, or the content is not there.
    pub fn content(&self, name: &str) -> Result<File, StoreError> {
        crate::before::open(&self.dir, name)
    }

    /// Raw records, each with its whole environment.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn raw(&self) -> Result<Records<RawRecord>, StoreError> {
        self.open(StreamName::Raw, resolve_raw)
    }

    /// Parsed events.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn events(&self) -> Result<Records<ProcessEvent>, StoreError> {
        self.open(StreamName::Events, |_, _| {})
    }

    /// Events with context, each with its whole environment.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn enriched(&self) -> Result<Records<EnrichedEvent>, StoreError> {
        self.open(StreamName::Enriched, resolve_enriched)
    }

    /// Events with what a fold needs of their context: see [`Outlined`].
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn outline(&self) -> Result<Records<Outlined>, StoreError> {
        self.open(StreamName::Enriched, |_, _| {})
    }

    /// Findings of risk.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn risks(&self) -> Result<Records<RiskEvent>, StoreError> {
        self.open(StreamName::Risks, |_, _| {})
    }

    /// Actions.
    ///
    /// # Errors
    /// When the stream cannot be opened.
    pub fn actions(&self) -> Result<Records<ActionEvent>, StoreError> {
        self.open(StreamName::Actions, |_, _| {})
    }

    fn open<T: DeserializeOwned>(
        &self,
        stream: StreamName,
        resolve: fn(&mut EnvTable, &mut T),
    ) -> Result<Records<T>, StoreError> {
        let name = stream_file(stream);
        let file = self.dir.open_file(name)?;
        Ok(Records::new(file, self.dir.path().join(name), resolve))
    }
}

fn read_metadata(dir: &Dir) -> Result<SessionMetadata, StoreError> {
    let path = || dir.path().join(METADATA);
    let bytes = dir.read(METADATA)?;
    let version: VersionOnly =
        serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: path(), source })?;
    if !readable(version.format) {
        return Err(StoreError::Version { path: path(), found: version.format });
    }
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: path(), source })
}

/// Whether a recorder holds the session's lock.
pub(crate) fn is_locked(dir: &Dir) -> bool {
    let Ok(file) = dir.open_file(LOCK) else { return false };
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

/// Gives a raw record that was read the environment that an earlier one spelled out.
pub fn resolve_raw(table: &mut EnvTable, record: &mut RawRecord) {
    if let RawBody::Exec { snapshot: Some(snapshot), .. } = &mut record.body
        && let Some(env) = &mut snapshot.env
    {
        table.resolve(env);
    }
}

/// Gives an event that was read the environment that an earlier one spelled out.
pub fn resolve_enriched(table: &mut EnvTable, record: &mut EnrichedEvent) {
    let Some(context) = &mut record.context else { return };
    // Just read: nobody else holds it, so nothing is copied.
    if let Fact::Known(env, _) = &mut std::sync::Arc::make_mut(context).env {
        table.resolve(env);
    }
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of `{}` is not readable: {reason}", path.display())]
pub struct BadLine {
    /// The stream's file.
    pub path: PathBuf,
    /// The line's number, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What a crash left of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Torn {
    /// The line's number, from 1.
    pub line: u64,
    /// How many bytes of it there are.
    pub bytes: u64,
}

/// The records of a stream, one after the other.
#[derive(Debug)]
pub struct Records<T> {
    input: BufReader<File>,
    path: PathBuf,
    line: Vec<u8>,
    /// How many bytes of a line are read whose end is not written yet.
    begun: u64,
    /// How many bytes were read.
    position: u64,
    number: u64,
    torn: Option<Torn>,
    ended: bool,
    environments: EnvTable,
    resolve: fn(&mut EnvTable, &mut T),
    record: PhantomData<fn() -> T>,
}

enum Line {
    Whole,
    TooLong,
    End,
}

impl<T: DeserializeOwned> Records<T> {
    fn new(file: File, path: PathBuf, resolve: fn(&mut EnvTable, &mut T)) -> Self {
        Self {
            input: BufReader::with_capacity(BUFFER, file),
            path,
            line: Vec::new(),
            begun: 0,
            position: 0,
            number: 0,
            torn: None,
            ended: false,
            environments: EnvTable::default(),
            resolve,
            record: PhantomData,
        }
    }

    /// The number of the line that was read last.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.number
    }

    /// The half line at the end, once the end was reached and there is one.
    #[must_use]
    pub const fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// How many bytes of the stream were not read yet, as far as it is written.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.input.get_ref().metadata().map_or(0, |file| file.len().saturating_sub(self.position))
    }

    /// The next record of a stream that is still being written: `None` when there is no whole line now. More may come,
    /// unless the session is over.
    pub fn follow(&mut self) -> Option<Result<T, BadLine>> {
        self.ended = false;
        self.next()
    }

    /// Reads up to the next newline into `self.line`, without it. A line whose end is not there yet is kept.
    fn read_line(&mut self) -> std::io::Result<Line> {
        let mut length = self.begun;
        if length == 0 {
            self.line.clear();
        }
        loop {
            let chunk = match self.input.fill_buf() {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if chunk.is_empty() {
                self.begun = length;
                self.torn = (length > 0).then_some(Torn { line: self.number + 1, bytes: length });
                return Ok(Line::End);
            }
            let end = memchr::memchr(b'\n', chunk);
            let (part, _) = chunk.split_at(end.unwrap_or(chunk.len()));
            length += part.len() as u64;
            if length <= LINE_LIMIT as u64 {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.position += used as u64;
            if end.is_some() {
                self.begun = 0;
                self.torn = None;
                self.number += 1;
                return Ok(if length <= LINE_LIMIT as u64 { Line::Whole } else { Line::TooLong });
            }
        }
    }

    fn bad(&self, line: u64, reason: String) -> BadLine {
        BadLine { path: self.path.clone(), line, reason }
    }
}

/// Reads a record. UTF-8 is looked at once for the whole line, not for each string in it.
fn parse<T: DeserializeOwned>(line: &[u8]) -> serde_json::Result<T> {
    std::str::from_utf8(line).map_or_else(|_says_where| serde_json::from_slice(line), serde_json::from_str)
}

impl<T: DeserializeOwned> Iterator for Records<T> {
    type Item = Result<T, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.read_line() {
            Ok(Line::Whole) => Some(match parse::<T>(&self.line) {
                Ok(mut record) => {
                    (self.resolve)(&mut self.environments, &mut record);
                    Ok(record)
                }
                Err(error) => Err(self.bad(self.number, error.to_string())),
            }),
            Ok(Line::TooLong) => Some(Err(self.bad(self.number, format!("longer than {LINE_LIMIT} bytes")))),
            Ok(Line::End) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(self.bad(self.number + 1, error.to_string())))
            }
        }
    }
}

#[cfg(test)]
mod tests;
