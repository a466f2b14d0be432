//! What a file is at some moment: before a call changed it, or when a session ended.

use serde::{Deserialize, Serialize};

use crate::text::ByteString;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Nothing is there.
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a fifo, a socket.
    Other,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileState {
    /// The kind of file.
    pub kind: FileKind,
    /// Permissions, the twelve lowest bits of the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The size of a regular file, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// BLAKE3 of a regular file's content, 64 hex digits, where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What a symbolic link holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ByteString>,
    /// Why the content was not read, where it should have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

impl FileState {
    /// Nothing is there.
    #[must_use]
    pub const fn absent() -> Self {
        Self::of(FileKind::Absent)
    }

    /// A file of this kind, of which nothing else is known.
    #[must_use]
    pub const fn of(kind: FileKind) -> Self {
        Self { kind, mode: None, uid: None, gid: None, size: None, content: None, target: None, not_kept: None }
    }
}
