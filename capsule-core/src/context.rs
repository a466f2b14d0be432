//! What a process was at a moment (its executable, directory, user, terminal, environment, open files), and how each of
//! these facts came to be known. A fact that could not be had is absent, with the reason; it is never guessed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::environ::EnvRef;
use crate::text::{ByteString, BytesVisitor};

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

#[derive(Deserialize)]
struct ContextWire {
    #[serde(default)]
    exe: Option<ByteString>,
    #[serde(default)]
    cwd: Option<ByteString>,
    #[serde(default)]
    ids: Option<Ids>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    tty: Option<ByteString>,
    #[serde(default)]
    sid: Option<u32>,
    #[serde(default)]
    pgid: Option<u32>,
    #[serde(default)]
    cgroup: Option<ByteString>,
    #[serde(default)]
    container: Option<String>,
    #[serde(default)]
    ns_pid: Option<u32>,
    #[serde(default)]
    env: Option<EnvRef>,
    #[serde(default)]
    fds: Option<Vec<OpenFile>>,
    origin: PerFact<Origin>,
    #[serde(default)]
    absent: PerFact<String>,
}

/// A value for each fact that has one, by the fact's name.
#[derive(Deserialize)]
#[serde(default, bound = "T: Deserialize<'de>")]
struct PerFact<T> {
    all: Option<T>,
    cgroup: Option<T>,
    cwd: Option<T>,
    env: Option<T>,
    exe: Option<T>,
    fds: Option<T>,
    ids: Option<T>,
    pgid: Option<T>,
    sid: Option<T>,
    tty: Option<T>,
}

impl<T> Default for PerFact<T> {
    fn default() -> Self {
        Self {
            all: None,
            cgroup: None,
            cwd: None,
            env: None,
            exe: None,
            fds: None,
            ids: None,
            pgid: None,
            sid: None,
            tty: None,
        }
    }
}

/// The same fields, borrowed: how a context is written.
#[derive(Serialize)]
struct ContextLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<&'a ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a Ids>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<&'a ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgid: Option<&'a u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<&'a EnvRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fds: Option<&'a [OpenFile]>,
    origin: Pairs<'a, Origin>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    absent: Pairs<'a, &'a str>,
}

/// How many facts a context has.
const FACTS: usize = 9;

/// A small map in the order of its keys, without an allocation.
struct Pairs<'a, T>([Option<(&'a str, T)>; FACTS]);

impl<T: Copy> Pairs<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().flatten().map(|(name, value)| (name, value)))
    }
}

