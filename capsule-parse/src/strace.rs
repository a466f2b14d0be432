//! strace's lines to events.
//!
//! ```text
//! line ─lexer─▶ who, when, kind ─pending─▶ whole calls ─calls─▶ spawn, exec, chdir … ─▶ events
//!                                  └─ lines of threads whose maker has not returned yet wait here
//! ```
//!
//! Threads are folded into their process; the working directory is followed through chdir and fchdir (exact with `-y`,
//! which names what a descriptor is). Calls that are not about processes are passed over.

mod calls;
mod directories;
mod effects;
mod lexer;
mod pending;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use capsule_core::{ByteString, Effect, EffectKind, EventKind, ExecInfo, ExitStatus, Pid, SpawnKind, Tid};

use self::calls::{CloneInfo, ExecCall, Outcome};
use self::lexer::Kind;
use self::pending::{Begun, Held, HeldLine, Pending};
use self::table::Table;
use crate::emit::Emit;
use crate::lineage::Lineage;
use crate::linux;

/// The calls that are about processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syscall {
    Execve,
    Execveat,
    Make,
    Chdir,
    Fchdir,
    /// Changes something outside the process.
    Effect,
}

impl Syscall {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"execve" => Self::Execve,
            b"execveat" => Self::Execveat,
            b"fork" | b"vfork" | b"clone" | b"clone2" | b"clone3" => Self::Make,
            b"chdir" => Self::Chdir,
            b"fchdir" => Self::Fchdir,
            _ if effects::is_effect(name) => Self::Effect,
            _ => return None,
        })
    }
}

/// The pid that stands for the root in a log whose lines name none.
const UNNAMED: Pid = Pid(1);

/// The state of one trace.
#[derive(Debug, Default)]
pub(crate) struct Strace {
    table: Table,
    pending: Pending,
    held: Held,
    start: Option<ByteString>,
    /// Whether the first process was seen.
    begun: bool,
    /// Whether opens that only read are left out.
    without_reads: bool,
    /// Processes that strace let go of, as its lines said.
    let_go: HashSet<Pid>,
    /// The beginning of a line that strace's own notice broke in two.
    broken: Vec<u8>,
    /// The process that lines without a pid are about, and its pid where a later line told it.
    unnamed: Option<Pid>,
    alias: Option<u32>,
}

impl Strace {
    pub(crate) fn start_in(&mut self, cwd: ByteString) {
        self.start = Some(cwd);
    }

    pub(crate) const fn leave_reads_out(&mut self) {
        self.without_reads = true;
    }

    /// A process that the tracer itself reported.
    pub(crate) fn knows(&mut self, pid: Pid) {
        if self.table.is_known(pid.0) {
            return;
        }
        let start = self.start.clone().filter(|_| !self.begun);
        if !self.begun {
            self.unnamed = Some(pid);
        }
        self.begun = true;
        self.table.begin(pid, start);
    }

    /// A thread of a process that the tracer reported.
    pub(crate) fn has_thread(&mut self, pid: Pid, tid: Tid) {
        if !self.table.is_known(tid.0) {
            self.table.begin_thread(tid.0, pid);
        }
    }

    /// The directory of a process that the tracer reported.
    pub(crate) fn is_in(&mut self, pid: Pid, cwd: Option<&ByteString>) {
        if cwd.is_some() {
            self.table.set_cwd(pid, cwd.cloned());
        }
    }

    /// Whether the lines said already that the process lived on.
    pub(crate) fn said_left_running(&self, pid: Pid) -> bool {
        self.let_go.contains(&pid)
    }

    /// Reads one line.
    pub(crate) fn line(&mut self, text: &[u8], lineage: &mut Lineage, emit: &mut Emit<'_>) {
        // Without `-o`, a notice can stand in the middle of a call's line, which then goes on in the next.
        if let Some(begun) = lexer::before_notice(text) {
            self.broken.extend_from_slice(begun);
            return;
        }
        if !self.broken.is_empty() {
            let mut whole = std::mem::take(&mut self.broken);
            whole.extend_from_slice(text);
            return self.whole_line(&whole, lineage, emit);
        }
        self.whole_line(text, lineage, emit);
    }

