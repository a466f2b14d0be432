//! The live view of a session on a terminal: a tree that grows, and any earlier moment of it.
//!
//! [`state`] is what is known and what is shown, [`draw`] puts it on a screen, and neither does any input or output. Only
//! the loop here touches the terminal and the session's files. It draws ten times a second at most and reads for a
//! twentieth of a second at a time, so that keys are answered while a large session is read.

pub mod details;
pub mod draw;
pub mod model;
pub mod state;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};

use crate::error::Problem;
use crate::follow::Follower;
use crate::recording::now;
use state::{Input, State, update};

/// How long is read before keys are looked at.
const READ_FOR: Duration = Duration::from_millis(50);
/// How many records are read at once.
const BATCH: usize = 256;
/// How long two drawings are apart, keys excepted.
const FRAME: Duration = Duration::from_millis(100);

/// Gives the terminal back, however the view ends.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows a session until the user has seen enough.
///
/// # Errors
/// When the terminal or the session cannot be used.
pub fn show(mut follower: Follower) -> Result<(), Problem> {
    let mut state = State::new(follower.metadata()?);
    let mut screen = Screen(ratatui::try_init().context("could not use the terminal")?);
    let mut drawn: Option<Instant> = None;
    while !state.quit {
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
        update(&mut state, Input::Tick { now: now(), behind: follower.behind() });
        if drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
            screen.0.draw(|frame| draw::draw(frame, &mut state)).context("could not draw")?;
            drawn = Some(Instant::now());
        }
        let patience = if idle { FRAME } else { Duration::ZERO };
        if event::poll(patience).context("could not read the terminal")? {
            match event::read().context("could not read the terminal")? {
                Event::Key(key) => update(&mut state, Input::Key(key)),
                _other => {}
            }
            drawn = None;
        }
    }
    Ok(())
}
