//! Faults that a test puts between Capsule and the C library (`LD_PRELOAD`): the C files beside this one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{installed, skipped};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A disk that answers `EIO`.
    Eio,
    /// A disk that answers `EIO` once, or from one call on.
    Fail,
    /// A disk that takes its time.
    Slow,
    /// A disk that stands still for as long as a file exists.
    Stall,
    /// A wall clock that is stepped.
    Clock,
    /// None: it only notes what happens to the store's files.
    Journal,
}

impl Fault {
    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Eio => ("eio", include_str!("preload/eio.c")),
            Self::Fail => ("fail", include_str!("preload/fail.c")),
            Self::Slow => ("slow", include_str!("preload/slow.c")),
            Self::Stall => ("stall", include_str!("preload/stall.c")),
            Self::Clock => ("clock", include_str!("preload/clock.c")),
            Self::Journal => ("journal", include_str!("preload/journal.c")),
        }
    }

    /// The library to preload, made in `directory`; `None`, with a word on stderr, where there is no C compiler.
    ///
    /// # Panics
    /// When it does not compile.
    #[must_use]
    pub fn library(self, test: &str, directory: &Path) -> Option<PathBuf> {
        if !installed("cc") {
            skipped(test, "needs a C compiler");
            return None;
        }
        let (name, text) = self.source();
        let (source, library) = (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
        let written = std::fs::write(&source, text);
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-shared", "-fPIC", "-pthread", "-o"]).arg(&library).arg(&source);
        let built = compiler.status().is_ok_and(|status| status.success());
        assert!(written.is_ok() && built, "{name}.c does not compile");
        Some(library)
    }
}