    fn whole_line(&mut self, text: &[u8], lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let line = lexer::line(text);
        match line.kind {
            Kind::Nothing => return,
            Kind::Unknown => {
                emit.diagnostic(format!("not a line of strace: `{}`", shown(text)));
                return;
            }
            _ => {}
        }
        let tid = match line.tid {
            Some(tid) if self.alias == Some(tid) => self.unnamed.map_or(tid, |pid| pid.0),
            Some(tid) => tid,
            None => self.unnamed.get_or_insert(UNNAMED).0,
        };
        if !self.table.is_known(tid) && !self.meet(tid, line.tid.is_some(), lineage, emit) {
            self.held.push(tid, HeldLine { raw: emit.raw, timestamp: emit.timestamp, text: text.to_vec() });
            if self.held.is_full() {
                self.release_all(lineage, emit);
            }
            return;
        }
        let tid = if self.alias == Some(tid) { self.unnamed.map_or(tid, |pid| pid.0) } else { tid };
        self.act(tid, line.kind, lineage, emit);
        self.settle(lineage, emit);
    }

    /// Reads what waited for an end that did not come.
    pub(crate) fn finish(&mut self, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        self.release_all(lineage, emit);
    }

    /// Finds out who a new thread is. `false`: not yet.
    fn meet(&mut self, tid: u32, named: bool, lineage: &mut Lineage, emit: &mut Emit<'_>) -> bool {
        if !self.begun {
            self.begun = true;
            self.table.begin(Pid(tid), self.start.take());
            lineage.born(Pid(tid), None);
            emit.event(Pid(tid), None, EventKind::Spawn(SpawnKind::Root));
            return true;
        }
        if self.held.has(tid) {
            return false;
        }
        // A call that somebody of this number began before is not the new thread's.
        self.pending.forget(tid);
        match self.pending.makers() {
            0 if named && self.unnamed.is_some_and(|pid| pid == UNNAMED) && self.alias.is_none() => {
                self.alias = Some(tid);
                true
            }
            0 => {
                self.attach(tid, lineage, emit);
                true
            }
            _ => match self.pending.claim(tid) {
                Some((maker, info)) => {
                    self.adopt(tid, maker, info, lineage, emit);
                    true
                }
                None => false,
            },
        }
    }

    /// A process of which nobody saw the beginning.
    fn attach(&mut self, tid: u32, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        self.table.begin(Pid(tid), None);
        lineage.born(Pid(tid), None);
        emit.event(Pid(tid), None, EventKind::Spawn(SpawnKind::Attached));
    }

    /// `child` was made by the thread `maker`.
    fn adopt(&mut self, child: u32, maker: u32, info: CloneInfo, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let caller = self.table.process_of(maker);
        if caller == Pid(child) {
            // Only in a damaged log.
            return self.attach(child, lineage, emit);
        }
        if info.thread {
            self.table.begin_thread(child, caller);
            return;
        }
        let parent = if info.sibling { lineage.parent(caller) } else { Some(caller) };
        self.table.fork(Pid(child), caller, info);
        lineage.born(Pid(child), parent);
        emit.event(Pid(child), parent, EventKind::Spawn(info.how));
    }

