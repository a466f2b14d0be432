//! Two processes for one run: a recorder that does everything, and a waiter that the user's shell sees.
//!
//! A daemon that an agent starts can outlive the command by hours and still do the session's work. It must go on being
//! recorded, and the terminal must come back when the command ends. A tracer cannot move to another process, so the
//! two are parted before the first thread starts: the waiter stops when the recorder stops, passes signals on, and ends
//! with the recorder's exit code, or with the command's when the recorder goes on alone ([`Recorder::go_on_alone`]).
//! Killing the waiter ends no recording. From a recorder that was killed it inherits what the tracer had not read yet: who
//! killed it may be in there.

mod sys;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use capsule_core::Pid;

pub(crate) use sys::{leave_behind, shell};

/// Which of the two this process is.
#[derive(Debug)]
pub enum Part {
    /// Records.
    Recorder(Recorder),
    /// Waited, and must end with this exit code.
    Waiter(u8),
    /// Waited for a recorder that was killed: nobody recorded the command to its end.
    Bereft {
        /// The recorder, as it was.
        recorder: Pid,
        /// What killed it.
        signal: i32,
        /// What its tracer left behind, for [`killer`](crate::killer).
        left: Option<OwnedFd>,
    },
}

/// The recorder's way to let the waiter go.
#[derive(Debug)]
pub struct Recorder {
    waiter: OwnedFd,
}

/// Parts this process in two. The recorder returns at once, the waiter when it is to end.
///
/// Call it before any thread starts: a forked child has only the thread that forked.
///
/// # Errors
/// When the kernel refuses a pipe or a process. Then nothing has happened, and this process can record by itself.
pub fn part() -> io::Result<Part> {
    sys::part()
}

impl Recorder {
    /// Ends the waiter with the command's exit code, and goes on without the terminal: its descriptors are closed, and a
    /// hang-up no longer matters.
    ///
    /// # Errors
    /// When the waiter cannot be told.
    pub fn go_on_alone(self, code: u8) -> io::Result<()> {
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        sys::ignore_hang_up();
        sys::leave_the_terminal(&nothing);
        File::from(self.waiter).write_all(&[code])?;
        sys::wake_the_waiter();
        Ok(())
    }
}
