//! What goes wrong, for people: what, why, and what to do about it.

use std::fmt;

use capsule_core::exit;

/// A failure of a command: the exit code, the chain of causes, and a hint.
#[derive(Debug)]
pub struct Problem {
    /// The exit code it leads to.
    pub code: u8,
    /// What failed, and why.
    pub cause: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with an exit code of its own.
    pub fn new(code: u8, cause: impl Into<anyhow::Error>) -> Self {
        Self { code, cause: cause.into(), hint: None }
    }

    /// The command line asks for something that makes no sense.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(exit::USAGE, anyhow::anyhow!("{message}"))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Changes the exit code.
    #[must_use]
    pub const fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// What, why, and what to do about it, in one line.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let hint = self.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{:#}{hint}", self.cause)
    }

    /// Whether the reader of our output went away, which is its good right (`capsule report | head`).
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.cause
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::new(exit::FAILURE, error)
    }
}

/// What a command returns: its exit code, or what went wrong.
pub type Outcome = Result<u8, Problem>;

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
