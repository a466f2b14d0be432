//! The thread that all of a session's tasks share.
//!
//! What comes after the capture can wait, and the traced program cannot: on a machine whose cores are all wanted, work
//! behind the queue would be taken from the program that is recorded. So it has one thread, whatever the number of cores,
//! and that thread is nicer than the program. One thread is also cheaper than several: no wake-ups between cores, and
//! memory is freed where it was taken. Nothing is started from it, so nobody inherits its niceness.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::platform::give_way;

/// The thread for the tasks of one session. It ends when this is dropped, by when they have been joined.
pub(super) struct Background {
    handle: Handle,
    /// Dropped, it ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

/// Starts the thread. Where no further one can be had, the tasks run beside everything else.
pub(super) fn start() -> Background {
    let beside = || Background { handle: Handle::current(), _stop: None };
    let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return beside() };
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("capsule-record".to_owned()).spawn(move || {
        give_way();
        // An error is how the sender's end is heard of.
        runtime.block_on(stopped).unwrap_or(());
    });
    match thread {
        Ok(_runs_until_dropped) => Background { handle, _stop: Some(stop) },
        Err(_no_thread) => beside(),
    }
}

impl Background {
    /// Where tasks go.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}
