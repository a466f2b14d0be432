//! A session's files against the program that is being recorded, which may be able to reach them.
//!
//! Capsule holds every file of a running session open, so what is deleted, moved or replaced by name is not lost: before
//! sealing, each name is compared with the open file, and what is no longer there is written anew from it. Whatever stands
//! in a file's place is put aside, never deleted; it may be evidence. What was changed *inside* a file cannot be mended
//! and is not: the chain shows it.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};

use crate::dir::{Dir, Pending};
use crate::error::StoreError;
use crate::keyed::Watched;
use crate::layout::{LEDGER, stream_file};

/// How the names of what was put aside begin.
const ASIDE: &str = ".disturbed-";

/// Something that happened to a running session's files, which Capsule did not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disturbance {
    /// Which file; empty for the directory.
    pub file: String,
    /// What happened to it.
    pub what: Interference,
}

/// What happened to a file of a running session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interference {
    /// It was deleted or moved away.
    Deleted,
    /// Something else has its name.
    Replaced,
    /// It has fewer bytes than were written.
    Shortened,
    /// It has more bytes than were written.
    Lengthened,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.file.is_empty() { "the session's directory" } else { self.file.as_str() };
        let what = match self.what {
            Interference::Deleted => "was deleted or moved away",
            Interference::Replaced => "was replaced",
            Interference::Shortened => "was shortened",
            Interference::Lengthened => "was written to by somebody else",
        };
        write!(f, "{name} {what}")
    }
}

/// The ledger as it was when the session began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerMark {
    inode: u64,
    bytes: u64,
}

impl LedgerMark {
    pub(crate) fn of(home: &Dir) -> Option<Self> {
        let is = home.open_file(LEDGER).ok()?.metadata().ok()?;
        Some(Self { inode: is.ino(), bytes: is.len() })
    }

    fn compare(self, home: &Dir) -> Option<Interference> {
        match Self::of(home) {
            None => Some(Interference::Deleted),
            Some(now) if now.inode != self.inode => Some(Interference::Replaced),
            Some(now) if now.bytes < self.bytes => Some(Interference::Shortened),
            Some(_) => None,
        }
    }
}

/// What happened to the name of an open file.
pub(crate) fn name_of(dir: &Dir, name: &str, file: &File) -> Option<Interference> {
    let (Some(there), Ok(here)) = (dir.stat(name), nix::sys::stat::fstat(file)) else {
        return Some(Interference::Deleted);
    };
    ((there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)).then_some(Interference::Replaced)
}

/// What happened to a session's files. `ended` where nobody writes to them any more.
pub(crate) fn look<'a>(
    home: &Dir,
    dir: &Dir,
    streams: impl Iterator<Item = &'a Watched>,
    ledger: Option<LedgerMark>,
    ended: bool,
) -> Vec<Disturbance> {
    let mut found = Vec::new();
    let mut add = |file: &str, what: Interference| found.push(Disturbance { file: file.to_owned(), what });
    let in_place = dir.still_in_place();
    if !in_place {
        let gone = std::fs::symlink_metadata(dir.path()).is_err();
        add("", if gone { Interference::Deleted } else { Interference::Replaced });
    }
    for Watched { stream, file, progress } in streams {
        let name = stream_file(*stream);
        if let Some(what) = name_of(dir, name, file).filter(|_| in_place) {
            add(name, what);
        }
        let written = progress.get().bytes;
        match file.metadata().map(|is| is.len()) {
            Ok(length) if length < written => add(name, Interference::Shortened),
            Ok(length) if length > written && ended => add(name, Interference::Lengthened),
            _ => {}
        }
    }
    if let Some(what) = ledger.and_then(|mark| mark.compare(home)) {
        add(LEDGER, what);
    }
    found
}

/// Writes an open file anew under its name; what has the name now is put aside.
pub(crate) fn restore(dir: &Dir, name: &str, file: &File) -> Result<(), StoreError> {
    let path = dir.path().join(name);
    let io = |source| StoreError::io("restore", &path, source);
    let mut pending = dir.stage(b"", false)?;
    let mut block = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        match file.read_at(&mut block, offset) {
            Ok(0) => break,
            Ok(count) => {
                pending.append(block.split_at(count.min(block.len())).0)?;
                offset += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(io(source)),
        }
    }
    put(dir, pending, name)
}

fn put(dir: &Dir, mut pending: Pending<'_>, name: &str) -> Result<(), StoreError> {
    if dir.stat(name).is_some() {
        put_aside(dir, name)?;
    }
    pending.sync()?;
    pending.put(name)
}

/// Gives what stands under a name another, random one.
pub(crate) fn put_aside(dir: &Dir, name: &str) -> Result<(), StoreError> {
    dir.rename(name, &format!("{ASIDE}{:016x}", crate::dir::random_u64()?))
}

#[cfg(test)]
mod tests;
