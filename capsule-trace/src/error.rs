//! Why a command could not be traced, with what to do about it.

use std::io;
use std::path::PathBuf;

use capsule_core::{Backend, ByteString, exit};
use thiserror::Error;

/// Why a recording did not come about or broke off.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// There is no such program.
    #[error("command `{program}` not found")]
    NotFound {
        /// The program as it was given.
        program: ByteString,
    },
    /// The program is there but cannot be executed.
    #[error("cannot execute `{program}`")]
    CannotExecute {
        /// The program as it was given.
        program: ByteString,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("cannot enter directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel or a sandbox does not allow tracing.
    #[error("not permitted to {action}")]
    NotPermitted {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// What to do about it.
        remedy: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The backend cannot be used here.
    #[error("tracer `{backend}` cannot be used here: {because}")]
    Unavailable {
        /// Which.
        backend: Backend,
        /// Why.
        because: String,
        /// What to do about it, where something can be done.
        remedy: Option<String>,
    },
    /// The tracer stopped working in the middle of a recording.
    #[error("tracer `{backend}` broke off: {because}")]
    BrokeOff {
        /// Which.
        backend: Backend,
        /// What happened.
        because: String,
    },
    /// A system call that should not fail did.
    #[error("cannot {action}")]
    System {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl TraceError {
    /// The exit code of `capsule run` for this error.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => exit::NOT_FOUND,
            Self::CannotExecute { .. } => exit::CANNOT_EXECUTE,
            _ => exit::CAPSULE_FAILED,
        }
    }

    /// What the user can do about it, where something is known to help.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::NotPermitted { remedy, .. } => Some(remedy),
            Self::Unavailable { remedy, .. } => remedy.as_deref(),
            _ => None,
        }
    }

    /// The error for a root whose `execve` failed with `errno`.
    #[must_use]
    pub(crate) fn exec_failed(program: &[u8], errno: i32) -> Self {
        let program = ByteString::new(program);
        match errno {
            libc::ENOENT | libc::ENOTDIR => Self::NotFound { program },
            errno => Self::CannotExecute { program, source: io::Error::from_raw_os_error(errno) },
        }
    }
}
