//! Structured bodies: what a backend that speaks to the kernel says is what happened.

use std::sync::Arc;

use capsule_core::{EventKind, ExecInfo, Pid, RawBody};

use crate::emit::Emit;
use crate::lineage::Lineage;

/// Maps one body. Lines are not for this module.
pub(crate) fn body(body: &RawBody, lineage: &mut Lineage, emit: &mut Emit<'_>) {
    match body {
        RawBody::Spawn { parent, child, how } => {
            lineage.born(*child, *parent);
            emit.event(*child, *parent, EventKind::Spawn(*how));
        }
        RawBody::Exec { pid, from_tid, filename, argv, snapshot } => {
            let info = ExecInfo {
                filename: filename.clone(),
                argv: argv.clone(),
                exe: snapshot.as_ref().and_then(|snapshot| snapshot.exe.clone()),
                cwd: snapshot.as_ref().and_then(|snapshot| snapshot.cwd.clone()),
                from_tid: *from_tid,
                snapshot: snapshot.clone(),
            };
            emit.event(*pid, lineage.parent(*pid), EventKind::Exec(Arc::new(info)));
        }
        RawBody::ExecFailed { pid, filename, argv, errno } => {
            let kind = EventKind::ExecFailed { filename: filename.clone(), argv: argv.clone(), errno: *errno };
            emit.event(*pid, lineage.parent(*pid), kind);
        }
        RawBody::Exit { pid, status, rusage } => {
            let parent = lineage.parent(*pid);
            lineage.ended(*pid);
            emit.event(*pid, parent, EventKind::Exit { status: *status, rusage: *rusage });
        }
        RawBody::LeftRunning { pid } => {
            let parent = lineage.parent(*pid);
            lineage.ended(*pid);
            emit.event(*pid, parent, EventKind::LeftRunning);
        }
        RawBody::Effect { pid, effect } => {
            emit.event(*pid, lineage.parent(*pid), EventKind::Effect(Arc::new(effect.clone())));
        }
        RawBody::Loss { count, since, reason } => {
            let kind = EventKind::Gap { count: *count, since: *since, reason: reason.clone() };
            emit.event(Pid(0), None, kind);
        }
        // These are for the parsers of lines.
        RawBody::Line { .. } | RawBody::Thread { .. } => {}
    }
}
