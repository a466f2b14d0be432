//! The live view of a session on a terminal: a tree that grows, and any earlier moment of it.
//!
//! [`state`] is what is known and what is shown, [`draw`] puts it on a screen, and neither does any input or output. Only
//! the loop here touches the session's files, and [`screen`] the terminal. It draws ten times a second at most and reads for a
//! twentieth of a second at a time, so that keys are answered while a large session is read.

pub mod details;
pub mod draw;
pub mod model;
pub mod screen;
pub mod state;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};

use crate::error::Problem;
use crate::follow::Follower;
use crate::recording::now;
use screen::{Ending, Screen};
use state::{Input, State, update};

/// How long is read before keys are looked at.
const READ_FOR: Duration = Duration::from_millis(50);
/// How many records are read at once.
const BATCH: usize = 256;
/// How much of a command's output is read at once.
const OUTPUT: u64 = 64 * 1024;
/// How many keys are taken before the next drawing.
const KEYS: usize = 256;
/// How long two drawings are apart, keys excepted.
const FRAME: Duration = Duration::from_millis(100);

/// A command that runs inside the view, without a terminal of its own.
pub struct Inside {
    /// What it writes, read from the beginning.
    pub output: File,
    /// Passes Ctrl-C on.
    pub interrupt: fn(),
}

/// Shows a session on a terminal until the user has seen enough, or a signal ends it: that signal. A terminal that is gone is
/// a SIGHUP.
///
/// # Errors
/// When the terminal or the session cannot be used.
pub fn show(mut follower: Follower, terminal: File, mut inside: Option<Inside>) -> Result<Option<i32>, Problem> {
    let mut state = State::new(follower.metadata()?);
    state.output = inside.is_some().then(Default::default);
    let ending = Ending::listen().context("could not listen to signals")?;
    let mut screen = Screen::take(terminal).context("could not use the terminal")?;
    let mut drawn: Option<Instant> = None;
    while !state.quit {
        if let Some(signal) = ending.signal() {
            return Ok(Some(signal));
        }
        let begun = Instant::now();
        let mut idle = follower.is_over();
        while !idle && begun.elapsed() < READ_FOR {
            let records = follower.poll(BATCH);
            idle = records.len() < BATCH;
            update(&mut state, Input::Records(records));
        }
        if follower.is_over() && !state.over {
            update(&mut state, Input::Ended(Box::new(follower.metadata()?)));
        }
        if let Some(inside) = &mut inside {
            let mut more = Vec::new();
            // What cannot be read is not shown; the file is there at the end.
            (&inside.output).take(OUTPUT).read_to_end(&mut more).unwrap_or(0);
            update(&mut state, Input::Output(more));
            if std::mem::take(&mut state.interrupt) {
                (inside.interrupt)();
            }
        }
        if std::mem::take(&mut state.suspend) {
            screen = screen.stopped().context("could not stop and take the terminal again")?;
            drawn = None;
        }
        update(&mut state, Input::Tick { now: now(), behind: follower.behind() });
        if drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            screen.draw(|frame| draw::draw(frame, &mut state)).context("could not draw")?;
            drawn = Some(Instant::now());
        }
        // Keys that came together, as a pasted text does, are one picture.
        let mut patience = if idle { FRAME } else { Duration::ZERO };
        for _ in 0..KEYS {
            if !screen.wait(patience).context("could not wait for the terminal")? {
                return Ok(Some(signal_hook::consts::SIGHUP));
            }
            match event::poll(Duration::ZERO).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
                Ok(Some(Event::Key(key))) => update(&mut state, Input::Key(key)),
                Ok(Some(_resized)) => {}
                Ok(None) => break,
                // The terminal goes away together with a signal that says so.
                Err(_) if ending.signal().is_some() => break,
                Err(error) => return Err(anyhow::Error::new(error).context("could not read the terminal").into()),
            }
            (patience, drawn) = (Duration::ZERO, None);
            if state.quit || state.suspend {
                break; // What follows is for the shell.
            }
        }
    }
    Ok(None)
}
