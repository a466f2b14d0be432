//! The JSON form of raw records and events: flat objects, every field at the top level.
//!
//! The Rust types are enums that carry their data; JSON readers want `event_type` beside its fields. The two are
//! joined here, once for each record type, so that nothing else needs to know both.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context::{Context, Outline, Snapshot};
use crate::effect::{Effect, EffectKind, Endpoint};
use crate::event::{EnrichedEvent, EventKind, ExecInfo, ExitStatus, ProcessEvent, ResourceUsage, SpawnKind};
use crate::file::FileState;
use crate::id::{Pid, Seq, Tid};
use crate::raw::{Backend, RawBody, RawRecord};
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

/// Defines a record's fields twice: owned, as they are read, and borrowed, as they are written. Writing is on the
/// path of every event and copies nothing.
///
/// `$context` is the name of a parameter where readers choose what becomes of a field.
macro_rules! wire {
    ($name:ident $(<$context:ident>)?, $line:ident {
        always { $($(#[$meta:meta])? $a:ident: $at:ty => $al:ty,)* }
        optional { $($o:ident: $ot:ty => $ol:ty,)* }
    }) => {
        #[derive(Deserialize)]
        struct $name<'a $(, $context)?> {
            $($(#[$meta])? $a: $at,)*
            $($o: Option<$ot>,)*
        }

        #[derive(Serialize, Default)]
        struct $line<'a> {
            $($a: $al,)*
            $(#[serde(skip_serializing_if = "Option::is_none")] $o: Option<$ol>,)*
        }
    };
}

wire! {
    RawWire, RawLine {
        always {
            seq: Seq => Seq,
            timestamp: Timestamp => Timestamp,
            #[serde(borrow)] kind: Cow<'a, str> => &'a str,
        }
        optional {
            pid: Pid => Pid,
            ppid: Pid => Pid,
            how: SpawnKind => SpawnKind,
            tid: Tid => Tid,
            from_tid: Tid => Tid,
            filename: ByteString => &'a ByteString,
            argv: Argv => &'a Argv,
            snapshot: Snapshot => &'a Snapshot,
            errno: i32 => i32,
            exit_code: i32 => i32,
            signal: i32 => i32,
            core_dumped: bool => bool,
            rusage: ResourceUsage => ResourceUsage,
            effect: Effect => &'a Effect,
            source: Backend => Backend,
            text: ByteString => &'a ByteString,
            count: u64 => u64,
            since: Timestamp => Timestamp,
            reason: String => &'a str,
        }
    }
}

wire! {
    EventWire<C>, EventLine {
        always {
            seq: Seq => Seq,
            timestamp: Timestamp => Timestamp,
            pid: Pid => Pid,
            ppid: Option<Pid> => Option<Pid>,
            #[serde(borrow)] event_type: Cow<'a, str> => &'a str,
            command_line: Argv => Arguments<'a>,
            working_dir: Option<ByteString> => Option<&'a ByteString>,
            exit_code: Option<i32> => Option<i32>,
            raw: Seq => Seq,
        }
        optional {
            exe: ByteString => &'a ByteString,
            filename: ByteString => &'a ByteString,
            from_tid: Tid => Tid,
            spawn: SpawnKind => SpawnKind,
            signal: i32 => i32,
            core_dumped: bool => bool,
            errno: i32 => i32,
            rusage: ResourceUsage => ResourceUsage,
            call: String => &'a str,
            path: ByteString => &'a ByteString,
            to: ByteString => &'a ByteString,
            endpoint: Endpoint => &'a Endpoint,
            detail: String => &'a str,
            before: Box<FileState> => &'a FileState,
            count: u64 => u64,
            since: Timestamp => Timestamp,
            reason: String => &'a str,
            context: C => &'a Context,
        }
    }
}

fn split_status(status: ExitStatus) -> (Option<i32>, Option<i32>, Option<bool>) {
    match status {
        ExitStatus::Exited(code) => (Some(code), None, None),
        ExitStatus::Signaled { signal, core_dumped } => (None, Some(signal), Some(core_dumped)),
    }
}

fn join_status(code: Option<i32>, signal: Option<i32>, core: Option<bool>) -> Option<ExitStatus> {
    match (code, signal) {
        (_, Some(signal)) => Some(ExitStatus::Signaled { signal, core_dumped: core.unwrap_or(false) }),
        (Some(code), None) => Some(ExitStatus::Exited(code)),
        (None, None) => None,
    }
}

/// The arguments of an event; none where it has none to speak of.
#[derive(Default)]
struct Arguments<'a>(Option<&'a Argv>);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(argv) => argv.serialize(serializer),
            None => serializer.serialize_seq(Some(0))?.end(),
        }
    }
}

