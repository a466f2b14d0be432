//! Walks a stream link by link, in large blocks, up to the first record that does not fit.

use std::fs::File;
use std::io::{self, Read as _};

use crate::chain::{Chain, Hash, leading_seq, split_line};
use crate::reader::Torn;

const BLOCK: usize = 1 << 20;
/// A longer line than Capsule can write.
pub(super) const LINE_LIMIT: usize = 256 << 20;

/// How far a stream fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Records that fit.
    pub(super) records: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// The last one's chain value.
    pub(super) head: Hash,
    /// Whether the next line does not fit.
    pub(super) misfit: bool,
    /// The half line behind the records that fit.
    pub(super) torn: Option<Torn>,
    /// The first and the last record of the interval that links, but is not what was sealed with the key.
    pub(super) contradicted: Option<(u64, u64)>,
}

/// How far a stream had come, by the word of somebody who can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) records: u64,
    pub(super) head: Hash,
}

/// Walks `file` from its beginning.
pub(super) fn scan(mut file: &File, chain: &Chain, checkpoints: &[Checkpoint]) -> io::Result<Scan> {
    let mut checkpoints = Checkpoints { rest: checkpoints, known: 0 };
    let mut scan = Scan { records: 0, bytes: 0, head: chain.start(), misfit: false, torn: None, contradicted: None };
    if !checkpoints.pass(&mut scan) {
        return Ok(scan);
    }
    let mut buffer = vec![0; BLOCK];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            if buffer.len() > LINE_LIMIT {
                scan.misfit = true;
                return Ok(scan);
            }
            buffer.resize(buffer.len() * 2, 0);
        }
        let (_, room) = buffer.split_at_mut(filled);
        let count = match file.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if count == 0 {
            if filled > 0 {
                scan.torn = Some(Torn { line: scan.records + 1, bytes: filled as u64 });
            }
            return Ok(scan);
        }
        let known = filled;
        filled += count;
        let mut begin = 0;
        // What was there before has no newline, or it would have been taken already.
        let mut search = known;
        loop {
            let (upto, _) = buffer.split_at(filled);
            let (_, rest) = upto.split_at(search);
            let Some(length) = memchr::memchr(b'\n', rest) else { break };
            let end = search + length;
            let (_, line) = upto.split_at(end).0.split_at(begin);
            if !scan.take(chain, line) {
                scan.misfit = true;
                return Ok(scan);
            }
            if !checkpoints.pass(&mut scan) {
                return Ok(scan);
            }
            begin = end + 1;
            search = begin;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}

/// Checkpoints that are still to come, and the last record that one vouched for.
struct Checkpoints<'a> {
    rest: &'a [Checkpoint],
    known: u64,
}

impl Checkpoints<'_> {
    /// Compares where the scan is with the checkpoints for this place; says whether it may go on.
    fn pass(&mut self, scan: &mut Scan) -> bool {
        while let [next, rest @ ..] = self.rest
            && next.records <= scan.records
        {
            if next.records < scan.records || next.head != scan.head {
                scan.contradicted = Some((self.known + 1, next.records.max(self.known + 1)));
                return false;
            }
            self.known = next.records;
            self.rest = rest;
        }
        true
    }
}

impl Scan {
    /// Takes the next line, if it fits.
    fn take(&mut self, chain: &Chain, line: &[u8]) -> bool {
        let Some((record, carried)) = split_line(line) else { return false };
        let seq = self.records + 1;
        if leading_seq(record) != Some(seq) || chain.link(seq, self.head, record) != carried {
            return false;
        }
        self.records = seq;
        self.bytes += line.len() as u64 + 1;
        self.head = carried;
        true
    }
}
