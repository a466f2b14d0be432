//! What a process was at a moment (its executable, directory, user, terminal, environment, open files), and how each of
//! these facts came to be known. A fact that could not be had is absent, with the reason; it is never guessed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::environ::EnvRef;
use crate::text::ByteString;

/// How a fact came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Read while the process stood still, before its first instruction.
    Stopped,
    /// Recorded by the kernel at the moment of the event.
    Kernel,
    /// Told by the trace itself (a path in a traced call).
    Trace,
    /// Asked of the system later, while the process lived (`/proc`; libproc and sysctl on macOS): it may have changed since.
    Procfs,
    /// What its parent or another process of its session had, as the kernel passes it on; not read from this process.
    Inherited,
}

/// User and group ids (`credentials(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
}

/// An open descriptor of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// The descriptor's number.
    pub fd: u32,
    /// What it is: a path, `pipe:[INODE]`, `socket:[INODE]` (`proc_pid_fd(5)`).
    pub target: ByteString,
}

/// What a tracer or `/proc` says of one process at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// How all of it came to be known.
    pub origin: Origin,
    /// The executable's path; for a script, its interpreter's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<ByteString>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<ByteString>,
    /// User and group ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Ids>,
    /// Controlling terminal's path; an empty path where the process has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<ByteString>,
    /// Session id (`getsid(2)`); 0 where its leader is outside of Capsule's pid namespace, as the kernel says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<u32>,
    /// Process group id (`getpgid(2)`); 0 as for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgid: Option<u32>,
    /// Path within the unified cgroup hierarchy (`cgroups(7)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<ByteString>,
    /// Environment at exec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvRef>,
    /// Open descriptors, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fds: Option<Vec<OpenFile>>,
    /// The pid that the process has in its own, innermost pid namespace, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<u32>,
}

impl Snapshot {
    /// A snapshot that knows nothing yet.
    #[must_use]
    pub const fn empty(origin: Origin) -> Self {
        Self {
            origin,
            exe: None,
            cwd: None,
            ids: None,
            tty: None,
            sid: None,
            pgid: None,
            cgroup: None,
            env: None,
            fds: None,
            ns_pid: None,
        }
    }
}

/// One fact with its origin, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// Known, and how.
    Known(T, Origin),
    /// Not known, and why.
    Absent(Cow<'static, str>),
}

impl<T> Fact<T> {
    /// The value, where it is known.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known(value, _) => Some(value),
            Self::Absent(_) => None,
        }
    }
}

/// The context of a process event.
///
/// In JSON each known fact is a field, `origin` names where they came from (`all`, and a field's own name where that
/// one differs), and `absent` says why the others are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The executable's path; for a script, its interpreter's.
    pub exe: Fact<ByteString>,
    /// Working directory.
    pub cwd: Fact<ByteString>,
    /// User and group ids.
    pub ids: Fact<Ids>,
    /// Controlling terminal's path; empty where the process has none.
    pub tty: Fact<ByteString>,
    /// Session id.
    pub sid: Fact<u32>,
    /// Process group id.
    pub pgid: Fact<u32>,
    /// Path within the unified cgroup hierarchy.
    pub cgroup: Fact<ByteString>,
    /// Environment at exec.
    pub env: Fact<EnvRef>,
    /// Open descriptors.
    pub fds: Fact<Vec<OpenFile>>,
    /// Effective user's name, where the user database has one.
    pub user: Option<String>,
    /// Effective group's name, where the group database has one.
    pub group: Option<String>,
    /// Container id, where the cgroup names one.
    pub container: Option<String>,
    /// The pid in the process's own pid namespace, where that is another one.
    pub ns_pid: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct ContextWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ids: Option<Ids>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tty: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pgid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cgroup: Option<ByteString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ns_pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    env: Option<EnvRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fds: Option<Vec<OpenFile>>,
    origin: BTreeMap<Cow<'static, str>, Origin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    absent: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

/// Takes facts apart into values, their common origin, the exceptions, and the reasons of absence.
struct Split {
    origins: Vec<(&'static str, Origin)>,
    absent: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

impl Split {
    fn take<T: Clone>(&mut self, name: &'static str, fact: &Fact<T>) -> Option<T> {
        match fact {
            Fact::Known(value, origin) => {
                self.origins.push((name, *origin));
                Some(value.clone())
            }
            Fact::Absent(why) => {
                self.absent.insert(Cow::Borrowed(name), why.clone());
                None
            }
        }
    }

    fn origin_map(&self) -> BTreeMap<Cow<'static, str>, Origin> {
        let mut map = BTreeMap::new();
        if let Some((_, first)) = self.origins.first() {
            map.insert(Cow::Borrowed("all"), *first);
            map.extend(self.origins.iter().filter(|(_, o)| o != first).map(|(name, o)| (Cow::Borrowed(*name), *o)));
        }
        map
    }
}

impl Serialize for Context {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut split = Split { origins: Vec::with_capacity(9), absent: BTreeMap::new() };
        let mut wire = ContextWire {
            exe: split.take("exe", &self.exe),
            cwd: split.take("cwd", &self.cwd),
            ids: split.take("ids", &self.ids),
            user: self.user.clone(),
            group: self.group.clone(),
            tty: split.take("tty", &self.tty),
            sid: split.take("sid", &self.sid),
            pgid: split.take("pgid", &self.pgid),
            cgroup: split.take("cgroup", &self.cgroup),
            container: self.container.clone(),
            ns_pid: self.ns_pid,
            env: split.take("env", &self.env),
            fds: split.take("fds", &self.fds),
            origin: BTreeMap::new(),
            absent: BTreeMap::new(),
        };
        wire.origin = split.origin_map();
        wire.absent = split.absent;
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ContextWire::deserialize(deserializer)?;
        let (origin, absent) = (wire.origin, wire.absent);
        let known = Joined { origin: &origin, absent: &absent };
        Ok(Self {
            exe: known.fact("exe", wire.exe),
            cwd: known.fact("cwd", wire.cwd),
            ids: known.fact("ids", wire.ids),
            tty: known.fact("tty", wire.tty),
            sid: known.fact("sid", wire.sid),
            pgid: known.fact("pgid", wire.pgid),
            cgroup: known.fact("cgroup", wire.cgroup),
            env: known.fact("env", wire.env),
            fds: known.fact("fds", wire.fds),
            user: wire.user,
            group: wire.group,
            container: wire.container,
            ns_pid: wire.ns_pid,
        })
    }
}

struct Joined<'a> {
    origin: &'a BTreeMap<Cow<'static, str>, Origin>,
    absent: &'a BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

impl Joined<'_> {
    fn fact<T>(&self, name: &str, value: Option<T>) -> Fact<T> {
        match value {
            Some(value) => {
                let origin = self.origin.get(name).or_else(|| self.origin.get("all"));
                Fact::Known(value, origin.copied().unwrap_or(Origin::Procfs))
            }
            None => Fact::Absent(self.absent.get(name).cloned().unwrap_or(Cow::Borrowed("not recorded"))),
        }
    }
}
