//! The hand-over from a tracer's thread to the pipeline: a bounded queue of captures, redacted as they leave it.
//!
//! A tracer pushes [`Capture`]s, which hold what it read, secrets included, and exist in memory only. The one way on is
//! [`RawReceiver::recv`], which replaces secrets, drops the values of environment variables that are not allow-listed
//! and numbers the records. The queue is bounded in bytes: a tracer that is further ahead waits.
//!
//! A push wakes nobody: the receiver lets captures gather for a moment, so that a storm of events costs the tracer no
//! system call. Ordering is that of the pushes, whichever thread made them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use capsule_core::redact::Redactor;
use capsule_core::{
    Argv, Backend, ByteString, Effect, ExitStatus, Pid, RawBody, RawRecord, ResourceUsage, Seq, Snapshot, SpawnKind,
    Tid, Timestamp,
};
use tokio::sync::Notify;

use crate::witness::{self, Telling};

mod environ;

use environ::Environments;

/// How many bytes of captures may wait, unless told otherwise.
pub const DEFAULT_BUFFER_BYTES: usize = 64 << 20;
/// How long captures may gather before they are handed on.
const GATHER: Duration = Duration::from_millis(2);
/// How many captures are handed on at once without waiting for more.
const ENOUGH: usize = 512;

/// Something a tracer saw, as it saw it: unredacted, unnumbered, never written anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// When it happened, or was read where the source does not say.
    pub timestamp: Timestamp,
    /// What.
    pub body: CaptureBody,
}

/// What a [`Capture`] says. See [`RawBody`] for the meaning of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureBody {
    /// A new process.
    Spawn {
        /// Who started it; absent for the root.
        parent: Option<Pid>,
        /// The new process.
        child: Pid,
        /// How.
        how: SpawnKind,
    },
    /// A thread that a process had already when Capsule attached to it.
    Thread {
        /// The process.
        pid: Pid,
        /// The thread.
        tid: Tid,
    },
    /// A successful exec.
    Exec(Box<ExecCapture>),
    /// An exec that failed.
    ExecFailed {
        /// The process.
        pid: Pid,
        /// The path as given.
        filename: Option<Vec<u8>>,
        /// The arguments as given.
        argv: Argv,
        /// Why.
        errno: i32,
    },
    /// The end of a process.
    Exit {
        /// The process.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
        /// What it used.
        rusage: Option<ResourceUsage>,
    },
    /// A process that lived on when recording ended.
    LeftRunning {
        /// The process.
        pid: Pid,
    },
    /// What a process did outside itself.
    Effect {
        /// The process.
        pid: Pid,
        /// What it did.
        effect: Box<Effect>,
    },
    /// A line of another program's output.
    Line {
        /// Which program's.
        source: Backend,
        /// The line, without its end.
        text: Vec<u8>,
    },
    /// A record that is redacted already: a stored one, replayed.
    Stored(Box<RawBody>),
    /// Records were lost.
    Loss {
        /// How many; 0 where the source cannot say.
        count: u64,
        /// Since when, where known.
        since: Option<Timestamp>,
        /// Where and why.
        reason: String,
    },
}

/// A successful exec as the tracer read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecCapture {
    /// The process.
    pub pid: Pid,
    /// The thread that called exec, where it was not the leader.
    pub from_tid: Option<Tid>,
    /// The path as given to the kernel.
    pub filename: Option<Vec<u8>>,
    /// Arguments as the new program sees them.
    pub argv: Argv,
    /// The environment block: strings, each ended by a NUL. Sharing one allocation between equal blocks is cheapest.
    pub env: Option<Arc<[u8]>>,
    /// What else was read; its `env` is filled in by the receiver.
    pub snapshot: Option<Snapshot>,
}

