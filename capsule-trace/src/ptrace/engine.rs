//! The event loop: one thread, every tracee, nothing but capture and let go on.
//!
//! ```text
//!              fork event of the parent           exec event            wait status
//!   (parked) ───────────────────────► Running ───────────────► Running ────────────► gone
//!      ▲   first stop came first         │  ▲
//!      └─ a new tracee                   ▼  │ end of the job-control stop
//!                                      Listening
//! ```
//!
//! The kernel sends no signal when it attaches to a child by itself and keeps no order between the child's first stop and
//! its parent's event. A child that stops first is parked until the event names it, so that no record of a process comes
//! before the one of its birth.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use capsule_core::{Argv, ExitStatus, Pid, SpawnKind, Tid, Timestamp};
use tokio::sync::Notify;

use super::attach::Taken;
use super::effects::{Begun, Effects};
use super::facts::Facts;
use super::memory::StackReader;
use super::pace::Pace;
use super::stop::{Stop, decode};
use super::sys::{self, Change};
use crate::clock::now;
use crate::daemon;
use crate::sink::{CaptureBody, ExecCapture, RawSink};
use crate::tracer::{Control, StayWith};
use crate::{root, running};

/// What the tracer's thread is told from outside. Later ones override earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    Trace = 0,
    /// Let go of everybody and end.
    Detach = 1,
    /// Kill everybody and end when they have.
    Kill = 2,
    /// End now: somebody does not die.
    Abandon = 3,
}

/// What the tracer's thread shares with the task that watches over it.
#[derive(Debug, Default)]
pub(super) struct Shared {
    order: AtomicU8,
    thread: AtomicU32,
    /// Told when the root has ended and others live on.
    pub(super) root_ended: Notify,
}

impl Shared {
    /// Gives an order. The thread hears it at its next event, or after [`nudge`](Self::nudge).
    pub(super) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
    }

    /// Interrupts the thread's wait, so that it hears its orders. Repeat it until it has.
    pub(super) fn nudge(&self) {
        match self.thread.load(Ordering::Relaxed) {
            0 => {}
            thread => sys::nudge(thread),
        }
    }

    /// Does not follow an order; a later one stands.
    fn decline(&self, order: Order) {
        let none = Order::Trace as u8;
        // Where it was overridden meanwhile, there is nothing to decline.
        let _overridden = self.order.compare_exchange(order as u8, none, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether an order stands.
    pub(super) fn is_ordered(&self) -> bool {
        self.order() != Order::Trace
    }

    fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Trace,
            1 => Order::Detach,
            2 => Order::Kill,
            _ => Order::Abandon,
        }
    }
}

/// How long whoever sends Capsule a signal waits: longer than it takes to write down that he does.
const WRITTEN_BY_THEN: Duration = Duration::from_millis(250);
/// How often that happens in one recording.
const HELD_AT_MOST: u32 = 8;
/// How long a child may stay parked before it is taken for one whose parent was killed before its event was seen.
const PARKED_FOR: Duration = Duration::from_millis(5);

/// How long its event is waited for without sleeping.
const PARKED_SPIN: Duration = Duration::from_micros(100);

#[derive(Debug, Clone, Copy)]
struct Task {
    tgid: u32,
}

/// What a tracee did before its parent's event named it.
#[derive(Debug, Clone, Copy)]
enum Parked {
    /// It stopped; group-stopped by a signal where there is one.
    Stopped { since: Instant, group: bool },
    /// It ended already.
    Ended { since: Instant, at: Timestamp, change: Change, status: ExitStatus },
}

/// What the recording came to.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) root: Option<ExitStatus>,
    pub(super) executed: bool,
    pub(super) left_running: Vec<Pid>,
    /// How many were taken in without the event that names their parent.
    pub(super) adopted: u64,
    /// How many rings of io_uring were made.
    pub(super) rings: u64,
    /// How many were killed before their first instruction, together with who could have told of them.
    pub(super) unborn: u64,
}

