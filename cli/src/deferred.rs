//! Work that is begun early and needed late: the embedded rules take longer to compile than a short command takes to
//! run, so they are compiled on a thread of their own while the command starts.

use std::thread::JoinHandle;

use capsule_core::Stage;

/// A value that a thread is making, or has made.
pub struct Deferred<T>(JoinHandle<T>);

impl<T: Send + 'static> Deferred<T> {
    /// Begins to make a value.
    pub fn start(make: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(std::thread::spawn(make))
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
        match self.0.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
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