impl Context {
    /// The facts' origins and absences by name, in the order of the names.
    fn provenance(&self) -> [(&'static str, Result<Origin, &str>); FACTS] {
        fn of<T>(fact: &Fact<T>) -> Result<Origin, &str> {
            match fact {
                Fact::Known(_, origin) => Ok(*origin),
                Fact::Absent(why) => Err(why),
            }
        }
        [
            ("cgroup", of(&self.cgroup)),
            ("cwd", of(&self.cwd)),
            ("env", of(&self.env)),
            ("exe", of(&self.exe)),
            ("fds", of(&self.fds)),
            ("ids", of(&self.ids)),
            ("pgid", of(&self.pgid)),
            ("sid", of(&self.sid)),
            ("tty", of(&self.tty)),
        ]
    }

    /// The origin that stands for all: that of the first known fact, as they stand in a record.
    fn first_origin(&self) -> Option<Origin> {
        fn known<T>(fact: &Fact<T>) -> Option<Origin> {
            match fact {
                Fact::Known(_, origin) => Some(*origin),
                Fact::Absent(_) => None,
            }
        }
        known(&self.exe)
            .or_else(|| known(&self.cwd))
            .or_else(|| known(&self.ids))
            .or_else(|| known(&self.tty))
            .or_else(|| known(&self.sid))
            .or_else(|| known(&self.pgid))
            .or_else(|| known(&self.cgroup))
            .or_else(|| known(&self.env))
            .or_else(|| known(&self.fds))
    }
}

impl Serialize for Context {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let provenance = self.provenance();
        let all = self.first_origin();
        // `all` sorts before every fact's name, and the fact that it is taken from is never an exception: there is room.
        let exceptions = provenance.iter().filter_map(|(name, fact)| fact.ok().map(|origin| (*name, origin)));
        let mut origins = all.map(|origin| ("all", origin)).into_iter().chain(exceptions.filter(|e| Some(e.1) != all));
        let mut absences = provenance.iter().filter_map(|(name, fact)| fact.err().map(|why| (*name, why)));
        ContextLine {
            exe: self.exe.value(),
            cwd: self.cwd.value(),
            ids: self.ids.value(),
            user: self.user.as_deref(),
            group: self.group.as_deref(),
            tty: self.tty.value(),
            sid: self.sid.value(),
            pgid: self.pgid.value(),
            cgroup: self.cgroup.value(),
            container: self.container.as_deref(),
            ns_pid: self.ns_pid,
            env: self.env.value(),
            fds: self.fds.value().map(Vec::as_slice),
            origin: Pairs(std::array::from_fn(|_| origins.next())),
            absent: Pairs(std::array::from_fn(|_| absences.next())),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ContextWire::deserialize(deserializer)?;
        let all = wire.origin.all;
        let (origin, absent) = (wire.origin, wire.absent);
        Ok(Self {
            exe: fact(wire.exe, origin.exe.or(all), absent.exe),
            cwd: fact(wire.cwd, origin.cwd.or(all), absent.cwd),
            ids: fact(wire.ids, origin.ids.or(all), absent.ids),
            tty: fact(wire.tty, origin.tty.or(all), absent.tty),
            sid: fact(wire.sid, origin.sid.or(all), absent.sid),
            pgid: fact(wire.pgid, origin.pgid.or(all), absent.pgid),
            cgroup: fact(wire.cgroup, origin.cgroup.or(all), absent.cgroup),
            env: fact(wire.env, origin.env.or(all), absent.env),
            fds: fact(wire.fds, origin.fds.or(all), absent.fds),
            user: wire.user,
            group: wire.group,
            container: wire.container,
            ns_pid: wire.ns_pid,
        })
    }
}

fn fact<T>(value: Option<T>, origin: Option<Origin>, absent: Option<String>) -> Fact<T> {
    match value {
        Some(value) => Fact::Known(value, origin.unwrap_or(Origin::Procfs)),
        None => Fact::Absent(absent.map_or(Cow::Borrowed("not recorded"), Cow::Owned)),
    }
}

/// What of a context is needed to fold a session, beside what the event itself repeats of it: which standard descriptors
/// are pipes. The rest is passed over.
#[derive(Deserialize)]
pub(crate) struct Outline {
    #[serde(default)]
    fds: Option<Pipes>,
}

struct Pipes(Vec<OpenFile>);

impl<'de> Deserialize<'de> for Pipes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PipesVisitor)
    }
}

struct PipesVisitor;

impl<'de> Visitor<'de> for PipesVisitor {
    type Value = Pipes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of open descriptors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pipes, A::Error> {
        let mut pipes = Vec::new();
        while let Some(MaybePipe { fd, target: PipeName(target) }) = seq.next_element()? {
            pipes.extend(target.filter(|_| fd <= 2).map(|target| OpenFile { fd, target }));
        }
        Ok(Pipes(pipes))
    }
}

#[derive(Deserialize)]
struct MaybePipe {
    fd: u32,
    target: PipeName,
}

/// A descriptor's target, where it is a pipe.
struct PipeName(Option<ByteString>);

impl<'de> Deserialize<'de> for PipeName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pipe = |target: &[u8]| target.starts_with(b"pipe:[").then(|| ByteString::new(target));
        deserializer.deserialize_any(BytesVisitor(pipe)).map(Self)
    }
}

impl From<Outline> for Context {
    fn from(outline: Outline) -> Self {
        const fn passed_over<T>() -> Fact<T> {
            Fact::Absent(Cow::Borrowed("passed over"))
        }
        Self {
            exe: passed_over(),
            cwd: passed_over(),
            ids: passed_over(),
            tty: passed_over(),
            sid: passed_over(),
            pgid: passed_over(),
            cgroup: passed_over(),
            env: passed_over(),
            fds: fact(outline.fds.map(|Pipes(pipes)| pipes), None, None),
            user: None,
            group: None,
            container: None,
            ns_pid: None,
        }
    }
}