    fn act(&mut self, tid: u32, kind: Kind<'_>, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        match kind {
            Kind::Call { name, rest } => {
                if let Some(call) = Syscall::named(name) {
                    self.returned(tid, call, name, rest, None, lineage, emit);
                }
            }
            Kind::Unfinished { name, rest } => {
                if let Some(call) = Syscall::named(name) {
                    let making = (call == Syscall::Make).then(|| calls::clone_info(name, rest));
                    let begun = Begun { call, text: rest.to_vec(), from: None, making, claimed: None };
                    self.pending.begin(tid, begun);
                }
            }
            Kind::Resumed { name, rest } => self.resumed(tid, name, rest, lineage, emit),
            Kind::Exited(code) => self.ended(tid, ExitStatus::Exited(code), lineage, emit),
            Kind::Killed { signal, core_dumped } => match linux::signal_number(signal) {
                Some(signal) => self.ended(tid, ExitStatus::Signaled { signal, core_dumped }, lineage, emit),
                None => {
                    emit.diagnostic(format!("unknown signal `{}`", shown(signal)));
                    self.ended(tid, ExitStatus::Signaled { signal: 0, core_dumped }, lineage, emit);
                }
            },
            Kind::Superseded(by) => {
                self.table.end_thread(by);
                self.pending.rename(by, tid);
            }
            Kind::Detached => {
                self.pending.forget(tid);
                if self.forget(tid) {
                    let parent = lineage.parent(Pid(tid));
                    lineage.ended(Pid(tid));
                    self.let_go.insert(Pid(tid));
                    emit.event(Pid(tid), parent, EventKind::LeftRunning);
                }
            }
            Kind::Nothing | Kind::Unknown => {}
        }
    }

    fn resumed(&mut self, tid: u32, name: &[u8], rest: &[u8], lineage: &mut Lineage, emit: &mut Emit<'_>) {
        let Some(call) = Syscall::named(name) else { return };
        let Some(mut begun) = self.pending.take(tid).filter(|begun| begun.call == call) else {
            emit.diagnostic(format!("`{}` returned in thread {tid} but was not seen to begin", shown(name)));
            return;
        };
        begun.text.extend_from_slice(rest);
        if begun.claimed.is_none() {
            self.returned(tid, call, name, &begun.text, begun.from, lineage, emit);
        }
    }

    /// A whole call; `text` begins at the parenthesis.
    #[expect(clippy::too_many_arguments, reason = "one call's facts and the three places that it changes")]
    fn returned(
        &mut self,
        tid: u32,
        call: Syscall,
        name: &[u8],
        text: &[u8],
        from: Option<Tid>,
        lineage: &mut Lineage,
        emit: &mut Emit<'_>,
    ) {
        let Some(outcome) = calls::outcome(text) else {
            emit.diagnostic(format!("`{}` without a result: `{}`", shown(name), shown(text)));
            return;
        };
        let pid = self.table.process_of(tid);
        match (call, outcome) {
            (_, Outcome::Nothing) => {}
            (Syscall::Execve | Syscall::Execveat, _) => {
                match calls::exec(text, call == Syscall::Execveat) {
                    Some(exec) => self.exec(pid, tid, exec, outcome, from, lineage, emit),
                    None => emit.diagnostic(format!("arguments of `{}` not readable: `{}`", shown(name), shown(text))),
                };
            }
            (Syscall::Make, Outcome::Returned(child)) => {
                let Ok(child) = u32::try_from(child) else { return };
                // 0 is what the child itself gets, where a log shows that.
                if child != 0 && (!self.table.is_known(child) || self.held.has(child)) {
                    self.adopt(child, tid, calls::clone_info(name, text), lineage, emit);
                    self.release(child, lineage, emit);
                }
            }
            (Syscall::Chdir | Syscall::Fchdir, Outcome::Returned(0)) => {
                let path = if call == Syscall::Chdir {
                    calls::path(text).and_then(|path| calls::join(self.table.cwd(pid), path.as_bytes()))
                } else {
                    text.strip_prefix(b"(").and_then(calls::descriptor).and_then(|(path, _)| path)
                };
                self.table.set_cwd(pid, path);
            }
            (Syscall::Effect, _) => {
                let effect = effects::effect(name, text, outcome, self.table.cwd(pid));
                let unwanted = |effect: &Effect| self.without_reads && effect.kind == EffectKind::FileRead;
                if let Some(effect) = effect.filter(|effect| !unwanted(effect)) {
                    emit.event(pid, lineage.parent(pid), EventKind::Effect(Arc::new(effect)));
                }
            }
            (_, Outcome::Failed(_) | Outcome::Returned(_)) => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one exec's facts and where it goes")]
    fn exec(
        &mut self,
        pid: Pid,
        tid: u32,
        exec: ExecCall,
        outcome: Outcome,
        from: Option<Tid>,
        lineage: &Lineage,
        emit: &mut Emit<'_>,
    ) {
        if exec.cwd.is_some() {
            self.table.set_cwd(pid, exec.cwd);
        }
        if exec.truncated {
            emit.diagnostic(format!("strace printed only a part of the arguments of process {pid}"));
        }
        let argv = exec.argv.unwrap_or_default();
        let filename = match (exec.filename, exec.base) {
            (Some(name), Some(base)) if name.as_bytes().is_empty() => Some(base),
            (Some(name), Some(base)) if !name.as_bytes().starts_with(b"/") => calls::join(Some(&base), name.as_bytes()),
            (name, _) => name,
        };
        let parent = lineage.parent(pid);
        match outcome {
            Outcome::Failed(errno) => emit.event(pid, parent, EventKind::ExecFailed { filename, argv, errno }),
            Outcome::Returned(_) => {
                let cwd = self.table.cwd(pid).cloned();
                let from_tid = from.or_else(|| (Pid(tid) != pid).then_some(Tid(tid)));
                let info = ExecInfo { filename, argv, exe: None, cwd, from_tid, snapshot: None };
                emit.event(pid, parent, EventKind::Exec(Arc::new(info)));
            }
            Outcome::Nothing => {}
        }
    }

    /// The end of a thread; of its process, when it is the leader: the kernel reports a leader's end last.
    fn ended(&mut self, tid: u32, status: ExitStatus, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        self.pending.forget(tid);
        if self.table.end_thread(tid) {
            return;
        }
        let parent = lineage.parent(Pid(tid));
        if self.forget(tid) {
            lineage.ended(Pid(tid));
            emit.event(Pid(tid), parent, EventKind::Exit { status, rusage: None });
        }
    }

    /// Forgets a process and what its threads had begun; whether there was one.
    fn forget(&mut self, tid: u32) -> bool {
        let Some(lost) = self.table.end(Pid(tid)) else { return false };
        lost.into_iter().for_each(|thread| self.pending.forget(thread));
        true
    }

    /// Decides about waiting threads as far as the calls that are still open allow.
    fn settle(&mut self, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        while !self.held.is_empty() {
            match (self.pending.makers(), self.held.only(), self.held.first()) {
                (0, _, Some(tid)) => {
                    self.attach(tid, lineage, emit);
                    self.release(tid, lineage, emit);
                }
                (1, Some(tid), _) => {
                    let Some((maker, info)) = self.pending.claim(tid) else { return };
                    self.adopt(tid, maker, info, lineage, emit);
                    self.release(tid, lineage, emit);
                }
                _ => return,
            }
        }
    }

    /// Reads the waiting lines of a thread that is known now.
    fn release(&mut self, tid: u32, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        for line in self.held.take(tid) {
            let kind = lexer::line(&line.text).kind;
            self.act(tid, kind, lineage, &mut emit.of(line.raw, line.timestamp));
        }
    }

    fn release_all(&mut self, lineage: &mut Lineage, emit: &mut Emit<'_>) {
        while let Some(tid) = self.held.first() {
            self.attach(tid, lineage, emit);
            self.release(tid, lineage, emit);
        }
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.table.len() == 0 && self.held.is_empty() && self.pending.makers() == 0
    }
}

/// The beginning of a text for a diagnostic.
fn shown(text: &[u8]) -> String {
    let head = text.get(..text.len().min(120)).unwrap_or_default();
    let more = if head.len() < text.len() { "…" } else { "" };
    format!("{}{more}", head.escape_ascii())
}
