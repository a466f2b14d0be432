//! Signals to Capsule itself.
//!
//! Ctrl-C, Ctrl-\ and Ctrl-Z belong to the traced program: the terminal sends them to its whole process group, and
//! Capsule only must not die of them. SIGTERM and SIGHUP come to Capsule alone: they are passed on, and five seconds
//! later, or at the second one, the tree is killed.

use std::io;
use std::time::Duration;

use capsule_core::{ExitStatus, Pid};
use nix::sys::signal::{Signal, kill};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a program may take to follow a signal.
const PATIENCE: Duration = Duration::from_secs(5);

/// The traced command's root process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The tracer has not said yet that it runs.
    Starting,
    /// It runs.
    Running(Pid),
    /// It has ended, or never ran: its pid may be somebody else's. With its status, where there is one.
    Ended(Option<ExitStatus>),
}

/// Listens from the moment it is made; what it listens to does not end Capsule any more.
pub struct Signals {
    term: Listener,
    hup: Listener,
    /// Held only so that the defaults do not apply.
    _terminal: [Listener; 3],
}

/// Ctrl-C, SIGTERM or SIGHUP: each says to let go.
pub struct Detaching(Vec<Listener>);

impl Detaching {
    /// Waits for the first of them.
    pub async fn told(mut self) {
        std::future::poll_fn(|context| {
            let told = self.0.iter_mut().any(|listener| listener.poll_recv(context).is_ready());
            if told { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

impl Signals {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel refuses a handler.
    pub fn listen() -> io::Result<Self> {
        let ignore = |raw: Signal| signal(SignalKind::from_raw(raw as i32));
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            _terminal: [ignore(Signal::SIGINT)?, ignore(Signal::SIGQUIT)?, ignore(Signal::SIGTSTP)?],
        })
    }

    /// Listens for being told to let an attached process go.
    ///
    /// # Errors
    /// When the kernel refuses a handler.
    pub fn to_detach() -> io::Result<Detaching> {
        Ok(Detaching(
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
                .map(signal)
                .into_iter()
                .collect::<io::Result<Vec<_>>>()?,
        ))
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::SIGTERM,
            _ = self.hup.recv() => Signal::SIGHUP,
        }
    }

    /// Passes signals on to the root until the session ends, and kills the tree when that does not help.
    ///
    /// `root` gives the root's pid once it runs; `interrupted` is told of the first signal. Never returns: drop it when
    /// the session is over.
    pub async fn forward(
        mut self,
        mut root: tokio::sync::watch::Receiver<Root>,
        cancel: CancellationToken,
        interrupted: std::sync::Arc<std::sync::OnceLock<i32>>,
    ) {
        let first = self.next().await;
        // Only the first one is told.
        interrupted.get_or_init(|| first as i32);
        let patience = async {
            // A signal can come before the tracer has said that the command runs.
            let running = match root.wait_for(|root| !matches!(root, Root::Starting)).await {
                Ok(known) => *known,
                Err(_tracer_gone) => Root::Ended(None),
            };
            if let Root::Running(pid) = running
                && let Ok(pid) = i32::try_from(pid.0)
            {
                // It may have ended at this moment, and then needs no signal.
                kill(nix::unistd::Pid::from_raw(pid), first).unwrap_or(());
            }
            self.next().await
        };
        // The second signal and the end of patience mean the same.
        drop(tokio::time::timeout(PATIENCE, patience).await);
        cancel.cancel();
        std::future::pending::<()>().await;
    }
}
