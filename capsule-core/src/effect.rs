//! What a process did to the world outside itself: files, network, privileges, other processes.

use serde::{Deserialize, Serialize};

use crate::file::FileState;
use crate::text::ByteString;

/// The kind of an effect; in JSON it is the record's `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Opened for writing, written or truncated.
    FileWrite,
    /// Made: a file, directory, link, device or socket.
    FileCreate,
    /// Removed: a file or directory.
    FileDelete,
    /// Renamed or exchanged; `to` is the new name.
    FileRename,
    /// Mode, owner, times or extended attributes changed.
    FileMode,
    /// Opened for reading only.
    FileRead,
    /// Connected, or sent a datagram.
    NetConnect,
    /// Bound and listening.
    NetListen,
    /// Changed ids, capabilities or namespaces.
    Privilege,
    /// Took hold of another process: attached to it, wrote into it, or sent a signal to Capsule itself (`detail`: the
    /// process, and the signal's number).
    Ptrace,
    /// Mounted or unmounted, loaded a module, changed the root.
    Mount,
    /// Asked something outside the tree to do work: docker, systemd, tmux, at, cron, ssh.
    Handoff,
}

impl EffectKind {
    /// Whether an effect of this kind changes a file, or what a directory says of one.
    #[must_use]
    pub const fn changes_file(self) -> bool {
        matches!(self, Self::FileWrite | Self::FileCreate | Self::FileDelete | Self::FileRename | Self::FileMode)
    }

    /// Every kind with its name in `event_type`.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::FileWrite, "file_write"),
        (Self::FileCreate, "file_create"),
        (Self::FileDelete, "file_delete"),
        (Self::FileRename, "file_rename"),
        (Self::FileMode, "file_mode"),
        (Self::FileRead, "file_read"),
        (Self::NetConnect, "net_connect"),
        (Self::NetListen, "net_listen"),
        (Self::Privilege, "privilege"),
        (Self::Ptrace, "ptrace"),
        (Self::Mount, "mount"),
        (Self::Handoff, "handoff"),
    ];

    /// The name in `event_type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind with this name in `event_type`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// `tcp`, `udp`, `unix`, `icmp`, … (the socket's domain and type).
    pub protocol: String,
    /// Address as text (`192.0.2.1`, `2001:db8::1`), or a unix socket's path.
    pub host: ByteString,
    /// Port; absent for unix sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What one call did, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// What kind of thing it is.
    pub kind: EffectKind,
    /// The system call's name, or what a hand-off went to.
    pub call: String,
    /// Absolute path of what was changed, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<ByteString>,
    /// A second path: the new name of a rename, the target of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ByteString>,
    /// The other end, for network effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// What else there is to say, as text: a mode in octal, an id, a capability, flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Error number where the call failed; absent where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// What was there before, with `--snapshots`: at `to` for a rename, at `path` for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<FileState>>,
}
