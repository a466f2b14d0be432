//! What a tracer is to the rest of Capsule: something that starts a command, watches its tree and hands over captures.
//!
//! A new backend implements [`Tracer`] and is named in [`backend`](crate::backend); nothing downstream changes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use capsule_core::{Argv, Backend, Coverage, ExitStatus, Pid};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::command::Launch;
use crate::error::TraceError;
use crate::keep::Keeper;
use crate::sink::RawSink;

/// A running recording: resolves when the root has ended and its descendants ended or were let go.
pub type Running = Pin<Box<dyn Future<Output = Result<Outcome, TraceError>> + Send>>;

/// A way of watching a command.
pub trait Tracer: Send {
    /// Which backend this is.
    fn backend(&self) -> Backend;

    /// Starts the command and records its tree into `sink` until it ends.
    ///
    /// Every capture has been pushed when the future resolves, and the sink's last clone is dropped. Dropping the
    /// future before does what [`Control::cancel`] does.
    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running;

    /// Asks whether [`attach`](Self::attach) would be refused, before anything is recorded. It changes nothing.
    ///
    /// # Errors
    /// With the reason that `attach` would give.
    fn may_attach(&self, _pid: Pid) -> Result<(), TraceError> {
        let because = "it cannot attach to a running process".to_owned();
        Err(TraceError::Unavailable { backend: self.backend(), because, remedy: None })
    }

    /// Records a process that runs already, with its present and later descendants.
    ///
    /// Cancelling lets them go: they are never killed. Everything else is as in [`run`](Self::run).
    fn attach(self: Box<Self>, pid: Pid, sink: RawSink, control: Control) -> Running {
        let _nobody = (sink, control);
        let refused = self.may_attach(pid).err();
        let backend = self.backend();
        let refused = refused.unwrap_or(TraceError::BrokeOff { backend, because: "it does not attach".to_owned() });
        Box::pin(std::future::ready(Err(refused)))
    }
}

/// What becomes of descendants that live on when the root has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Linger {
    /// Let them go after the grace, unless they do the session's work.
    #[default]
    Auto,
    /// Let them go after the grace; they live on and are recorded as left running.
    Detach,
    /// Record until the last one has ended.
    Wait,
    /// Kill them.
    Kill,
}

/// Which effects are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum EffectLevel {
    /// None.
    #[default]
    Off,
    /// What changes something.
    Writes,
    /// Reads too.
    All,
}

/// Says of a detached descendant's arguments whether it does the session's work: an agent's own daemon.
#[derive(Clone)]
pub struct StayWith(pub Arc<dyn Fn(&Argv) -> bool + Send + Sync>);

impl fmt::Debug for StayWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StayWith")
    }
}

/// How to trace.
#[derive(Debug, Clone)]
pub struct TraceOptions {
    /// What becomes of descendants that outlive the root.
    pub linger: Linger,
    /// How long descendants may take to end after the root, before `linger` applies.
    pub grace: Duration,
    /// Which effects are captured.
    pub effects: EffectLevel,
    /// Whether failed execs are captured: `None` where the backend can without changing anything for the command.
    pub failed_execs: Option<bool>,
    /// Which detached descendants do the session's work: [`Linger::Auto`] stays with them until they are idle.
    pub stay_with: Option<StayWith>,
    /// Whether a seccomp filter may be installed at the price of `no_new_privs`, with which sudo fails.
    pub no_new_privs: bool,
    /// Capsule's own processes: signals to them, and handles on them, are effects.
    pub recorders: Vec<Pid>,
    /// Keeps what calls are about to destroy; only ptrace, with effects.
    pub snapshots: Option<Arc<Keeper>>,
    /// How large the kernel's ring buffer is, for a tracer that has one (eBPF); rounded up to a power of two, 64 KiB to 1 GiB.
    pub ring_bytes: usize,
}

/// The size of the kernel's ring buffer unless told otherwise: some 8,000 processes' records.
pub const DEFAULT_RING_BYTES: usize = 16 << 20;

impl Default for TraceOptions {
    fn default() -> Self {
        Self {
            linger: Linger::Auto,
            grace: Duration::from_millis(300),
            effects: EffectLevel::Off,
            failed_execs: None,
            stay_with: None,
            no_new_privs: false,
            recorders: Vec::new(),
            snapshots: None,
            ring_bytes: DEFAULT_RING_BYTES,
        }
    }
}

/// The tracer's side of what its caller knows and wants while it runs.
#[derive(Debug)]
pub struct Control {
    /// When cancelled: kill the tree, record its end, end.
    pub cancel: CancellationToken,
    /// Told the root's pid once it has executed the command.
    pub started: Option<oneshot::Sender<Pid>>,
    /// Told how the root ended, as soon as it has.
    pub root_ended: Option<oneshot::Sender<ExitStatus>>,
}

/// The caller's side of a [`Control`].
#[derive(Debug)]
pub struct Watch {
    /// Cancel it to kill the tree.
    pub cancel: CancellationToken,
    /// Resolves to the root's pid; an error when it never started.
    pub started: oneshot::Receiver<Pid>,
    /// Resolves when the root has ended; an error when the tracer failed before.
    pub root_ended: oneshot::Receiver<ExitStatus>,
}

impl Control {
    /// A control and the caller's side of it.
    #[must_use]
    pub fn new() -> (Self, Watch) {
        let cancel = CancellationToken::new();
        let (started_tx, started) = oneshot::channel();
        let (root_ended_tx, root_ended) = oneshot::channel();
        let control = Self { cancel: cancel.clone(), started: Some(started_tx), root_ended: Some(root_ended_tx) };
        (control, Watch { cancel, started, root_ended })
    }

    /// Says that the root runs the command. Later calls do nothing.
    pub fn tell_started(&mut self, root: Pid) {
        if let Some(sender) = self.started.take() {
            // The caller may have stopped listening: then nobody needs to know.
            let _unheard = sender.send(root);
        }
    }

    /// Says that the root has ended. Later calls do nothing.
    pub fn tell_root_ended(&mut self, status: ExitStatus) {
        if let Some(sender) = self.root_ended.take() {
            let _unheard = sender.send(status);
        }
    }
}

/// How a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How the root ended; absent for imported recordings that do not say.
    pub root: Option<ExitStatus>,
    /// What was hooked, what was lost, what could not be seen.
    pub coverage: Coverage,
    /// Descendants that were let go.
    pub left_running: Vec<Pid>,
}
