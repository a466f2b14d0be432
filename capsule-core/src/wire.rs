//! The JSON form of raw records and events: flat objects, every field at the top level.
//!
//! The Rust types are enums that carry their data; JSON readers want `event_type` beside its fields. The two are
//! joined here, once for each record type, so that nothing else needs to know both.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::context::{Context, Snapshot};
use crate::effect::{Effect, EffectKind, Endpoint};
use crate::event::{EnrichedEvent, EventKind, ExecInfo, ExitStatus, ProcessEvent, ResourceUsage, SpawnKind};
use crate::id::{Pid, Seq, Tid};
use crate::raw::{Backend, RawBody, RawRecord};
use crate::text::{Argv, ByteString};
use crate::time::Timestamp;

macro_rules! wire {
    ($(#[$doc:meta])* struct $name:ident { always { $($a:ident: $at:ty,)* } optional { $($o:ident: $ot:ty,)* } }) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, Default)]
        struct $name {
            $($a: $at,)*
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $o: Option<$ot>,)*
        }
    };
}

wire! {
    struct RawWire {
        always {
            seq: Seq,
            timestamp: Timestamp,
            kind: String,
        }
        optional {
            pid: Pid,
            ppid: Pid,
            how: SpawnKind,
            tid: Tid,
            from_tid: Tid,
            filename: ByteString,
            argv: Argv,
            snapshot: Snapshot,
            errno: i32,
            exit_code: i32,
            signal: i32,
            core_dumped: bool,
            rusage: ResourceUsage,
            effect: Effect,
            source: Backend,
            text: ByteString,
            count: u64,
            since: Timestamp,
            reason: String,
        }
    }
}

wire! {
    struct EventWire {
        always {
            seq: Seq,
            timestamp: Timestamp,
            pid: Pid,
            ppid: Option<Pid>,
            event_type: String,
            command_line: Argv,
            working_dir: Option<ByteString>,
            exit_code: Option<i32>,
            raw: Seq,
        }
        optional {
            exe: ByteString,
            filename: ByteString,
            from_tid: Tid,
            spawn: SpawnKind,
            signal: i32,
            core_dumped: bool,
            errno: i32,
            rusage: ResourceUsage,
            call: String,
            path: ByteString,
            to: ByteString,
            endpoint: Endpoint,
            detail: String,
            count: u64,
            since: Timestamp,
            reason: String,
            context: Arc<Context>,
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

impl Serialize for RawRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = RawWire { seq: self.seq, timestamp: self.timestamp, ..RawWire::default() };
        match self.body.clone() {
            RawBody::Spawn { parent, child, how } => {
                "spawn".clone_into(&mut wire.kind);
                (wire.pid, wire.ppid, wire.how) = (Some(child), parent, Some(how));
            }
            RawBody::Thread { pid, tid } => {
                "thread".clone_into(&mut wire.kind);
                (wire.pid, wire.tid) = (Some(pid), Some(tid));
            }
            RawBody::Exec { pid, from_tid, filename, argv, snapshot } => {
                "exec".clone_into(&mut wire.kind);
                (wire.pid, wire.from_tid, wire.filename) = (Some(pid), from_tid, filename);
                (wire.argv, wire.snapshot) = (Some(argv), snapshot);
            }
            RawBody::ExecFailed { pid, filename, argv, errno } => {
                "exec_failed".clone_into(&mut wire.kind);
                (wire.pid, wire.filename, wire.argv, wire.errno) = (Some(pid), filename, Some(argv), Some(errno));
            }
            RawBody::Exit { pid, status, rusage } => {
                "exit".clone_into(&mut wire.kind);
                (wire.pid, wire.rusage) = (Some(pid), rusage);
                (wire.exit_code, wire.signal, wire.core_dumped) = split_status(status);
            }
            RawBody::LeftRunning { pid } => {
                "left_running".clone_into(&mut wire.kind);
                wire.pid = Some(pid);
            }
            RawBody::Effect { pid, effect } => {
                "effect".clone_into(&mut wire.kind);
                (wire.pid, wire.effect) = (Some(pid), Some(effect));
            }
            RawBody::Line { source, text } => {
                "line".clone_into(&mut wire.kind);
                (wire.source, wire.text) = (Some(source), Some(text));
            }
            RawBody::Loss { count, since, reason } => {
                "loss".clone_into(&mut wire.kind);
                (wire.count, wire.since, wire.reason) = (Some(count), since, Some(reason));
            }
        }
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = RawWire::deserialize(deserializer)?;
        let pid = || wire.pid.ok_or_else(|| D::Error::missing_field("pid"));
        let body = match wire.kind.as_str() {
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

fn event_to_wire(event: &ProcessEvent, context: Option<&Arc<Context>>) -> EventWire {
    let mut wire = EventWire {
        seq: event.seq,
        timestamp: event.timestamp,
        pid: event.pid,
        ppid: event.ppid,
        event_type: event.kind.name().to_owned(),
        raw: event.raw,
        context: context.cloned(),
        ..EventWire::default()
    };
    match &event.kind {
        EventKind::Spawn(how) => wire.spawn = Some(*how),
        EventKind::Exec(exec) => {
            wire.command_line = exec.argv.clone();
            wire.working_dir = exec.cwd.clone();
            (wire.exe, wire.filename, wire.from_tid) = (exec.exe.clone(), exec.filename.clone(), exec.from_tid);
            if let Some(context) = context {
                wire.working_dir = wire.working_dir.or_else(|| context.cwd.value().cloned());
                wire.exe = wire.exe.or_else(|| context.exe.value().cloned());
            }
        }
        EventKind::ExecFailed { filename, argv, errno } => {
            wire.command_line = argv.clone();
            (wire.filename, wire.errno) = (filename.clone(), Some(*errno));
        }
        EventKind::Exit { status, rusage } => {
            (wire.exit_code, wire.signal, wire.core_dumped) = split_status(*status);
            wire.rusage = *rusage;
        }
        EventKind::LeftRunning => {}
        EventKind::Effect(effect) => {
            wire.call = Some(effect.call.clone());
            (wire.path, wire.to, wire.endpoint) = (effect.path.clone(), effect.to.clone(), effect.endpoint.clone());
            (wire.detail, wire.errno) = (effect.detail.clone(), effect.errno);
        }
        EventKind::Gap { count, since, reason } => {
            (wire.count, wire.since, wire.reason) = (Some(*count), *since, Some(reason.clone()));
        }
        EventKind::Diagnostic { reason } => wire.reason = Some(reason.clone()),
    }
    wire
}

fn event_from_wire<E: serde::de::Error>(wire: EventWire) -> Result<EnrichedEvent, E> {
    let kind = match wire.event_type.as_str() {
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
            })),
            None => return Err(E::custom(format!("unknown event type `{}`", other.escape_default()))),
        },
    };
    let event =
        ProcessEvent { seq: wire.seq, raw: wire.raw, timestamp: wire.timestamp, pid: wire.pid, ppid: wire.ppid, kind };
    Ok(EnrichedEvent { event, context: wire.context })
}

/// The event alone; a tracer's snapshot is in the raw record and in the enriched event, not here.
impl Serialize for ProcessEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        event_to_wire(self, None).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ProcessEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        event_from_wire(EventWire::deserialize(deserializer)?).map(|enriched| enriched.event)
    }
}

impl Serialize for EnrichedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        event_to_wire(&self.event, self.context.as_ref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnrichedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        event_from_wire(EventWire::deserialize(deserializer)?)
    }
}

#[cfg(test)]
mod tests;