impl Serialize for RawRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = RawLine { seq: self.seq, timestamp: self.timestamp, ..RawLine::default() };
        match &self.body {
            RawBody::Spawn { parent, child, how } => {
                line.kind = "spawn";
                (line.pid, line.ppid, line.how) = (Some(*child), *parent, Some(*how));
            }
            RawBody::Thread { pid, tid } => {
                line.kind = "thread";
                (line.pid, line.tid) = (Some(*pid), Some(*tid));
            }
            RawBody::Exec { pid, from_tid, filename, argv, snapshot } => {
                line.kind = "exec";
                (line.pid, line.from_tid, line.filename) = (Some(*pid), *from_tid, filename.as_ref());
                (line.argv, line.snapshot) = (Some(argv), snapshot.as_ref());
            }
            RawBody::ExecFailed { pid, filename, argv, errno } => {
                line.kind = "exec_failed";
                (line.pid, line.filename) = (Some(*pid), filename.as_ref());
                (line.argv, line.errno) = (Some(argv), Some(*errno));
            }
            RawBody::Exit { pid, status, rusage } => {
                line.kind = "exit";
                (line.pid, line.rusage) = (Some(*pid), *rusage);
                (line.exit_code, line.signal, line.core_dumped) = split_status(*status);
            }
            RawBody::LeftRunning { pid } => {
                line.kind = "left_running";
                line.pid = Some(*pid);
            }
            RawBody::Effect { pid, effect } => {
                line.kind = "effect";
                (line.pid, line.effect) = (Some(*pid), Some(effect));
            }
            RawBody::Line { source, text } => {
                line.kind = "line";
                (line.source, line.text) = (Some(*source), Some(text));
            }
            RawBody::Loss { count, since, reason } => {
                line.kind = "loss";
                (line.count, line.since, line.reason) = (Some(*count), *since, Some(reason.as_str()));
            }
        }
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = RawWire::deserialize(deserializer)?;
        let pid = || wire.pid.ok_or_else(|| D::Error::missing_field("pid"));
        let body = match &*wire.kind {
            "spawn" => RawBody::Spawn {
                parent: wire.ppid,
                child: pid()?,
                how: wire.how.ok_or_else(|| D::Error::missing_field("how"))?,
            },
            "thread" => RawBody::Thread { pid: pid()?, tid: wire.tid.ok_or_else(|| D::Error::missing_field("tid"))? },
            "exec" => RawBody::Exec {
                pid: pid()?,
                from_tid: wire.from_tid,
                filename: wire.filename,
                argv: wire.argv.ok_or_else(|| D::Error::missing_field("argv"))?,
                snapshot: wire.snapshot,
            },
            "exec_failed" => RawBody::ExecFailed {
                pid: pid()?,
                filename: wire.filename,
                argv: wire.argv.unwrap_or_default(),
                errno: wire.errno.ok_or_else(|| D::Error::missing_field("errno"))?,
            },
            "exit" => RawBody::Exit {
                pid: pid()?,
                status: join_status(wire.exit_code, wire.signal, wire.core_dumped)
                    .ok_or_else(|| D::Error::missing_field("exit_code"))?,
                rusage: wire.rusage,
            },
            "left_running" => RawBody::LeftRunning { pid: pid()? },
            "effect" => {
                RawBody::Effect { pid: pid()?, effect: wire.effect.ok_or_else(|| D::Error::missing_field("effect"))? }
            }
            "line" => RawBody::Line {
                source: wire.source.ok_or_else(|| D::Error::missing_field("source"))?,
                text: wire.text.ok_or_else(|| D::Error::missing_field("text"))?,
            },
            "loss" => RawBody::Loss {
                count: wire.count.unwrap_or(0),
                since: wire.since,
                reason: wire.reason.unwrap_or_default(),
            },
            other => return Err(D::Error::custom(format!("unknown raw record kind `{}`", other.escape_default()))),
        };
        Ok(Self { seq: wire.seq, timestamp: wire.timestamp, body })
    }
}

