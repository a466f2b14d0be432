//! `capsule run --live`: the live view around a command that needs no terminal.
//!
//! Before anything starts, Capsule's own standard descriptors become what the command is to inherit: stdin reads nothing, stdout
//! and stderr go to one file that has no name. The view shows its end; when the view is over, stdout gets all of it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use capsule_core::SessionId;
use capsule_io::Store;

use crate::error::Problem;
use crate::follow::Follower;
use crate::output;
use crate::watch::{self, Inside};

/// How long the session's files may take to be there.
const FILES: Duration = Duration::from_secs(10);

/// The view, until it is left.
pub type Shown = JoinHandle<Result<(), Problem>>;

/// The standard descriptors as they were, and what the command writes.
pub struct Live {
    saved: [OwnedFd; 3],
    output: File,
}

impl Live {
    /// Puts the command's descriptors in place of Capsule's.
    ///
    /// # Errors
    /// When there is no terminal to show anything on, or no file can be made.
    pub fn begin() -> Result<Self, Problem> {
        if !output::stdout_is_terminal() || !io::stdin().is_terminal() {
            let hint = "capsule run without --live, and capsule tail or capsule watch beside it";
            return Err(Problem::usage("--live needs a terminal").hint(hint));
        }
        let begin = || -> anyhow::Result<Self> {
            let saved = [
                io::stdin().as_fd().try_clone_to_owned()?,
                io::stdout().as_fd().try_clone_to_owned()?,
                io::stderr().as_fd().try_clone_to_owned()?,
            ];
            let (written, path) = tempfile::NamedTempFile::new()?.into_parts();
            // A position of its own: the command's is the end.
            let output = File::open(&path)?;
            path.close()?;
            nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
            nix::unistd::dup2_stdout(&written)?;
            nix::unistd::dup2_stderr(&written)?;
            Ok(Self { saved, output })
        };
        Ok(begin().context("could not put the command's output aside")?)
    }

    /// Begins to show the session, once it is told which.
    ///
    /// # Errors
    /// When the user may have no more threads.
    pub fn show(&self) -> io::Result<(Sender<SessionId>, Shown)> {
        let (tell, told) = channel();
        let terminal = File::from(self.saved[1].try_clone()?);
        let inside = Inside { output: self.output.try_clone()?, interrupt };
        let thread = std::thread::Builder::new().name("view".to_owned());
        Ok((tell, thread.spawn(move || view(&told, terminal, inside))?))
    }

    /// Gives Capsule its descriptors back, and stdout what the command wrote.
    ///
    /// # Errors
    /// When they cannot be put back, or the output cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        let [stdin, stdout, stderr] = &self.saved;
        nix::unistd::dup2_stdin(stdin)?;
        nix::unistd::dup2_stdout(stdout)?;
        nix::unistd::dup2_stderr(stderr)?;
        self.output.rewind()?;
        let mut out = output::data();
        io::copy(&mut self.output, &mut out)?;
        io::Write::flush(&mut out)
    }
}

fn view(told: &Receiver<SessionId>, terminal: File, inside: Inside) -> Result<(), Problem> {
    // There is no session: what went wrong is said elsewhere.
    let Ok(id) = told.recv() else { return Ok(()) };
    let session = || Follower::new(Store::open()?.session(&id)?);
    let begun = Instant::now();
    let follower = loop {
        match session() {
            Ok(follower) => break follower,
            Err(problem) if begun.elapsed() > FILES => return Err(problem),
            Err(_not_yet) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    watch::show(follower, terminal, Some(inside)).map(drop)
}

/// What the terminal does at Ctrl-C: its whole foreground group gets the signal, and Capsule does not follow it.
fn interrupt() {
    // There is always a group of one's own.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), nix::sys::signal::Signal::SIGINT).unwrap_or(());
}