/// The tracer's state. Lives and dies on its thread: the kernel ties tracees to it.
#[derive(Debug)]
pub(super) struct Engine {
    shared: Arc<Shared>,
    sink: RawSink,
    control: Control,
    root: u32,
    root_forked: Timestamp,
    tasks: HashMap<u32, Task>,
    /// How many of them are threads beside their process's first.
    threads: usize,
    parked: HashMap<u32, Parked>,
    /// A change that was seen while another one was dealt with.
    early: Option<Change>,
    pace: Pace,
    stack: StackReader,
    facts: Facts,
    /// Where calls of interest stop.
    effects: Option<Effects>,
    /// Calls that have begun, by thread.
    begun: HashMap<u32, Begun>,
    killing: bool,
    /// How often somebody who signalled Capsule was held.
    held: u32,
    /// Whether the tree ran before: then it is no job of Capsule's.
    attached: bool,
    /// Who sent the root's last job-control signal.
    root_stopped_by: Option<u32>,
    /// Whom to stay with when the order is to let go.
    stay_with: Option<StayWith>,
    /// When the last change was seen.
    last_change: Timestamp,
    summary: Summary,
}

fn is_job_control(signal: i32) -> bool {
    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}

impl Engine {
    /// An engine for the child `root`, seized by this thread and not yet released.
    pub(super) fn new(
        root: Pid,
        shared: Arc<Shared>,
        sink: RawSink,
        control: Control,
        effects: Option<Effects>,
        stay_with: Option<StayWith>,
    ) -> Self {
        shared.thread.store(sys::thread_id(), Ordering::Relaxed);
        let tasks = HashMap::from([(root.0, Task { tgid: root.0 })]);
        Self {
            shared,
            sink,
            control,
            root: root.0,
            root_forked: now(),
            tasks,
            threads: 0,
            parked: HashMap::new(),
            early: None,
            pace: Pace::default(),
            stack: StackReader::default(),
            facts: Facts::new(),
            effects,
            begun: HashMap::new(),
            killing: false,
            held: 0,
            attached: false,
            root_stopped_by: None,
            stay_with,
            last_change: now(),
            summary: Summary::default(),
        }
    }

    /// An engine for a tree that ran already and was seized by this thread. What is known of it is told at once.
    pub(super) fn attached(root: Pid, taken: &Taken, shared: Arc<Shared>, sink: RawSink, control: Control) -> Self {
        let mut engine = Self::new(root, shared, sink, control, None, None);
        engine.attached = true;
        engine.summary.executed = true;
        engine.tasks = taken.threads.iter().map(|(tid, tgid)| (*tid, Task { tgid: *tgid })).collect();
        engine.threads = taken.threads.iter().filter(|(tid, tgid)| tid != tgid).count();
        running::tell(&taken.processes, now(), &mut engine.facts, &engine.sink);
        engine.control.tell_started(root);
        engine
    }

    /// Whether somebody is left who does the session's work, and something happened lately.
    fn stays(&self) -> bool {
        let Some(stay_with) = &self.stay_with else { return false };
        let quiet = Duration::from_nanos(now().since(self.last_change));
        quiet < daemon::IDLE && daemon::any(self.live().map(Pid), stay_with)
    }

