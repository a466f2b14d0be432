//! Lines of the tracer's D script, and dtrace's own messages between them.
//!
//! One line an event, written by one clause, so that another cpu's line cannot come between its parts:
//!
//! ```text
//! capsule create PID CHILD
//! capsule exec PID PPID UID EUID GID EGID SID PGID "exe" "cwd" ["arg", "arg", ...]
//! capsule exec-failed PID ERRNO "path" []
//! capsule exit PID STATUS
//! ```
//!
//! Strings are printed with `%S`, which escapes like C (`strchr2esc` in libdtrace). `-` stands for a number or string
//! that the system does not give. `...` as the last argument says that there were more than the script prints, behind
//! a string that the string was longer than `strsize`. `STATUS` is as `wait(2)` encodes it. `proc:::create` names the
//! process once it can run, so a child's line can precede it on another cpu: unknown children wait for their maker.
//!
//! dtrace's messages (libdtrace's `dt_handle.c`): `dtrace: 12 drops on CPU 0` and its relatives become gaps, errors of
//! probes become diagnostics.

use std::collections::HashMap;
use std::sync::Arc;

use capsule_core::{
    Argv, ByteString, EventKind, ExecInfo, Ids, Origin, Pid, Seq, Snapshot, SpawnKind, Timestamp, quote,
};

use crate::emit::Emit;
use crate::eslogger::wait_status;
use crate::lineage::Lineage;
use crate::members::Members;

/// How many lines of unknown processes wait for a `create` that names them.
const WAITING: usize = 1024;

/// The state of one trace.
#[derive(Debug, Default)]
pub(crate) struct Dtrace {
    members: Members,
    rooted: bool,
    waiting: HashMap<Pid, Vec<Waiting>>,
    waiting_lines: usize,
}

#[derive(Debug)]
struct Waiting {
    raw: Seq,
    timestamp: Timestamp,
    event: Parsed,
}

/// What a line says.
#[derive(Debug)]
enum Parsed {
    Create { pid: Pid, child: Pid },
    Exec { pid: Pid, parent: Option<Pid>, info: Box<ExecInfo>, truncated: bool },
    Failed { pid: Pid, errno: i32, filename: Option<ByteString>, argv: Argv },
    Exit { pid: Pid, status: i32 },
}

impl Parsed {
    const fn pid(&self) -> Pid {
        match self {
            Self::Create { pid, .. } | Self::Exec { pid, .. } | Self::Failed { pid, .. } | Self::Exit { pid, .. } => {
                *pid
            }
        }
    }
}

impl Dtrace {
    /// A process that the tracer itself reported.
    pub(crate) fn knows(&mut self, pid: Pid) {
        self.rooted = true;
        self.members.name(pid);
    }

    /// Reads one line.
    pub(crate) fn line(&mut self, text: &[u8], lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        if let Some(message) = text.strip_prefix(b"dtrace: ") {
            return message_of_dtrace(message, emit);
        }
        match text.strip_prefix(b"capsule ").and_then(parse) {
            Some(event) => self.take(event, lineage, emit),
            None => {
                let head = text.get(..text.len().min(120)).unwrap_or_default();
                emit.diagnostic(format!("not a line of the D script: `{}`", head.escape_ascii()));
            }
        }
    }

    /// Lets go of what waited for a maker: in a rooted trace it belonged to others.
    pub(crate) fn finish(&mut self) {
        self.waiting.clear();
        self.waiting_lines = 0;
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.members.is_empty() && self.waiting.is_empty()
    }

    fn take(&mut self, event: Parsed, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let pid = event.pid();
        let parent = match &event {
            Parsed::Exec { parent, .. } => *parent,
            _ => None,
        };
        if !self.members.admits(pid, None, parent, lineage, emit) {
            // Another process of the system, or a child whose maker has not been heard yet.
            if self.rooted {
                if self.waiting_lines >= WAITING {
                    self.finish();
                }
                self.waiting_lines += 1;
                let held = Waiting { raw: emit.raw, timestamp: emit.timestamp, event };
                self.waiting.entry(pid).or_default().push(held);
            }
            return;
        }
        match event {
            Parsed::Create { pid, child } => {
                self.members.add(child, None);
                lineage.born(child, Some(pid));
                emit.event(child, Some(pid), EventKind::Spawn(SpawnKind::Fork));
                let waited = self.waiting.remove(&child).unwrap_or_default();
                self.waiting_lines = self.waiting_lines.saturating_sub(waited.len());
                for line in waited {
                    self.take(line.event, lineage, &mut emit.of(line.raw, line.timestamp));
                }
            }
            Parsed::Exec { pid, info, truncated, .. } => {
                if truncated {
                    emit.diagnostic(format!("dtrace gave only a part of the arguments of process {pid}"));
                }
                emit.event(pid, lineage.parent(pid), EventKind::Exec(Arc::from(info)));
            }
            Parsed::Failed { pid, errno, filename, argv } => {
                emit.event(pid, lineage.parent(pid), EventKind::ExecFailed { filename, argv, errno });
            }
            Parsed::Exit { pid, status } => {
                let parent = lineage.parent(pid);
                self.members.ended(pid);
                lineage.ended(pid);
                emit.event(pid, parent, EventKind::Exit { status: wait_status(status), rusage: None });
            }
        }
    }
}

