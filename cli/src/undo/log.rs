//! What undos did: a directory for each in `undo/` of the home, with the contents that were replaced and a log of the steps.

use std::fs::{DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use capsule_core::{EndedFile, SessionId};
use capsule_trace::Keeper;

use super::Change;

/// The directory below the home.
const UNDO: &str = "undo";
const LOG: &str = "log.jsonl";
const ENDED: &str = "ended.json";
/// Where it stands once it has been taken back itself.
const TAKEN_BACK: &str = "taken-back";
const BEFORE: &str = "before";

/// One undo, done or to be done.
#[derive(Debug)]
pub struct Undo {
    dir: PathBuf,
}

impl Undo {
    /// The undos of a session, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn of(home: &Path, session: &SessionId) -> io::Result<Vec<Self>> {
        let entries = match std::fs::read_dir(home.join(UNDO)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found: Vec<(u32, PathBuf)> = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(session.as_str())?.strip_prefix('.'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                found.push((number, entry.path()));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, dir)| Self { dir }).collect())
    }

    /// A new one, which comes after `earlier`.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn begin(home: &Path, session: &SessionId, earlier: &[Self]) -> io::Result<Self> {
        let last = earlier.last().and_then(|undo| undo.dir.extension()?.to_str()?.parse::<u32>().ok()).unwrap_or(0);
        let dir = home.join(UNDO).join(format!("{}.{}", session.as_str(), last.saturating_add(1)));
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        match builder.create(home.join(UNDO)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        builder.create(&dir)?;
        builder.create(dir.join(BEFORE))?;
        Ok(Self { dir })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Keeps what the steps replace.
    ///
    /// # Errors
    /// When its directory cannot be opened.
    pub fn keeper(&self) -> io::Result<Keeper> {
        let keeper = Keeper::new(u64::MAX - 1, u64::MAX);
        keeper.keep_in(File::open(self.dir.join(BEFORE))?.into());
        Ok(keeper)
    }

    /// Opens a content that was kept.
    ///
    /// # Errors
    /// When it is not there.
    pub fn content(&self, name: &str) -> io::Result<File> {
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        File::open(self.dir.join(BEFORE).join(name))
    }

    /// The log, to be written.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn log(&self) -> io::Result<Log> {
        Ok(Log { file: new_file(&self.dir.join(LOG))?, steps: Vec::new() })
    }

    /// The steps that were taken, in their order. Half a line at the end was never followed by its deed.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn steps(&self) -> io::Result<Vec<Change>> {
        let mut steps = Vec::new();
        for line in BufReader::new(File::open(self.dir.join(LOG))?).split(b'\n') {
            let Ok(step) = serde_json::from_slice(&line?) else { break };
            steps.push(step);
        }
        Ok(steps)
    }

    /// Writes down what the files are at its end.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn end(&self, ended: &[EndedFile]) -> io::Result<()> {
        let mut file = new_file(&self.dir.join(ENDED))?;
        file.write_all(&serde_json::to_vec(ended)?)?;
        file.sync_all()
    }

    /// What the files were at its end; nothing where it was interrupted.
    #[must_use]
    pub fn ended(&self) -> Vec<EndedFile> {
        let read = std::fs::read(self.dir.join(ENDED)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Says that it was taken back, or is an undo of another one: `--redo` passes over it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn close(&self) -> io::Result<()> {
        new_file(&self.dir.join(TAKEN_BACK)).map(drop)
    }

    /// Whether it was.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.dir.join(TAKEN_BACK).exists()
    }

    /// Removes it, with what it kept.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        std::fs::remove_dir_all(self.dir)
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Steps are written down before they are taken.
#[derive(Debug)]
pub struct Log {
    file: File,
    steps: Vec<Change>,
}

impl Log {
    /// Writes a step down.
    ///
    /// # Errors
    /// When that is not possible: then the step must not be taken.
    pub fn write(&mut self, step: Change) -> io::Result<()> {
        let mut line = serde_json::to_vec(&step)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.steps.push(step);
        Ok(())
    }

    /// What was written.
    #[must_use]
    pub fn steps(&self) -> &[Change] {
        &self.steps
    }
}
