//! Drives the `capsule` binary the way a user does, in a home of its own.

pub mod hostile;
pub mod preload;
pub mod scripted;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The `capsule` binary, built if it is not up to date.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn capsule_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--locked", "--quiet", "-p", "cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().is_ok_and(|status| status.success()), "the capsule binary does not build");
        target_directory().join("capsule")
    })
}

/// The program of known behaviour in `src/bin/tracee.rs`.
#[must_use]
pub fn tracee() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| target_directory().join("tracee"))
}

/// Where the binaries of this build are: tests run from its `deps` directory.
fn target_directory() -> PathBuf {
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

/// Says on stderr that a test did not run and why, in a way that a reader of the log finds.
pub fn skipped(test: &str, why: &str) {
    use std::io::Write as _;
    // A test log that cannot be written cannot be read either.
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").unwrap_or(());
}

/// Waits until `done` says so; far longer than it ever takes.
///
/// # Panics
/// When it never does.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a program is installed.
#[must_use]
pub fn installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$1\"", "sh", program])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A home for sessions, and commands that use it.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// A fresh, empty home.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a scratch directory cannot go on")]
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// The directory that `CAPSULE_HOME` names.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A `capsule` command with these arguments, in this home, without the environment's own settings.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(capsule_binary());
        command
            .args(args)
            .env("CAPSULE_HOME", self.path())
            .env("CAPSULE_CONFIG", self.path().join("config.toml"))
            .env_remove("CAPSULE_TRACER")
            .env_remove("NO_COLOR");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a `capsule` command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[expect(clippy::expect_used, reason = "a test without its program cannot go on")]
    pub fn capsule<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.command(args).output().expect("capsule starts")
    }

    /// The directory of the only session.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        let runs: Vec<PathBuf> = std::fs::read_dir(self.path().join("runs"))
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        match runs.as_slice() {
            [one] => one.clone(),
            other => panic!("one session expected, found {other:?}"),
        }
    }

    /// The records of a stream of the only session.
    ///
    /// # Panics
    /// When a line is not JSON.
    #[must_use]
    pub fn stream(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read(self.session().join(format!("{name}.jsonl"))).unwrap_or_default();
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| match serde_json::from_slice(line) {
                Ok(value) => value,
                Err(error) => panic!("{name}: {error}: {}", line.escape_ascii()),
            })
            .collect()
    }

    /// `metadata.json` of the only session.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let text = std::fs::read(self.session().join("metadata.json")).unwrap_or_default();
        match serde_json::from_slice(&text) {
            Ok(value) => value,
            Err(error) => panic!("metadata.json: {error}"),
        }
    }
}

/// What stdout held, as text.
#[must_use]
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What stderr held, as text.
#[must_use]
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