impl CaptureBody {
    /// About how much memory it holds.
    fn weight(&self) -> usize {
        let held = match self {
            Self::Exec(exec) => {
                let paths = exec.filename.as_ref().map_or(0, Vec::len) + 256;
                exec.argv.as_block().len() + exec.env.as_ref().map_or(0, |env| env.len()) + paths
            }
            Self::ExecFailed { filename, argv, .. } => argv.as_block().len() + filename.as_ref().map_or(0, Vec::len),
            Self::Line { text, .. } => text.len(),
            Self::Effect { effect, .. } => {
                [&effect.path, &effect.to].into_iter().flatten().map(|path| path.as_bytes().len()).sum::<usize>() + 128
            }
            Self::Stored(_) => 512,
            Self::Loss { reason, .. } => reason.len(),
            Self::Spawn { .. } | Self::Thread { .. } | Self::Exit { .. } | Self::LeftRunning { .. } => 0,
        };
        held.saturating_add(size_of::<Capture>())
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Capture>,
    bytes: usize,
    senders: usize,
    receiver_gone: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    capacity: usize,
    room: Condvar,
    arrived: Notify,
    enough: Notify,
    lost: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a tracer puts its captures. Clones share one queue; usable from any thread, with or without a runtime.
#[derive(Debug)]
pub struct RawSink {
    shared: Arc<Shared>,
    /// Told of every capture, for a second opinion.
    telling: Option<Arc<Telling>>,
}

/// Makes a queue that holds at most about `capacity` bytes, and both of its ends.
#[must_use]
pub fn channel(capacity: usize, redactor: Redactor) -> (RawSink, RawReceiver) {
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue { senders: 1, ..Queue::default() }),
        capacity: capacity.max(1),
        room: Condvar::new(),
        arrived: Notify::new(),
        enough: Notify::new(),
        lost: AtomicU64::new(0),
    });
    let sink = RawSink { shared: Arc::clone(&shared), telling: None };
    (sink, RawReceiver { shared, taken: VecDeque::new(), cleaner: Cleaner::new(redactor), busy: false })
}

impl RawSink {
    /// The same sink, which also tells a story of what it is given.
    #[must_use]
    pub(crate) fn telling(mut self, telling: Arc<Telling>) -> Self {
        self.telling = Some(telling);
        self
    }

    /// A sink that keeps nothing and only tells.
    #[must_use]
    pub(crate) fn only_telling(telling: Arc<Telling>) -> Self {
        let (sink, receiver) = channel(1, Redactor::off());
        drop(receiver);
        sink.telling(telling)
    }

    /// Hands over a capture. Waits while the queue is full; an async task must not call it where that could last.
    pub fn push(&self, timestamp: Timestamp, body: CaptureBody) {
        if let Some(telling) = &self.telling {
            witness::tell(telling, &body);
        }
        let weight = body.weight();
        let mut queue = self.shared.lock();
        while queue.bytes >= self.shared.capacity && !queue.receiver_gone {
            self.shared.enough.notify_one();
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.receiver_gone {
            return;
        }
        queue.bytes = queue.bytes.saturating_add(weight);
        queue.waiting.push_back(Capture { timestamp, body });
        let waiting = queue.waiting.len();
        drop(queue);
        if waiting == 1 {
            self.shared.arrived.notify_one();
        } else if waiting == ENOUGH {
            self.shared.enough.notify_one();
        }
    }

    /// Says that `count` records were lost (0: an unknown number), since when, where and why.
    pub fn loss(&self, timestamp: Timestamp, count: u64, since: Option<Timestamp>, reason: impl Into<String>) {
        self.shared.lost.fetch_add(count.max(1), Ordering::Relaxed);
        self.push(timestamp, CaptureBody::Loss { count, since, reason: reason.into() });
    }

    /// How many records were said to be lost, at least.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Hands on at once what has gathered.
    pub fn flush(&self) {
        self.shared.enough.notify_one();
    }

    /// Whether nobody receives any more: what is pushed is dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().receiver_gone
    }
}

impl Clone for RawSink {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared), telling: self.telling.clone() }
    }
}

impl Drop for RawSink {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.senders = queue.senders.saturating_sub(1);
        let last = queue.senders == 0;
        drop(queue);
        if last {
            self.shared.arrived.notify_one();
            self.shared.enough.notify_one();
        }
    }
}

/// The pipeline's end: gives redacted, numbered records.
#[derive(Debug)]
pub struct RawReceiver {
    shared: Arc<Shared>,
    taken: VecDeque<Capture>,
    cleaner: Cleaner,
    /// Whether captures came lately.
    busy: bool,
}

/// How many records [`RawReceiver::recv`] gives at most at once.
const BATCH: usize = 1024;