fn line_of<'a>(event: &'a ProcessEvent, context: Option<&'a Context>) -> EventLine<'a> {
    let mut line = EventLine {
        seq: event.seq,
        timestamp: event.timestamp,
        pid: event.pid,
        ppid: event.ppid,
        event_type: event.kind.name(),
        raw: event.raw,
        context,
        ..EventLine::default()
    };
    match &event.kind {
        EventKind::Spawn(how) => line.spawn = Some(*how),
        EventKind::Exec(exec) => {
            line.command_line = Arguments(Some(&exec.argv));
            line.working_dir = exec.cwd.as_ref().or_else(|| context.and_then(|context| context.cwd.value()));
            line.exe = exec.exe.as_ref().or_else(|| context.and_then(|context| context.exe.value()));
            (line.filename, line.from_tid) = (exec.filename.as_ref(), exec.from_tid);
        }
        EventKind::ExecFailed { filename, argv, errno } => {
            line.command_line = Arguments(Some(argv));
            (line.filename, line.errno) = (filename.as_ref(), Some(*errno));
        }
        EventKind::Exit { status, rusage } => {
            (line.exit_code, line.signal, line.core_dumped) = split_status(*status);
            line.rusage = *rusage;
        }
        EventKind::LeftRunning => {}
        EventKind::Effect(effect) => {
            line.call = Some(&effect.call);
            (line.path, line.to) = (effect.path.as_ref(), effect.to.as_ref());
            line.endpoint = effect.endpoint.as_ref();
            (line.detail, line.errno) = (effect.detail.as_deref(), effect.errno);
            line.before = effect.before.as_deref();
        }
        EventKind::Gap { count, since, reason } => {
            (line.count, line.since, line.reason) = (Some(*count), *since, Some(reason.as_str()));
        }
        EventKind::Diagnostic { reason } => line.reason = Some(reason),
    }
    line
}

fn event_from_wire<C: Into<Context>, E: serde::de::Error>(wire: EventWire<'_, C>) -> Result<EnrichedEvent, E> {
    let kind = match &*wire.event_type {
        "spawn" => EventKind::Spawn(wire.spawn.ok_or_else(|| E::missing_field("spawn"))?),
        "exec" => EventKind::Exec(Arc::new(ExecInfo {
            filename: wire.filename,
            argv: wire.command_line,
            exe: wire.exe,
            cwd: wire.working_dir,
            from_tid: wire.from_tid,
            snapshot: None,
        })),
        "exec_failed" => EventKind::ExecFailed {
            filename: wire.filename,
            argv: wire.command_line,
            errno: wire.errno.ok_or_else(|| E::missing_field("errno"))?,
        },
        "exit" => EventKind::Exit {
            status: join_status(wire.exit_code, wire.signal, wire.core_dumped)
                .ok_or_else(|| E::missing_field("exit_code"))?,
            rusage: wire.rusage,
        },
        "left_running" => EventKind::LeftRunning,
        "gap" => EventKind::Gap {
            count: wire.count.unwrap_or(0),
            since: wire.since,
            reason: wire.reason.unwrap_or_default(),
        },
        "diagnostic" => EventKind::Diagnostic { reason: wire.reason.unwrap_or_default() },
        other => match EffectKind::from_name(other) {
            Some(kind) => EventKind::Effect(Arc::new(Effect {
                kind,
                call: wire.call.unwrap_or_default(),
                path: wire.path,
                to: wire.to,
                endpoint: wire.endpoint,
                detail: wire.detail,
                errno: wire.errno,
                before: wire.before,
            })),
            None => return Err(E::custom(format!("unknown event type `{}`", other.escape_default()))),
        },
    };
    let event =
        ProcessEvent { seq: wire.seq, raw: wire.raw, timestamp: wire.timestamp, pid: wire.pid, ppid: wire.ppid, kind };
    Ok(EnrichedEvent { event, context: wire.context.map(|context| Arc::new(context.into())) })
}

/// The event alone; a tracer's snapshot is in the raw record and in the enriched event, not here.
impl Serialize for ProcessEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        line_of(self, None).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ProcessEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        event_from_wire(EventWire::<Outline>::deserialize(deserializer)?).map(|enriched| enriched.event)
    }
}

impl Serialize for EnrichedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        line_of(&self.event, self.context.as_deref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnrichedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        event_from_wire(EventWire::<Context>::deserialize(deserializer)?)
    }
}

/// An event as it is read to fold a session: of its context only those standard descriptors are read that are pipes,
/// because to read all of it is most of the work. The executable and the working directory are in the event itself; the
/// other facts are absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlined(pub EnrichedEvent);

impl<'de> Deserialize<'de> for Outlined {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        event_from_wire(EventWire::<Outline>::deserialize(deserializer)?).map(Self)
    }
}

#[cfg(test)]
mod tests;
