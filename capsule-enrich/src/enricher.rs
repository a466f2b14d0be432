//! The stage itself: what the tracer read first, then what the kernel passes on, then what can still be read.

use std::borrow::Cow;
use std::sync::Arc;

use capsule_core::redact::Redactor;
use capsule_core::{
    Argv, ByteString, Context, EnrichedEvent, EventKind, ExecInfo, Fact, OpenFile, Origin, Pid, ProcSource,
    ProcessEvent, Snapshot, SpawnKind, Stage,
};

use crate::container::container_id;
use crate::environ::Environments;
use crate::families::Families;
use crate::identity;

/// Why a fact is absent. Short: a recording may say it thousands of times.
const GONE: &str = "process gone, or another";
const UNREADABLE: &str = "not readable";
const NOT_RECORDED: &str = "not in the recording";

/// The stage from events to enriched events.
pub struct Enricher {
    procs: Box<dyn ProcSource>,
    redactor: Option<Redactor>,
    environments: Environments,
    families: Families,
    last_container: Option<(ByteString, Option<String>)>,
}

impl Enricher {
    /// An enricher that asks `procs` for what the trace does not tell.
    ///
    /// Without a redactor ([`Enricher::redacting`]) it takes no text that could hold a secret (environments, paths of open
    /// files) from `procs`.
    #[must_use]
    pub fn new(procs: Box<dyn ProcSource>) -> Self {
        Self {
            procs,
            redactor: None,
            environments: Environments::default(),
            families: Families::default(),
            last_container: None,
        }
    }

    /// Reads environments and open files where the trace has none, and replaces secrets in them by `redactor`.
    #[must_use]
    pub fn redacting(mut self, redactor: Redactor) -> Self {
        self.redactor = Some(redactor);
        self
    }

    fn context(&mut self, event: &ProcessEvent, exec: &ExecInfo) -> Context {
        let nothing;
        let early = match &exec.snapshot {
            Some(snapshot) => snapshot,
            None => {
                nothing = Snapshot::empty(Origin::Trace);
                &nothing
            }
        };
        let told = |value: &Option<ByteString>| value.clone().map(|value| (value, Origin::Trace));
        let read = |value: Option<&ByteString>| value.map(|value| (value.clone(), early.origin));
        let exe = read(early.exe.as_ref()).or_else(|| told(&exec.exe));
        let cwd = read(early.cwd.as_ref()).or_else(|| told(&exec.cwd));
        let kin = self.families.passed_on(event.pid, early.sid);
        let tty = read(early.tty.as_ref()).or_else(|| kin.tty.map(|tty| (tty, Origin::Inherited)));
        let cgroup = read(early.cgroup.as_ref());
        let inherited = kin.cgroup.map(|cgroup| (cgroup, Origin::Inherited));
        // A process that runs its second program may have been moved by its first one (`systemd-run --scope`).
        let cgroup = cgroup.or_else(|| inherited.clone().filter(|_| kin.fresh));

        let whole = exe.is_some()
            && cwd.is_some()
            && tty.is_some()
            && cgroup.is_some()
            && early.ids.is_some()
            && early.sid.is_some()
            && early.pgid.is_some()
            && (early.fds.is_some() || self.redactor.is_none())
            && (early.env.is_some() || exec.snapshot.is_some() || self.redactor.is_none());
        let late = if whole || !self.procs.is_live() {
            None
        } else {
            let value = |fact: &Option<(ByteString, Origin)>| fact.as_ref().map(|(value, _)| value.clone());
            let known = Snapshot {
                exe: value(&exe),
                cwd: value(&cwd),
                tty: value(&tty),
                cgroup: value(&cgroup),
                ids: early.ids,
                sid: early.sid,
                pgid: early.pgid,
                fds: early.fds.clone().or_else(|| self.redactor.is_none().then(Vec::new)),
                ..Snapshot::empty(early.origin)
            };
            self.late(event.pid, exec, &known)
        };
        let joined = Joined { early, late: late.as_ref(), live: self.procs.is_live() };

        let ids = joined.fact(|s| s.ids);
        let cgroup = joined.known_or(cgroup, |s| s.cgroup.clone());
        let cgroup = match (cgroup, inherited) {
            (Fact::Absent(_), Some((path, origin))) => Fact::Known(path, origin),
            (fact, _) => fact,
        };
        let (sid, tty) = (joined.fact(|s| s.sid), joined.known_or(tty, |s| s.tty.clone()));
        self.families.seen(event.pid, sid.value().copied(), tty.value(), cgroup.value());
        Context {
            exe: joined.known_or(exe, |s| s.exe.clone()),
            cwd: joined.known_or(cwd, |s| s.cwd.clone()),
            user: ids.value().and_then(|ids| self.procs.user_name(ids.euid)),
            group: ids.value().and_then(|ids| self.procs.group_name(ids.egid)),
            container: cgroup.value().and_then(|path| self.container(path)),
            ids,
            cgroup,
            tty,
            sid,
            pgid: joined.fact(|s| s.pgid),
            env: joined.fact(|s| s.env.clone()),
            fds: joined.fact(|s| s.fds.clone()),
            ns_pid: early.ns_pid.or_else(|| late.as_ref().and_then(|late| late.ns_pid)),
        }
    }