impl RawReceiver {
    /// The next records, in order; `None` when every sender is gone and all was given. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Vec<RawRecord>> {
        while self.taken.is_empty() {
            self.gather().await?;
        }
        let count = self.taken.len().min(BATCH);
        let mut records = Vec::with_capacity(count);
        for capture in self.taken.drain(..count) {
            records.push(self.cleaner.record(capture));
        }
        Some(records)
    }

    /// Waits until something is there, lets more gather, takes it all. `None`: nothing is there and nothing will come.
    ///
    /// While captures keep coming it looks by the clock, so that the tracer need not wake it.
    async fn gather(&mut self) -> Option<()> {
        loop {
            let (waiting, senders) = {
                let queue = self.shared.lock();
                (queue.waiting.len(), queue.senders)
            };
            match (waiting, senders) {
                (0, 0) => return None,
                (n, senders) if n >= ENOUGH || senders == 0 => break,
                (0, _) if !self.busy => {
                    self.shared.arrived.notified().await;
                    self.busy = true;
                }
                _ => {
                    // An elapsed wait and an early one mean the same: take what is there.
                    drop(tokio::time::timeout(GATHER, self.shared.enough.notified()).await);
                    if !self.shared.lock().waiting.is_empty() {
                        break;
                    }
                    self.busy = false;
                }
            }
        }
        let mut queue = self.shared.lock();
        std::mem::swap(&mut self.taken, &mut queue.waiting);
        queue.bytes = 0;
        drop(queue);
        self.shared.room.notify_all();
        self.busy = true;
        Some(())
    }
}

impl Drop for RawReceiver {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.receiver_gone = true;
        queue.waiting.clear();
        queue.bytes = 0;
        drop(queue);
        self.shared.room.notify_all();
    }
}

/// Turns captures into records: secrets out, environments filtered and numbered, sequence numbers in.
#[derive(Debug)]
struct Cleaner {
    redactor: Redactor,
    environments: Environments,
    last: u64,
}

impl Cleaner {
    fn new(redactor: Redactor) -> Self {
        Self { redactor, environments: Environments::default(), last: 0 }
    }

    fn record(&mut self, capture: Capture) -> RawRecord {
        self.last += 1;
        RawRecord { seq: Seq(self.last), timestamp: capture.timestamp, body: self.body(capture.body) }
    }

    fn text(&mut self, text: Vec<u8>) -> ByteString {
        self.redactor.text(&text).unwrap_or_else(|| ByteString::from(text))
    }

    fn shared_text(&mut self, text: &mut Option<ByteString>) {
        if let Some(original) = text
            && let Some(clean) = self.redactor.text(original.as_bytes())
        {
            *original = clean;
        }
    }

    fn body(&mut self, body: CaptureBody) -> RawBody {
        match body {
            CaptureBody::Spawn { parent, child, how } => RawBody::Spawn { parent, child, how },
            CaptureBody::Thread { pid, tid } => RawBody::Thread { pid, tid },
            CaptureBody::Exec(exec) => self.exec(*exec),
            CaptureBody::ExecFailed { pid, filename, argv, errno } => {
                let filename = filename.map(|name| self.text(name));
                RawBody::ExecFailed { pid, filename, argv: self.redactor.argv(&argv), errno }
            }
            CaptureBody::Exit { pid, status, rusage } => RawBody::Exit { pid, status, rusage },
            CaptureBody::LeftRunning { pid } => RawBody::LeftRunning { pid },
            CaptureBody::Effect { pid, mut effect } => {
                self.shared_text(&mut effect.path);
                self.shared_text(&mut effect.to);
                RawBody::Effect { pid, effect: *effect }
            }
            CaptureBody::Line { source, text } => {
                let text = self.redactor.line(source, &text).unwrap_or_else(|| ByteString::from(text));
                RawBody::Line { source, text }
            }
            CaptureBody::Stored(body) => *body,
            CaptureBody::Loss { count, since, reason } => RawBody::Loss { count, since, reason },
        }
    }

    fn exec(&mut self, exec: ExecCapture) -> RawBody {
        let ExecCapture { pid, from_tid, filename, argv, env, snapshot } = exec;
        let filename = filename.map(|name| self.text(name));
        let argv = self.redactor.argv(&argv);
        let snapshot = snapshot.map(|mut snapshot| {
            if let Some(block) = env {
                snapshot.env = Some(self.environments.reference(block, &mut self.redactor));
            }
            snapshot
        });
        RawBody::Exec { pid, from_tid, filename, argv, snapshot }
    }
}

#[cfg(test)]
mod tests;