fn message_of_dtrace(message: &[u8], emit: &mut Emit<'_>) {
    let text = String::from_utf8_lossy(message.get(..message.len().min(300)).unwrap_or_default()).into_owned();
    let first = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
    match first {
        Some(count) if text.contains("drop") => {
            emit.event(Pid(0), None, EventKind::Gap { count, since: None, reason: format!("dtrace: {text}") });
        }
        _ if text.starts_with("error on enabled probe") || text.starts_with("processing aborted") => {
            emit.diagnostic(format!("dtrace: {text}"));
        }
        // `script '…' matched 4 probes`, `pid 7 has exited`: nothing that was lost.
        _ => {}
    }
}

/// The fields of a line, one after another.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn word(&mut self) -> Option<&'a [u8]> {
        let text = self.0.trim_ascii_start();
        let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        std::str::from_utf8(self.word()?).ok()?.parse().ok()
    }

    /// A number that may be `-`.
    fn maybe(&mut self) -> Option<Option<u32>> {
        match self.word()? {
            b"-" => Some(None),
            word => std::str::from_utf8(word).ok()?.parse().ok().map(Some),
        }
    }

    /// A string that may be `-`; whether it was cut is added to `truncated`.
    fn string(&mut self, truncated: &mut bool) -> Option<Option<ByteString>> {
        self.0 = self.0.trim_ascii_start();
        if let Some(rest) = self.0.strip_prefix(b"-") {
            self.0 = rest;
            return Some(None);
        }
        let read = quote::read(self.0)?;
        self.0 = self.0.get(read.length..)?;
        if read.truncated {
            *truncated = true;
            return Some(None);
        }
        Some(Some(ByteString::from(read.bytes)))
    }

    fn vector(&mut self, truncated: &mut bool) -> Option<Argv> {
        let mut rest = self.0.trim_ascii_start().strip_prefix(b"[")?;
        let mut block = Vec::new();
        loop {
            rest = rest.trim_ascii_start();
            match rest.first()? {
                b']' => return Some(Argv::from_block(&block)),
                b',' => rest = rest.get(1..)?,
                b'.' => {
                    rest = rest.strip_prefix(b"...")?;
                    *truncated = true;
                }
                _ => {
                    let read = quote::read(rest)?;
                    *truncated |= read.truncated;
                    let end = memchr::memchr(0, &read.bytes).unwrap_or(read.bytes.len());
                    block.extend_from_slice(read.bytes.get(..end)?);
                    block.push(0);
                    rest = rest.get(read.length..)?;
                }
            }
        }
    }
}

fn parse(text: &[u8]) -> Option<Parsed> {
    let mut fields = Fields(text);
    let kind = fields.word()?;
    let pid = Pid(fields.number()?);
    let mut truncated = false;
    match kind {
        b"create" => Some(Parsed::Create { pid, child: Pid(fields.number()?) }),
        b"exit" => Some(Parsed::Exit { pid, status: fields.number()? }),
        b"exec-failed" => {
            let errno = fields.number()?;
            let filename = fields.string(&mut truncated)?;
            Some(Parsed::Failed { pid, errno, filename, argv: fields.vector(&mut truncated)? })
        }
        b"exec" => {
            let parent = fields.maybe()?.map(Pid);
            let ids = [fields.maybe()?, fields.maybe()?, fields.maybe()?, fields.maybe()?];
            let (sid, pgid) = (fields.maybe()?, fields.maybe()?);
            let (exe, cwd) = (fields.string(&mut truncated)?, fields.string(&mut truncated)?);
            let argv = fields.vector(&mut truncated)?;
            let ids = match ids {
                [Some(uid), Some(euid), Some(gid), Some(egid)] => Some(Ids { uid, euid, gid, egid }),
                _ => None,
            };
            let snapshot =
                Snapshot { exe: exe.clone(), cwd: cwd.clone(), ids, sid, pgid, ..Snapshot::empty(Origin::Kernel) };
            let info = ExecInfo { filename: None, argv, exe, cwd, from_tid: None, snapshot: Some(snapshot) };
            Some(Parsed::Exec { pid, parent, info: Box::new(info), truncated })
        }
        _ => None,
    }
}
