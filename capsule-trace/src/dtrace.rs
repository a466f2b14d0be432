//! dtrace as a tracer: a D script that follows one tree, printed line by line.
//!
//! What the script prints is described where it is read, in `capsule-parse`'s `dtrace.rs`. The script is
//! `dtrace/capsule.d`; the printing of arguments, which D cannot loop over, is put in here.
//!
//! What it relies on: the proc provider (dtrace(1), "Dynamic Tracing Guide", chapter 25), `psinfo_t` as macOS's
//! `/usr/lib/dtrace/darwin.d` translates it (`pr_argc`, `pr_argv`, `pr_wstat` and the ids).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use capsule_core::{Backend, Coverage, Pid};

use crate::backend::Probe;
use crate::command::Launch;
use crate::error::TraceError;
use crate::sink::RawSink;
use crate::tracer::{Control, Running, TraceOptions, Tracer};
use crate::watcher::{self, Told, Watcher};

/// Never looked up in PATH: it runs as root.
const PROGRAM: &str = "/usr/sbin/dtrace";
const SCRIPT: &str = include_str!("dtrace/capsule.d");
/// Where the script prints arguments.
const ARGUMENTS: &str = "/* ARGUMENTS */";
/// How many arguments are printed. Each takes a string's room in dtrace's buffer, used or not.
const MOST_ARGUMENTS: usize = 64;
const SIP: &str = "run as root; where System Integrity Protection restricts dtrace (csrutil status), \
                   use --tracer eslogger or enable dtrace with `csrutil enable --without dtrace` from recovery";

/// The whole script.
fn script() -> String {
    let mut arguments = String::new();
    for index in 0..MOST_ARGUMENTS {
        let comma = if index == 0 { "" } else { ", " };
        // What is behind a question mark is evaluated only where it holds.
        let given = format!("this->argc > {index}");
        let string = format!("copyinstr(this->argv[{index}])");
        let written = write!(
            arguments,
            "\tprintf(\"%s%S%s\", {given} ? \"{comma}\\\"\" : \"\", {given} ? {string} : \"\",\n\t    {given} ? \
             (strlen({string}) >= LONGEST - 1 ? \"\\\"...\" : \"\\\"\") : \"\");\n"
        );
        // Writing to a string does not fail.
        debug_assert!(written.is_ok());
    }
    let more = format!("\tprintf(\"%s]\\n\", this->argc > {MOST_ARGUMENTS} ? \", ...\" : \"\");\n");
    SCRIPT.replace(ARGUMENTS, &(arguments + &more))
}

/// Whether dtrace works here.
pub(crate) fn probe() -> Probe {
    if !Path::new(PROGRAM).exists() {
        return Probe::unusable(Backend::Dtrace, format!("no {PROGRAM} on this system"), None);
    }
    if !nix::unistd::geteuid().is_root() {
        return Probe::unusable(
            Backend::Dtrace,
            "dtrace needs root",
            Some("run it with sudo; --user NAME runs the command as NAME"),
        );
    }
    let mut asked = Command::new(PROGRAM);
    asked.args(["-q", "-n", "proc:::exec-success { } BEGIN { exit(0); }"]).stdin(Stdio::null());
    match asked.output() {
        Ok(output) if output.status.success() => Probe::usable(Backend::Dtrace, "dtrace's proc provider works"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it ended without a word").to_owned();
            Probe::unusable(Backend::Dtrace, said, Some(SIP))
        }
        Err(error) => Probe::unusable(Backend::Dtrace, format!("cannot start {PROGRAM}: {error}"), None),
    }
}

/// The dtrace backend.
#[derive(Debug)]
pub(crate) struct Dtrace {
    options: TraceOptions,
    program: PathBuf,
}

impl Dtrace {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self { options, program: PathBuf::from(PROGRAM) }
    }

    /// With a stand-in for dtrace.
    #[cfg(test)]
    fn played_by(options: TraceOptions, program: PathBuf) -> Self {
        Self { options, program }
    }
}

impl Tracer for Dtrace {
    fn backend(&self) -> Backend {
        Backend::Dtrace
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        Box::pin(watcher::run(Script { program: self.program }, self.options, launch, sink, control))
    }
}

/// The script at work.
#[derive(Debug)]
struct Script {
    program: PathBuf,
}

impl Watcher for Script {
    fn backend(&self) -> Backend {
        Backend::Dtrace
    }

    fn command(&self, root: Pid) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-q", "-s", "/dev/stdin"]).arg(root.to_string());
        command
    }

    fn input(&self) -> Option<String> {
        Some(script())
    }

    fn line(&mut self, line: &[u8], live: &BTreeSet<u32>) -> Told {
        let mut words = line.split(|byte| *byte == b' ').filter_map(|word| std::str::from_utf8(word).ok());
        let number = |words: &mut dyn Iterator<Item = &str>| words.next().and_then(|word| word.trim().parse().ok());
        match (words.next(), words.next()) {
            (Some("capsule"), Some("ready")) => Told { ready: true, ..Told::default() },
            (Some("capsule"), Some("create")) => {
                let (maker, child): (Option<u32>, _) = (number(&mut words), number(&mut words));
                let born = child.filter(|_| maker.is_some_and(|maker| live.contains(&maker)));
                Told { ours: true, born, ..Told::default() }
            }
            (Some("capsule"), Some("exit")) => {
                let ended = number(&mut words).filter(|pid| live.contains(pid));
                Told { ours: true, ended, ..Told::default() }
            }
            _ => Told { ours: !line.trim_ascii().is_empty(), ..Told::default() },
        }
    }

    fn records_messages(&self) -> bool {
        true
    }

    fn refusal(&self, words: &str) -> TraceError {
        let because = if words.is_empty() { "dtrace ended without a word".to_owned() } else { words.to_owned() };
        TraceError::Unavailable { backend: Backend::Dtrace, because, remedy: Some(SIP.to_owned()) }
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            backend: Backend::Dtrace,
            hooks: ["proc:::create", "proc:::exec-success", "proc:::exec-failure", "proc:::exit"]
                .map(str::to_owned)
                .to_vec(),
            lost: 0,
            not_seen: vec![
                format!(
                    "arguments beyond {MOST_ARGUMENTS}, or longer than 1 KiB each: what is missing is said at the exec"
                ),
                "working directories and executables of processes that end at once: read later, while they live"
                    .to_owned(),
                "the moment of an event: lines are stamped when they are read, up to 20 ms later".to_owned(),
                "file and network effects".to_owned(),
            ],
        }
    }
}

#[cfg(test)]
mod tests;
