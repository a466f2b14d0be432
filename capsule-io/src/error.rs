//! What can go wrong between Capsule and the disk, always with the path.

use std::io;
use std::path::{Path, PathBuf};

use capsule_core::{FORMAT_VERSION, FormatVersion, StreamName};

/// Why a store, a session or a stream could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Neither `CAPSULE_HOME`, nor `HOME`, nor an entry in the user database.
    #[error("no home directory is known: set `CAPSULE_HOME`")]
    NoHome,
    /// Something that should be a plain file or directory is something else, such as a symbolic link.
    #[error("`{}` is {found}, not {wanted}", path.display())]
    WrongKind {
        /// What.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// No session answers to this name.
    #[error("no session matches `{}`", wanted.escape_default())]
    NotFound {
        /// The name.
        wanted: String,
    },
    /// More than one session answers to this name.
    #[error("`{}` matches {count} sessions: {}", wanted.escape_default(), first.join(", "))]
    Ambiguous {
        /// The name.
        wanted: String,
        /// How many match.
        count: usize,
        /// The first few of them.
        first: Vec<String>,
    },
    /// A record could not be written as JSON.
    #[error("could not write record {seq} of `{stream}` as JSON")]
    Serialise {
        /// The stream.
        stream: String,
        /// The record.
        seq: u64,
        /// Why not.
        source: serde_json::Error,
    },
    /// A record came with another number than its place in the stream.
    #[error("record {expected} of `{stream}` came with another number: `{found}`")]
    OutOfOrder {
        /// The stream.
        stream: String,
        /// The number it should have.
        expected: u64,
        /// How it began.
        found: String,
    },
    /// A file is not the JSON that it should be.
    #[error("`{}` is not readable", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// Written by a version of Capsule with another format.
    #[error("`{}` has format {found}; this version of Capsule reads format {}.x", path.display(), FORMAT_VERSION.major)]
    Version {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: FormatVersion,
    },
    /// The session's streams did not all come back to be sealed.
    #[error("stream `{stream}` did not end, so the session cannot be sealed")]
    StreamNotEnded {
        /// Which.
        stream: StreamName,
    },
    /// A key's file can be read by others.
    #[error("`{}` can be read by others (mode {mode:o}): make it 600", path.display())]
    KeyExposed {
        /// Which.
        path: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// A file holds no key.
    #[error("`{}` holds no usable key", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: crate::key::KeyError,
    },
    /// The thread that seals at every interval is gone.
    #[error("the keyed sealing of the session broke off")]
    SealerFailed,
    /// A session that is still recorded cannot be removed.
    #[error("session {session} is still recorded")]
    StillRunning {
        /// Which.
        session: capsule_core::SessionId,
    },
    /// A session without a seal cannot be signed.
    #[error("session {session} is not sealed")]
    NotSealed {
        /// Which.
        session: capsule_core::SessionId,
    },
    /// A file is larger than anything Capsule writes.
    #[error("`{}` is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The operating system's reason, where there is one.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}
