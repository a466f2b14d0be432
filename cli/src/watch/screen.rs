//! The terminal that the view is on: taken at the beginning, given back however the view ends.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

/// A terminal in the view's hands.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<File>>,
    file: File,
}

impl Screen {
    /// Takes the terminal. A panic gives it back before it says anything.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub fn take(file: File) -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(file.try_clone()?))?;
        enable_raw_mode()?;
        let mut screen = Self { terminal, file };
        execute!(screen.file, EnterAlternateScreen, Clear(ClearType::All))?;
        let again = screen.file.try_clone()?;
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back(&again);
                hook(panic);
            }));
        });
        Ok(screen)
    }

    /// Gives the terminal back, stops as Ctrl-Z would have stopped it, and takes the terminal again when it goes on.
    ///
    /// # Errors
    /// When the terminal cannot be used any more.
    pub fn stopped(self) -> io::Result<Self> {
        let file = self.file.try_clone()?;
        drop(self);
        // Everybody in the foreground, as the terminal does it.
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        Self::take(file)
    }

    /// Draws one picture.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }

    /// Waits for a key, a signal, or until `patience` is over; says whether the terminal is still there.
    ///
    /// crossterm must not be asked for a key of a terminal that is gone: it would read its end for ever.
    ///
    /// # Errors
    /// When the kernel cannot wait.
    pub fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut terminal = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut terminal, PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO)) {
            Ok(_) => {
                let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
                Ok(!terminal[0].revents().is_some_and(|events| events.intersects(gone)))
            }
            Err(Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.file);
    }
}

/// A terminal that is gone needs nothing.
fn give_back(mut file: &File) {
    disable_raw_mode().unwrap_or(());
    execute!(file, LeaveAlternateScreen, Show).unwrap_or(());
}

/// SIGTERM or SIGHUP: ends the view, and not the program before the terminal is as it was.
pub struct Ending {
    told: Arc<AtomicUsize>,
    listening: Vec<signal_hook::SigId>,
}

impl Ending {
    /// Listens from now on, until it is dropped.
    ///
    /// # Errors
    /// When the kernel refuses a handler.
    pub fn listen() -> io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGTERM};

        let mut ending = Self { told: Arc::new(AtomicUsize::new(0)), listening: Vec::new() };
        for signal in [SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).unwrap_or(0);
            ending.listening.push(signal_hook::flag::register_usize(signal, Arc::clone(&ending.told), number)?);
        }
        Ok(ending)
    }

    /// The signal that came, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        i32::try_from(self.told.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        for id in self.listening.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
