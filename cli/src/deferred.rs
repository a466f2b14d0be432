//! Work that is begun early and needed late: the embedded rules take longer to compile than a short command takes to
//! run, so they are compiled on a thread of their own while the command starts.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use capsule_core::Stage;

/// A value that a thread is making, or has made.
pub enum Deferred<T> {
    /// Made by this thread.
    Making(JoinHandle<Option<T>>),
    /// Made already.
    Made(T),
}

impl<T: Send + 'static> Deferred<T> {
    /// Begins to make a value; makes it at once where the user may have no more threads.
    pub fn start(make: impl FnOnce() -> T + Send + 'static) -> Self {
        let make = Arc::new(Mutex::new(Some(make)));
        let theirs = Arc::clone(&make);
        match std::thread::Builder::new().spawn(move || take(&theirs).map(|make| make())) {
            Ok(thread) => Self::Making(thread),
            Err(_no_thread) => match take(&make) {
                Some(make) => Self::Made(make()),
                None => unreachable!("there was no thread to take it"),
            },
        }
    }

    /// Goes on from the value, on the same terms.
    #[must_use]
    pub fn map<U: Send + 'static>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Deferred<U> {
        Deferred::start(move || then(self.wait()))
    }

    /// The value, once it is made.
    ///
    /// # Panics
    /// With the panic of the thread that made it.
    #[must_use]
    pub fn wait(self) -> T {
        match self {
            Self::Made(value) => value,
            Self::Making(thread) => match thread.join() {
                Ok(Some(value)) => value,
                Ok(None) => unreachable!("only the thread takes what it was given"),
                Err(panic) => std::panic::resume_unwind(panic),
            },
        }
    }
}

fn take<F>(from: &Mutex<Option<F>>) -> Option<F> {
    from.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A stage that is still being made when its first record comes.
pub struct Late<S> {
    stage: Option<S>,
    making: Option<Deferred<S>>,
}

impl<S: Send + 'static> Late<S> {
    /// A stage that waits for `making` when it gets its first record.
    #[must_use]
    pub const fn new(making: Deferred<S>) -> Self {
        Self { stage: None, making: Some(making) }
    }

    fn stage(&mut self) -> Option<&mut S> {
        if let Some(making) = self.making.take() {
            self.stage = Some(making.wait());
        }
        self.stage.as_mut()
    }
}

impl<S: Stage + Send + 'static> Stage for Late<S> {
    type In = S::In;
    type Out = S::Out;

    fn feed(&mut self, input: &S::In, out: &mut Vec<S::Out>) {
        if let Some(stage) = self.stage() {
            stage.feed(input, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<S::Out>) {
        if let Some(stage) = self.stage() {
            stage.finish(out);
        }
    }
}
