//! Appends records to a chained stream.
//!
//! A record is serialised straight into one large buffer, hashed where it stands, and written together with its
//! neighbours by one `write(2)`. When the disk refuses, the file is cut back to its last whole record and the writer
//! goes on taking records without keeping them: a full disk must never hold up the traced program.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use capsule_core::{SessionId, StreamName, StreamSeal};
use serde::Serialize;

use crate::chain::{CHAIN_FIELD, Chain, Hash, STREAM_DOMAIN, leading_seq, push_field_hash, split_line};
use crate::error::StoreError;
use crate::keyed::{Progress, Watched, Written};

/// Bytes that wait at most before they are written.
pub(crate) const FLUSH_AT: usize = 64 << 10;

/// Writes one stream.
#[derive(Debug)]
pub struct ChainWriter {
    file: Arc<File>,
    path: PathBuf,
    stream: StreamName,
    chain: Chain,
    buffer: Vec<u8>,
    /// Of the last record that was appended.
    head: Hash,
    appended: u64,
    /// What is in the file: always whole records.
    written: Written,
    /// The same, for those who watch.
    progress: Arc<Progress>,
    dead: bool,
}

impl ChainWriter {
    pub(crate) fn new(watched: &Watched, path: PathBuf, session: &SessionId) -> Self {
        let Watched { stream, file, progress } = watched.clone();
        let chain = Chain::new(STREAM_DOMAIN, session.as_str(), stream.name());
        let head = chain.start();
        let written = Written { records: 0, bytes: 0, head };
        let buffer = Vec::with_capacity(FLUSH_AT + (16 << 10));
        Self { file, path, stream, chain, buffer, head, appended: 0, written, progress, dead: false }
    }

    /// Appends a record, writing the buffer out when it is full.
    ///
    /// # Errors
    /// When the record is not a JSON object that begins with its number in the stream (it is not appended when it is no
    /// object), or when writing failed. After a failed write, records are taken and not kept.
    pub fn append<T: Serialize + ?Sized>(&mut self, record: &T) -> Result<(), StoreError> {
        if self.dead {
            return Ok(());
        }
        let seq = self.appended + 1;
        let begin = self.buffer.len();
        let result = serde_json::to_writer(&mut self.buffer, record).map_err(|source| StoreError::Serialise {
            stream: self.stream.to_string(),
            seq,
            source,
        });
        if result.is_err() {
            self.buffer.truncate(begin);
            return result;
        }
        if self.buffer.pop() != Some(b'}') || self.buffer.len() < begin + 2 {
            self.buffer.truncate(begin);
            return Err(self.out_of_order(seq, "not an object"));
        }
        let (_, bytes) = self.buffer.split_at(begin);
        let found = leading_seq(bytes);
        self.head = self.chain.link(seq, self.head, bytes);
        push_field_hash(&mut self.buffer, CHAIN_FIELD, self.head);
        self.buffer.push(b'\n');
        self.appended = seq;
        if self.buffer.len() >= FLUSH_AT {
            self.flush()?;
        }
        match found {
            Some(found) if found == seq => Ok(()),
            Some(found) => Err(self.out_of_order(seq, &found.to_string())),
            None => Err(self.out_of_order(seq, "no number")),
        }
    }

    fn out_of_order(&self, expected: u64, found: &str) -> StoreError {
        StoreError::OutOfOrder { stream: self.stream.to_string(), expected, found: found.to_owned() }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When writing failed. The file then ends with the last record that was written whole.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() || self.dead {
            return Ok(());
        }
        let (done, result) = write_all(&self.file, &self.buffer);
        if let Err(source) = result {
            self.cut_back(done);
            return Err(StoreError::io("write", &self.path, source));
        }
        self.written.bytes += self.buffer.len() as u64;
        (self.written.records, self.written.head) = (self.appended, self.head);
        self.progress.set(self.written);
        self.buffer.clear();
        Ok(())
    }

    /// After a failed write of which `done` bytes arrived: ends the file with its last whole record, and takes no more.
    fn cut_back(&mut self, done: usize) {
        self.dead = true;
        let (arrived, _) = self.buffer.split_at(done.min(self.buffer.len()));
        if let Some(end) = memchr::memrchr(b'\n', arrived) {
            let (whole, _) = arrived.split_at(end);
            let last = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or(whole);
            if let Some((_, head)) = split_line(last) {
                self.written.records += memchr::memchr_iter(b'\n', whole).count() as u64 + 1;
                self.written.bytes += end as u64 + 1;
                self.written.head = head;
            }
        }
        self.progress.set(self.written);
        // Where this fails as well, a half line stays, which a reader of an unsealed session takes for torn.
        drop(self.file.set_len(self.written.bytes));
        self.buffer = Vec::new();
    }

    /// Which stream it writes.
    #[must_use]
    pub const fn stream(&self) -> StreamName {
        self.stream
    }

    /// How many records wait to be written.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.appended - self.written.records
    }

    /// Writes what waits and says what the file holds; beside it, what went wrong at the last.
    pub fn finish(mut self) -> (StreamSeal, Option<StoreError>) {
        let failed = self.flush().err();
        let Written { records, bytes, head } = self.written;
        (StreamSeal { records, bytes, head: head.to_hex() }, failed)
    }
}

/// Writes everything, and says how much arrived where it could not.
fn write_all(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return (bytes.len() - rest.len(), Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => rest = rest.split_at(count.min(rest.len())).1,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (bytes.len() - rest.len(), Err(error)),
        }
    }
    (bytes.len(), Ok(()))
}

#[cfg(test)]
mod tests;
