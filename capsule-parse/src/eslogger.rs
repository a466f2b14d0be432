//! macOS's `eslogger exec fork exit`: one JSON object a line.
//!
//! The format follows the Endpoint Security structures: `es_message_t`, `es_process_t` and `es_event_exec_t` in
//! Apple's `ESMessage.h`, named field by field (eslogger(1), "FORMATS"). Apple promises no stability, so every field
//! that is not needed may be missing. Of `event_type` numbers nothing is assumed: the event's own name says what it is.
//!
//! Processes are told apart by pid *and* pidversion (`audit_token`): the second changes at each exec and is never
//! given twice. Numbering gaps (`global_seq_num`) are not looked for here: the tracer drops other processes' lines before
//! they are recorded, so only it can tell a lost line from a dropped one.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use capsule_core::{
    Argv, ByteString, EnvRef, EnvTable, EventKind, ExecInfo, ExitStatus, Ids, Origin, Pid, Snapshot, SpawnKind,
    is_allowed_value,
};
use serde::Deserialize;

use crate::emit::Emit;
use crate::lineage::Lineage;
use crate::members::Members;

#[derive(Deserialize)]
struct Message {
    process: Process,
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    exec: Option<Exec>,
    fork: Option<Fork>,
    exit: Option<Exit>,
}

#[derive(Deserialize)]
struct Process {
    audit_token: AuditToken,
    ppid: Option<u32>,
    group_id: Option<u32>,
    session_id: Option<u32>,
    executable: Option<File>,
    tty: Option<File>,
}

/// `audit_token_to_pid(3)` and its relatives, taken apart by eslogger.
#[derive(Deserialize, Clone, Copy)]
struct AuditToken {
    pid: u32,
    pidversion: Option<u64>,
    ruid: Option<u32>,
    euid: Option<u32>,
    rgid: Option<u32>,
    egid: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    path_truncated: bool,
}

#[derive(Deserialize)]
struct Exec {
    target: Process,
    script: Option<File>,
    cwd: Option<File>,
    dyld_exec_path: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Fork {
    child: Process,
}

#[derive(Deserialize)]
struct Exit {
    stat: i32,
}

/// The state of one log.
#[derive(Debug, Default)]
pub(crate) struct Eslogger {
    members: Members,
    environments: EnvTable,
    hasher: RandomState,
}

impl Eslogger {
    /// A process that the tracer itself reported.
    pub(crate) fn knows(&mut self, pid: Pid) {
        self.members.name(pid);
    }

    /// Reads one line.
    pub(crate) fn line(&mut self, text: &[u8], lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        let Message { process, event } = match serde_json::from_slice(text) {
            Ok(message) => message,
            Err(error) => {
                // A line that ends early is what a killed eslogger leaves; say which it was.
                let what =
                    if error.is_eof() { "a line of eslogger that was cut off" } else { "not a line of eslogger" };
                emit.diagnostic(format!("{what}: column {}", error.column()));
                return;
            }
        };
        let pid = Pid(process.audit_token.pid);
        let parent = process.ppid.map(Pid);
        if !self.members.admits(pid, process.audit_token.pidversion, parent, lineage, emit) {
            return;
        }
        match event {
            Event { exec: Some(exec), .. } => self.exec(pid, exec, lineage, emit),
            Event { fork: Some(fork), .. } => {
                let child = Pid(fork.child.audit_token.pid);
                self.members.add(child, fork.child.audit_token.pidversion);
                lineage.born(child, Some(pid));
                emit.event(child, Some(pid), EventKind::Spawn(SpawnKind::Fork));
            }
            Event { exit: Some(exit), .. } => {
                let parent = lineage.parent(pid);
                self.members.ended(pid);
                lineage.ended(pid);
                emit.event(pid, parent, EventKind::Exit { status: wait_status(exit.stat), rusage: None });
            }
            // Another event that somebody asked eslogger for.
            Event { .. } => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.members.is_empty()
    }

    fn exec(&mut self, pid: Pid, exec: Exec, lineage: &Lineage, emit: &mut Emit<'_>) {
        let Exec { target, script, cwd, dyld_exec_path, args, env } = exec;
        self.members.add(pid, target.audit_token.pidversion);
        let cut = [&script, &cwd, &target.executable].into_iter().flatten().any(|file| file.path_truncated);
        if cut {
            emit.diagnostic(format!("a path in the exec of process {pid} is truncated"));
        }
        let path =
            |file: Option<File>| file.filter(|file| !file.path_truncated).map(|file| ByteString::from(file.path));
        let token = target.audit_token;
        let ids = match (token.ruid, token.euid, token.rgid, token.egid) {
            (Some(uid), Some(euid), Some(gid), Some(egid)) => Some(Ids { uid, euid, gid, egid }),
            _ => None,
        };
        let (exe, cwd) = (path(target.executable), path(cwd));
        let snapshot = Snapshot {
            exe: exe.clone(),
            cwd: cwd.clone(),
            ids,
            tty: Some(target.tty.map_or_else(ByteString::default, |tty| ByteString::from(tty.path))),
            sid: target.session_id,
            pgid: target.group_id,
            env: env.map(|entries| self.environment(&entries)),
            ..Snapshot::empty(Origin::Kernel)
        };
        let argv: Argv = args.iter().map(String::as_bytes).collect();
        // For a script executed directly the path given was the script's.
        let filename = path(script).or_else(|| dyld_exec_path.map(ByteString::from));
        let info = ExecInfo { filename, argv, exe, cwd, from_tid: None, snapshot: Some(snapshot) };
        emit.event(pid, lineage.parent(pid), EventKind::Exec(Arc::new(info)));
    }

    /// Names, and allowed values: the line was redacted when it was recorded, an imported one was not filtered.
    fn environment(&mut self, entries: &[String]) -> EnvRef {
        let mut names = Vec::with_capacity(entries.len());
        let mut values = BTreeMap::new();
        for entry in entries {
            let (name, value) = match entry.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (entry.as_str(), None),
            };
            names.push(ByteString::from(name));
            if let Some(value) = value.filter(|_| is_allowed_value(name.as_bytes())) {
                values.entry(name.to_owned()).or_insert_with(|| ByteString::from(value));
            }
        }
        let hash = self.hasher.hash_one((&names, &values));
        self.environments.intern(hash, names, values)
    }
}

/// A status as `wait(2)` encodes it, on every Unix.
pub(crate) const fn wait_status(status: i32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Exited((status >> 8) & 0xff),
        signal => ExitStatus::Signaled { signal, core_dumped: status & 0x80 != 0 },
    }
}