    /// What the system says now beyond `known`, if the pid is still held by a process that runs the same program.
    fn late(&mut self, pid: Pid, exec: &ExecInfo, known: &Snapshot) -> Option<Snapshot> {
        let mut late = self.procs.missing(pid, known)?;
        if let Some(redactor) = &mut self.redactor {
            let mut clean = |text: &mut Option<ByteString>| {
                if let Some(redacted) = text.as_ref().and_then(|text| redactor.text(text.as_bytes())) {
                    *text = Some(redacted);
                }
            };
            [&mut late.exe, &mut late.cwd, &mut late.cgroup].into_iter().for_each(&mut clean);
            for OpenFile { target, .. } in late.fds.iter_mut().flatten() {
                if let Some(redacted) = redactor.text(target.as_bytes()) {
                    *target = redacted;
                }
            }
            // Where the tracer reads environments it numbers them too; two numberings in one stream would clash.
            if exec.snapshot.is_none()
                && let Some(block) = self.procs.environment(pid)
            {
                late.env = Some(self.environments.reference(&block, redactor));
            }
        }
        // Asked last: whatever was read before belonged to this program.
        let attached = exec.argv.is_empty() && exec.filename.is_none();
        let same = attached || self.procs.command_line(pid).is_none_or(|now| identity::is_still(exec, &now));
        same.then_some(late)
    }

    fn container(&mut self, cgroup: &ByteString) -> Option<String> {
        match &self.last_container {
            Some((path, container)) if path == cgroup => container.clone(),
            _ => {
                let container = container_id(cgroup.as_bytes());
                self.last_container = Some((cgroup.clone(), container.clone()));
                container
            }
        }
    }
}

/// What was read at the event, and what was read later.
struct Joined<'a> {
    early: &'a Snapshot,
    late: Option<&'a Snapshot>,
    live: bool,
}

impl Joined<'_> {
    fn fact<T>(&self, get: impl Fn(&Snapshot) -> Option<T>) -> Fact<T> {
        let early = get(self.early).map(|value| (value, self.early.origin));
        self.known_or(early, get)
    }

    fn known_or<T>(&self, known: Option<(T, Origin)>, get: impl Fn(&Snapshot) -> Option<T>) -> Fact<T> {
        if let Some((value, origin)) = known {
            return Fact::Known(value, origin);
        }
        let reason = match self.late {
            Some(late) => match get(late) {
                Some(value) => return Fact::Known(value, late.origin),
                None => UNREADABLE,
            },
            None if self.live => GONE,
            None => NOT_RECORDED,
        };
        Fact::Absent(Cow::Borrowed(reason))
    }
}

impl Stage for Enricher {
    type In = ProcessEvent;
    type Out = EnrichedEvent;

    fn feed(&mut self, input: &ProcessEvent, out: &mut Vec<EnrichedEvent>) {
        let (kind, context) = match &input.kind {
            EventKind::Exec(exec) => {
                let context = self.context(input, exec);
                // The context says it all: the snapshot need not be kept with every later copy of the event.
                let bare = ExecInfo {
                    filename: exec.filename.clone(),
                    argv: exec.argv.clone(),
                    exe: exec.exe.clone(),
                    cwd: exec.cwd.clone(),
                    from_tid: exec.from_tid,
                    snapshot: None,
                };
                (EventKind::Exec(Arc::new(bare)), Some(Arc::new(context)))
            }
            EventKind::Spawn(how) => {
                self.families.born(input.pid, input.ppid);
                let context = (*how == SpawnKind::Attached).then(|| Arc::new(self.context(input, &unseen())));
                (input.kind.clone(), context)
            }
            EventKind::Exit { .. } | EventKind::LeftRunning => {
                self.families.ended(input.pid);
                (input.kind.clone(), None)
            }
            other => (other.clone(), None),
        };
        let event = ProcessEvent {
            seq: input.seq,
            raw: input.raw,
            timestamp: input.timestamp,
            pid: input.pid,
            ppid: input.ppid,
            kind,
        };
        out.push(EnrichedEvent { event, context });
    }

    fn finish(&mut self, _out: &mut Vec<EnrichedEvent>) {}
}

/// The program of a process that was already running: nothing was seen of it.
fn unseen() -> ExecInfo {
    ExecInfo { filename: None, argv: Argv::default(), exe: None, cwd: None, from_tid: None, snapshot: None }
}

#[cfg(test)]
mod tests;
