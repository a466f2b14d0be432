//! The one door to the terminal. stdout carries data and nothing else; what Capsule says to people goes to stderr.
//!
//! Text that comes from a traced program is escaped before it gets here; messages are escaped here once more, because
//! file names and arguments are in them.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};
use std::process::{Command, Stdio};

use capsule_core::{escape_terminal, exit};

use crate::error::Problem;

/// Buffered stdout, for data. Flush it before returning, so that errors are seen.
#[must_use]
pub fn data() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Whether stdout is a terminal.
#[must_use]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Shows text on the terminal, through the user's pager where it does not fit on one screen.
///
/// `CAPSULE_PAGER`, then `PAGER`, then `less`; an empty one or `cat` means none. `less` keeps colours, and the text stays on
/// the screen after it.
///
/// # Errors
/// When neither pager nor terminal takes the text.
pub fn page(text: &[u8]) -> io::Result<()> {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
    let named = |name: &str| std::env::var(name).ok();
    let pager = named("CAPSULE_PAGER").or_else(|| named("PAGER")).unwrap_or_else(|| "less".to_owned());
    let mut words = pager.split_whitespace();
    let program = words.next().filter(|program| *program != "cat" && lines >= height);
    let started = program.and_then(|program| {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", "FRX");
        }
        command.spawn().ok()
    });
    let Some(mut pager) = started else { return io::stdout().lock().write_all(text) };
    if let Some(mut input) = pager.stdin.take() {
        // A reader who has seen enough closes the pager: that is no error.
        input
            .write_all(text)
            .or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    }
    pager.wait().map(drop)
}

/// Writes `value` as one JSON document and a newline.
///
/// # Errors
/// When stdout cannot be written.
pub fn json(value: &impl serde::Serialize) -> Result<(), Problem> {
    let mut out = data();
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Says one line to the person, on stderr. A line nobody can read is nobody's loss.
pub fn say(line: &str) {
    let mut text = String::from("capsule: ");
    text.push_str(&escape_terminal(line.as_bytes()));
    text.push('\n');
    // Nowhere to report to when stderr itself is gone.
    io::stderr().lock().write_all(text.as_bytes()).unwrap_or(());
}

/// Prints a problem: what, why, and what to do about it.
pub fn problem(problem: &Problem) {
    let mut chain = problem.cause.chain();
    let what = chain.next().map(ToString::to_string).unwrap_or_default();
    let mut line = format!("error: {what}");
    for cause in chain {
        line.push_str(": ");
        line.push_str(&cause.to_string());
    }
    say(&line);
    if let Some(hint) = &problem.hint {
        say(&format!("hint: {hint}"));
    }
}

/// Prints what clap has to say: help and version are data, errors are talk.
pub fn clap(error: &clap::Error) -> u8 {
    // `print` chooses the stream; when that stream is gone there is nobody to tell.
    error.print().unwrap_or(());
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}
