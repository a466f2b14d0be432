//! What a session says of itself: `metadata.json`.
//!
//! A session starts as [`SessionStatus::Incomplete`] and stays so unless the supervisor, after every task ended well,
//! says otherwise. `metadata.json` without a seal is a session that nobody vouches for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::ExitStatus;
use crate::file::FileState;
use crate::finding::Severity;
use crate::git::{GitDiff, GitState};
use crate::id::{Pid, ProcId, SessionId};
use crate::raw::Backend;
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

/// A version of the session format: readers read any minor version of a major one they know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion {
    /// Changes when old readers would misread.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
}

/// The version this build writes.
pub const FORMAT_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The hash-chained streams of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamName {
    /// What the tracer handed over.
    Raw,
    /// Parsed events.
    Events,
    /// Events with context.
    Enriched,
    /// Findings of risk.
    Risks,
    /// What each process was for.
    Actions,
}

impl StreamName {
    /// Every stream, in the order of the data flow.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Events, Self::Enriched, Self::Risks, Self::Actions];

    /// The name in the chain and in metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Events => "events",
            Self::Enriched => "enriched",
            Self::Risks => "risks",
            Self::Actions => "actions",
        }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SessionStatus {
    /// Running, or Capsule was killed: nobody said that it ended.
    Incomplete,
    /// The command ended and every record was written.
    Complete,
    /// Somebody ended it early by a signal; every record until then was written.
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// A part of Capsule failed: records may be missing.
    Failed {
        /// Which part.
        stage: String,
        /// What it said.
        reason: String,
    },
}

/// A sealed stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSeal {
    /// How many records it has.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The last record's chain value, 64 hex digits; the stream's start value where it has no record.
    pub head: String,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostInfo {
    /// Host name.
    pub name: String,
    /// `linux`, `macos`.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub arch: String,
}

/// Who ran it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserInfo {
    /// User id.
    pub uid: u32,
    /// User name, where there is one.
    pub name: Option<String>,
}

/// The tracer that recorded, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracerInfo {
    /// Which.
    pub backend: Backend,
    /// Why this one.
    pub because: String,
}

/// What a recording covers and what it cannot show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The backend.
    pub backend: Backend,
    /// What it hooks.
    pub hooks: Vec<String>,
    /// How many records are known to be lost.
    pub lost: u64,
    /// What this recording cannot show, each with the reason, in plain words.
    pub not_seen: Vec<String>,
}

/// A process that lived on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftRunning {
    /// Its identity in the session.
    pub proc: ProcId,
    /// Its pid.
    pub pid: Pid,
    /// What it is.
    pub summary: ByteString,
}

/// Everything about a session that is not a record. Facts known at the end only are absent until then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionMetadata {
    /// The format of every file in the directory.
    pub format: FormatVersion,
    /// The session's name.
    pub id: SessionId,
    /// The version of Capsule that wrote it.
    pub capsule: String,
    /// How it stands.
    pub status: SessionStatus,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The command as the user gave it, redacted.
    pub command: Argv,
    /// Where.
    pub cwd: ByteString,
    /// On which machine.
    pub host: HostInfo,
    /// By whom.
    pub user: UserInfo,
    /// By which tracer.
    pub tracer: TracerInfo,
    /// The pid of Capsule itself, while it runs.
    pub recorder: Pid,
    /// What the recording covers.
    pub coverage: Option<Coverage>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// How many processes.
    pub processes: Option<u64>,
    /// The worst finding.
    pub worst: Option<Severity>,
    /// Processes that lived on.
    #[serde(default)]
    pub left_running: Vec<LeftRunning>,
    /// The work tree when it began.
    pub git_start: Option<GitState>,
    /// The work tree when it ended.
    pub git_end: Option<GitState>,
    /// Where it was imported from, for recordings that Capsule did not make.
    #[serde(default)]
    pub imported: Option<String>,
    /// Each stream's end.
    #[serde(default)]
    pub streams: BTreeMap<StreamName, StreamSeal>,
    /// BLAKE3 of `tree.json`, 64 hex digits.
    #[serde(default)]
    pub tree: Option<String>,
    /// How the seal is keyed; absent for a plain one.
    #[serde(default)]
    pub keyed: Option<String>,
    /// Which files of the work tree changed, where that was compared: only where effects are not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_tree: Option<WorkTree>,
    /// What was kept with `--snapshots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Snapshots>,
    /// What the changed files of the project and outside it were in the end, where neither of the two above says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ChangedFiles>,
    /// What git would say, in a repository with a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_diff: Option<GitDiff>,
    /// What others did to the session's files while it was recorded, each in plain words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbances: Vec<String>,
}

/// The contents in `before/`, and what the changed files were when the session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshots {
    /// How many contents were kept.
    pub kept: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many were not kept: too large, or no room. The effects say which and why.
    pub not_kept: u64,
    /// BLAKE3 of the contents' names, in order, each with a newline; 64 hex digits.
    pub names: String,
    /// The changed files when the session ended.
    pub ended: Vec<EndedFile>,
    /// How many more were changed.
    pub more: u64,
}

/// Changed files when the session ended, without caches, tools' own and temporary ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangedFiles {
    /// The first ones; contents of the largest are not read.
    pub ended: Vec<EndedFile>,
    /// How many more were changed.
    pub more: u64,
}

/// A changed file when the session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedFile {
    /// Its path.
    pub path: ByteString,
    /// What it was.
    pub state: FileState,
}

/// A work tree before and after the command. Says what changed, not who did it, nor what changed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkTree {
    /// The directory.
    pub root: ByteString,
    /// How many files were compared: without those that git ignores, version control's own and installed packages.
    pub files: u64,
    /// Why not all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
    /// What is different, by path.
    pub changes: Vec<TreeChange>,
    /// How many more differences there are.
    pub more: u64,
}

/// A file that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeChange {
    /// From the work tree's directory.
    pub path: ByteString,
    /// How.
    pub change: TreeChangeKind,
    /// BLAKE3 of its content before, 64 hex digits, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// And after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Its size after, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The commands that had ended when it was found changed, since the files were listed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub procs: Vec<ProcId>,
}

/// How a file is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeChangeKind {
    /// It was not there before.
    Created,
    /// Its content is another.
    Written,
    /// It is gone.
    Deleted,
    /// Its mode is another.
    Mode,
}

impl TreeChangeKind {
    /// The name in metadata and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Written => "written",
            Self::Deleted => "deleted",
            Self::Mode => "mode",
        }
    }
}

impl SessionMetadata {
    /// How the command ended.
    #[must_use]
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match (self.exit_code, self.signal) {
            (_, Some(signal)) => Some(ExitStatus::Signaled { signal, core_dumped: false }),
            (Some(code), None) => Some(ExitStatus::Exited(code)),
            (None, None) => None,
        }
    }
}