    /// Records until everybody has ended or the order is to stop.
    pub(super) fn run(mut self) -> io::Result<Summary> {
        loop {
            match self.shared.order() {
                Order::Trace => {}
                Order::Detach if self.stays() => self.shared.decline(Order::Detach),
                Order::Detach => {
                    self.let_go()?;
                    break;
                }
                Order::Kill => self.kill_everybody(),
                Order::Abandon => break,
            }
            match self.next() {
                Ok(Some(change)) => self.take(change),
                Ok(None) => self.adopt_orphans(),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) => return Err(error),
            }
        }
        self.summary.rings = self.effects.map_or(0, |effects| effects.rings);
        Ok(self.summary)
    }

    /// The next change; `None` when nothing happens and somebody is parked.
    fn next(&mut self) -> io::Result<Option<Change>> {
        if let Some(change) = self.early.take() {
            return Ok(Some(change));
        }
        if self.parked.is_empty() {
            return self.pace.next(sys::wait);
        }
        // The event that names it is due at once, or never comes.
        let begun = Instant::now();
        while begun.elapsed() < PARKED_SPIN {
            if let Some(change) = sys::wait(false)? {
                return Ok(Some(change));
            }
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(200));
        sys::wait(false)
    }

    /// The next change that is there already.
    fn poll(&mut self) -> io::Result<Option<Change>> {
        match self.early.take() {
            Some(change) => Ok(Some(change)),
            None => sys::wait(false),
        }
    }

    fn take(&mut self, change: Change) {
        let at = now();
        self.last_change = at;
        let tid = change.tid;
        match decode(change.status) {
            Stop::Ended(status) => self.ended(at, change, status),
            Stop::Spawned(how) => self.spawned(at, tid, how),
            Stop::Executed => self.executed(at, tid),
            Stop::Group(signal) => self.group_stopped(tid, signal),
            Stop::Trap => {
                if self.tasks.contains_key(&tid) {
                    self.resume(tid, 0);
                } else {
                    self.parked.insert(tid, Parked::Stopped { since: Instant::now(), group: false });
                }
            }
            Stop::Signal(signal) => {
                if is_job_control(signal) && self.tasks.get(&tid).is_some_and(|task| task.tgid == self.root) {
                    self.root_stopped_by = sys::signal_sender(tid).ok();
                }
                self.resume(tid, signal);
            }
            Stop::Call => self.call(at, tid),
            Stop::Returned => self.returned(tid),
            Stop::Other => self.resume(tid, 0),
        }
    }

    /// A call of interest begins: what it comes to is known when it has returned.
    fn call(&mut self, at: Timestamp, tid: u32) {
        // What the child does before the command runs is Capsule's doing.
        let begun = self.effects.as_ref().filter(|_| self.summary.executed).and_then(|effects| effects.begin(tid, at));
        match begun {
            Some(begun) if begun.is_about_a_process() => {
                self.attacked(at, tid, &begun);
                self.resume(tid, 0);
            }
            Some(begun) => {
                self.begun.insert(tid, begun);
                drop(sys::resume_to_result(tid));
            }
            None => self.resume(tid, 0),
        }
    }

    /// A signal to Capsule, perhaps its last: it is written down before it is sent.
    fn attacked(&mut self, at: Timestamp, tid: u32, begun: &Begun) {
        let pid = self.tasks.get(&tid).map_or(tid, |task| task.tgid);
        if let Some(body) = self.effects.as_ref().and_then(|effects| effects.attack(pid, begun)) {
            self.sink.push(at, body);
            self.sink.flush();
            // Everybody waits with him: a storm of signals must not become a standstill.
            if self.held < HELD_AT_MOST {
                self.held += 1;
                std::thread::sleep(WRITTEN_BY_THEN);
            }
        }
    }

    fn returned(&mut self, tid: u32) {
        let pid = self.tasks.get(&tid).map_or(tid, |task| task.tgid);
        let told = self.begun.remove(&tid).and_then(|mut begun| self.effects.as_mut()?.end(tid, pid, &mut begun));
        self.resume(tid, 0);
        if let Some((at, body)) = told {
            self.sink.push(at, body);
        }
    }

    /// Lets a tracee go on. One that was killed meanwhile has nothing to go on with; its end will be reported.
    fn resume(&self, tid: u32, signal: i32) {
        drop(sys::resume(tid, signal));
    }

    fn ended(&mut self, at: Timestamp, change: Change, status: ExitStatus) {
        let tid = change.tid;
        self.begun.remove(&tid);
        let Some(task) = self.tasks.remove(&tid) else {
            self.parked.insert(tid, Parked::Ended { since: Instant::now(), at, change, status });
            return;
        };
        if task.tgid != tid {
            self.threads = self.threads.saturating_sub(1);
            return;
        }
        if tid == self.root {
            self.summary.root = Some(status);
            if !self.summary.executed {
                return;
            }
        }
        let body = CaptureBody::Exit { pid: Pid(tid), status, rusage: Some(change.rusage) };
        self.sink.push(at, body);
        if tid == self.root {
            self.control.tell_root_ended(status);
            self.shared.root_ended.notify_one();
        }
    }

    fn spawned(&mut self, at: Timestamp, parent_tid: u32, how: SpawnKind) {
        // Its child's stop is due: taking that first gives the parent time to come off its processor.
        self.early = sys::wait(false).ok().flatten();
        let child = sys::event_message(parent_tid);
        let parent = self.tasks.get(&parent_tid).map_or(parent_tid, |task| task.tgid);
        let Ok(child) = child else {
            self.resume(parent_tid, 0);
            return;
        };
        // CLONE_THREAD does not say which event it is: a clone that signals SIGCHLD is a `fork` to the kernel.
        let thread = sys::is_thread_of(parent, child);
        // The child first: a vfork's parent waits for it anyway.
        self.register(at, (!thread).then_some(Some(Pid(parent))), parent, child, how);
        self.resume(parent_tid, 0);
    }

    /// Takes a new tracee in and lets it go on. `born` is its parent, or nothing for a thread.
    fn register(&mut self, at: Timestamp, born: Option<Option<Pid>>, parent: u32, child: u32, how: SpawnKind) {
        let tgid = if born.is_some() { child } else { parent };
        self.tasks.insert(child, Task { tgid });
        self.threads += usize::from(tgid != child);
        let parked = self.parked.remove(&child);
        if let Some(Parked::Stopped { group, .. }) = parked {
            if group {
                drop(sys::listen(child));
            } else {
                self.resume(child, 0);
            }
        }
        if let Some(parent) = born {
            self.sink.push(at, CaptureBody::Spawn { parent, child: Pid(child), how });
        }
        if let Some(Parked::Ended { at, change, status, .. }) = parked {
            self.ended(at, change, status);
        }
        if self.killing {
            root::sys::kill(tgid, libc::SIGKILL);
        }
    }

    fn executed(&mut self, at: Timestamp, tid: u32) {
        // Where another thread of it lives, that one may have called exec.
        let alone = self.threads == 0;
        let former = if alone { tid } else { sys::event_message(tid).unwrap_or(tid) };
        let capture = self.capture(tid, (former != tid).then_some(Tid(former)));
        self.resume(tid, 0);
        self.begun.remove(&tid);
        if former != tid {
            self.begun.remove(&former);
            self.tasks.remove(&former);
            self.threads = self.threads.saturating_sub(1);
        }
        self.tasks.insert(tid, Task { tgid: tid });
        if tid == self.root && !self.summary.executed {
            self.summary.executed = true;
            let how = SpawnKind::Root;
            self.sink.push(self.root_forked, CaptureBody::Spawn { parent: None, child: Pid(tid), how });
            self.control.tell_started(Pid(tid));
        }
        self.sink.push(at, CaptureBody::Exec(Box::new(capture)));
    }

    fn capture(&mut self, pid: u32, from_tid: Option<Tid>) -> ExecCapture {
        // `/proc` first: right after its stop the process is still on its way off the processor, and any ptrace request would
        // spin until it is.
        let mut snapshot = self.facts.snapshot(pid);
        let image = sys::stack_pointer(pid).ok().and_then(|(sp, word)| {
            self.stack.image(sp, word, |address, buffer| sys::read_memory(pid, address, buffer))
        });
        snapshot.settle_ids(image.as_ref().and_then(|image| image.ids));
        let snapshot = snapshot.facts;
        let (filename, argv, env) = match image {
            Some(image) => (image.filename, image.argv, Some(image.env)),
            None => {
                let (argv, env) = self.facts.vectors(pid);
                (None, Argv::from_block(&argv.unwrap_or_default()), env.map(Arc::from))
            }
        };
        ExecCapture { pid: Pid(pid), from_tid, filename, argv, env, snapshot: Some(snapshot) }
    }

    fn group_stopped(&mut self, tid: u32, signal: i32) {
        if !self.tasks.contains_key(&tid) {
            self.parked.insert(tid, Parked::Stopped { since: Instant::now(), group: true });
            return;
        }
        drop(sys::listen(tid));
        if tid == self.root && self.summary.root.is_none() && !self.attached {
            self.stop_with_the_root(signal);
        }
    }

    /// The user's shell waits for Capsule, not for the root: when Ctrl-Z stops the root, Capsule must be seen to stop.
    fn stop_with_the_root(&mut self, signal: i32) {
        // Programs also stop each other, for reasons of their own, and whoever continues the root later must not have to wait
        // for the tracer.
        let for_the_job = match self.root_stopped_by.take() {
            Some(sender) if signal == libc::SIGSTOP => sender == 0 || sender == self.root,
            Some(sender) => sender == self.root || !self.tasks.contains_key(&sender),
            None => false,
        };
        if !for_the_job || !root::sys::under_job_control() {
            return;
        }
        // The others in the foreground got the same signal: let them come to rest first.
        let mut quiet = 0;
        for _ in 0..100 {
            match self.poll() {
                Ok(Some(change)) if change.tid == self.root => {
                    // It goes on already.
                    self.take(change);
                    return;
                }
                Ok(Some(change)) => {
                    quiet = 0;
                    self.take(change);
                }
                _ if quiet >= 10 => break,
                _ => {
                    quiet += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        self.sink.flush();
        root::stop_too(Pid(self.root));
    }

    /// A parent that is killed at the wrong moment never reports its child, which would stay parked for ever.
    fn adopt_orphans(&mut self) {
        let orphans: Vec<u32> =
            self.parked.iter().filter(|(_, parked)| parked.is_overdue()).map(|(tid, _)| *tid).collect();
        for tid in orphans {
            if let Some(Parked::Ended { .. }) = self.parked.get(&tid) {
                // It was killed before its first instruction, and nothing says any more what it was.
                self.parked.remove(&tid);
                self.summary.unborn += 1;
            } else if let Some((tgid, parent)) = Facts::group_and_parent(tid) {
                self.summary.adopted += 1;
                if tgid != tid && self.tasks.contains_key(&tgid) {
                    self.register(now(), None, tgid, tid, SpawnKind::Clone);
                } else {
                    let parent = self.tasks.get(&parent).map(|task| Pid(task.tgid));
                    self.register(now(), Some(parent), tid, tid, SpawnKind::Fork);
                }
            }
        }
    }

    fn live(&self) -> impl Iterator<Item = u32> {
        self.tasks.iter().filter(|(tid, task)| **tid == task.tgid).map(|(tid, _)| *tid)
    }

    fn kill_everybody(&mut self) {
        if !self.killing {
            self.killing = true;
            for pid in self.live() {
                root::sys::kill(pid, libc::SIGKILL);
            }
        }
        // Somebody whose parent died before naming it.
        for pid in self.parked.keys() {
            root::sys::kill(*pid, libc::SIGKILL);
        }
    }

    /// Takes what has happened until now and names who lives on. When this thread ends, the kernel detaches from each as if
    /// it had never been traced: signals under way are delivered, job-control stops stay.
    fn let_go(&mut self) -> io::Result<()> {
        loop {
            match self.poll() {
                Ok(Some(change)) => self.take(change),
                Ok(None) => break,
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) => return Err(error),
            }
        }
        let mut live: Vec<u32> = self.live().collect();
        live.sort_unstable();
        for pid in live {
            self.summary.left_running.push(Pid(pid));
            self.sink.push(now(), CaptureBody::LeftRunning { pid: Pid(pid) });
        }
        Ok(())
    }
}

impl Parked {
    fn is_overdue(&self) -> bool {
        let (Self::Stopped { since, .. } | Self::Ended { since, .. }) = self;
        since.elapsed() > PARKED_FOR
    }
}

#[cfg(test)]
mod tests;
