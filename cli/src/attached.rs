//! A process that is attached to, as its user sees it: what is said when it is recorded, and when it is let go.

use std::time::Duration;

use capsule_core::{Argv, Pid, SessionId, escape_terminal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::output;
use crate::pipeline::signals::{Detaching, Root};

/// How much of its command is said.
const COMMAND: usize = 60;

/// A process to attach to.
#[derive(Debug, Clone, Copy)]
pub struct Attach {
    /// Which.
    pub pid: Pid,
    /// When to let it go; otherwise at its end, or when Capsule is told to stop.
    pub after: Option<Duration>,
    /// Whether to say nothing.
    pub quiet: bool,
}

impl Attach {
    /// Says that the process is recorded, once it is.
    pub(crate) async fn say(self, mut root: watch::Receiver<Root>, id: SessionId, command: Argv) {
        let begun = root.wait_for(|root| !matches!(root, Root::Starting)).await.map(|root| *root);
        if let (false, Ok(Root::Running(pid))) = (self.quiet, begun) {
            let words: Vec<String> = command.iter().map(escape_terminal).collect();
            let command: String = words.join(" ").chars().take(COMMAND).collect();
            output::say(&format!("recording process {pid} ({command}) as {id}; Ctrl-C lets it go"));
        }
    }

    /// Lets the process go at the first signal to Capsule, or when its time is over.
    pub(crate) async fn let_go(self, signals: Option<Detaching>, detach: CancellationToken) {
        let told = async {
            match signals {
                Some(signals) => signals.told().await,
                None => std::future::pending().await,
            }
        };
        match self.after {
            // The end of the time and a signal mean the same.
            Some(after) => drop(tokio::time::timeout(after, told).await),
            None => told.await,
        }
        detach.cancel();
    }
}
