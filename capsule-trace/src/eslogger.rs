//! macOS's eslogger as a tracer: `eslogger exec fork exit`, cut down to one tree before anything is recorded.
//!
//! eslogger(1) tells of the whole system. Lines of other processes end here; what remains is recorded as it was
//! written and read in `capsule-parse`'s `eslogger.rs`. `global_seq_num` numbers all events of one client: a jump is
//! a loss (`es_message_t` in Apple's `ESMessage.h`).
//!
//! eslogger says nothing until something happens, so programs are started until it tells of one: then it sees events.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use capsule_core::{Backend, Coverage, Pid, Timestamp};
use serde::Deserialize;

use crate::backend::Probe;
use crate::command::Launch;
use crate::error::TraceError;
use crate::sink::RawSink;
use crate::tracer::{Control, Running, TraceOptions, Tracer};
use crate::watcher::{self, Told, Watcher};

/// Never looked up in PATH: it runs as root.
const PROGRAM: &str = "/usr/bin/eslogger";
const ACCESS: &str =
    "run as root, and give the terminal (or sshd) Full Disk Access in System Settings > Privacy & Security";

/// Whether eslogger works here: starts it, because only then it says that Full Disk Access is missing.
pub(crate) fn probe() -> Probe {
    if !Path::new(PROGRAM).exists() {
        return Probe::unusable(Backend::Eslogger, "a program of macOS 13 and newer, not on this system", None);
    }
    if !nix::unistd::geteuid().is_root() {
        return Probe::unusable(
            Backend::Eslogger,
            "eslogger needs root",
            Some("run it with sudo; --user NAME runs the command as NAME"),
        );
    }
    let mut command = Command::new(PROGRAM);
    command.arg("exit").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let refused = |because: String| Probe::unusable(Backend::Eslogger, because, Some(ACCESS));
    match command.spawn() {
        Ok(mut child) => {
            std::thread::sleep(Duration::from_millis(200));
            if matches!(child.try_wait(), Ok(None)) {
                // It runs: that was the question.
                let _gone = child.kill().and_then(|()| child.wait().map(drop));
                return Probe::usable(Backend::Eslogger, "Endpoint Security answers");
            }
            let said = child.wait_with_output().map(|output| output.stderr).unwrap_or_default();
            refused(String::from_utf8_lossy(&said).lines().next().unwrap_or("it ended without a word").to_owned())
        }
        Err(error) => refused(format!("cannot start {PROGRAM}: {error}")),
    }
}

/// The eslogger backend.
#[derive(Debug)]
pub(crate) struct Eslogger {
    options: TraceOptions,
    program: PathBuf,
}

impl Eslogger {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self { options, program: PathBuf::from(PROGRAM) }
    }

    /// With a stand-in for eslogger.
    #[cfg(test)]
    fn played_by(options: TraceOptions, program: PathBuf) -> Self {
        Self { options, program }
    }
}

impl Tracer for Eslogger {
    fn backend(&self) -> Backend {
        Backend::Eslogger
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        let log = Log { program: self.program, last: None };
        Box::pin(watcher::run(log, self.options, launch, sink, control))
    }
}

/// The log at work.
#[derive(Debug)]
struct Log {
    program: PathBuf,
    /// The number of the last event of anybody.
    last: Option<u64>,
}

/// What of a line decides whether it is recorded. Everything else is the parser's.
#[derive(Deserialize)]
struct Head {
    global_seq_num: Option<u64>,
    time: Option<String>,
    process: Process,
    event: Event,
}

#[derive(Deserialize)]
struct Process {
    audit_token: AuditToken,
}

#[derive(Deserialize)]
struct AuditToken {
    pid: u32,
}

#[derive(Deserialize)]
struct Event {
    fork: Option<Fork>,
    exit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Fork {
    child: Process,
}

impl Watcher for Log {
    fn backend(&self) -> Backend {
        Backend::Eslogger
    }

    fn command(&self, _root: Pid) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["exec", "fork", "exit"]);
        command
    }

    fn canary(&self) -> Option<Command> {
        Some(Command::new("/usr/bin/true"))
    }

    fn line(&mut self, line: &[u8], live: &BTreeSet<u32>) -> Told {
        let Ok(head) = serde_json::from_slice::<Head>(line) else {
            // The parser says what is wrong with it.
            return Told { ours: !line.trim_ascii().is_empty(), ..Told::default() };
        };
        let lost = match (self.last, head.global_seq_num) {
            (Some(last), Some(this)) => this.saturating_sub(last.saturating_add(1)),
            _ => 0,
        };
        self.last = head.global_seq_num.or(self.last);
        let pid = head.process.audit_token.pid;
        let ours = live.contains(&pid);
        Told {
            ready: true,
            ours,
            born: head.event.fork.map(|fork| fork.child.audit_token.pid).filter(|_| ours),
            ended: head.event.exit.map(|_| pid).filter(|_| ours),
            lost,
            at: head.time.as_deref().and_then(Timestamp::parse),
        }
    }

    fn refusal(&self, words: &str) -> TraceError {
        let because = if words.is_empty() { "eslogger ended without a word".to_owned() } else { words.to_owned() };
        TraceError::Unavailable { backend: Backend::Eslogger, because, remedy: Some(ACCESS.to_owned()) }
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            backend: Backend::Eslogger,
            hooks: ["exec", "fork", "exit"].map(str::to_owned).to_vec(),
            lost: 0,
            not_seen: vec![
                "failed execs: Endpoint Security does not tell of them".to_owned(),
                "file and network effects".to_owned(),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
