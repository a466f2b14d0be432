//! A conversation on disk: beside the sealed session, never inside it, readable by its owner alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capsule_io::Store;
use serde_json::{Value, json};

use super::provider::Turn;
use crate::error::Problem;

/// Bytes of an earlier conversation that are read, and turns of it that are sent again.
const READ: u64 = 8 << 20;
const TURNS: usize = 24;

/// Leaves the latest questions and answers: what is sent again does not grow without end.
pub(super) fn trim(turns: &mut Vec<Turn>) {
    let mut from = turns.len().saturating_sub(TURNS);
    // A conversation begins with a question.
    while matches!(turns.get(from), Some(Turn::Assistant { .. })) {
        from = from.saturating_add(1);
    }
    drop(turns.drain(..from));
}

/// `$CAPSULE_HOME/chats/<session>.jsonl`.
#[derive(Debug)]
pub struct Transcript {
    path: PathBuf,
    file: File,
}

/// Where the conversation about a session is.
#[must_use]
pub fn path(store: &Store, session: &str) -> PathBuf {
    store.home().join("chats").join(format!("{session}.jsonl"))
}

impl Transcript {
    /// Opens the conversation about a session; makes it where there is none.
    ///
    /// # Errors
    /// When it cannot be opened, or is a link to elsewhere.
    pub fn open(store: &Store, session: &str) -> Result<Self, Problem> {
        let path = path(store, session);
        if let Some(directory) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.with_context(|| format!("could not make `{}`", directory.display()))?;
        }
        let failed = || format!("could not open `{}`", path.display());
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true).mode(0o600).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
        let file = options.open(&path).with_context(failed)?;
        Ok(Self { path, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was said since the last beginning: questions and final answers, the latest. Lines that cannot be read are skipped.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn earlier(&self) -> Result<Vec<Turn>, Problem> {
        // Of the file that was opened, whatever has its name by now; it is written at its end in any case.
        let mut file = &self.file;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(READ)))?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes)?;
        let mut turns: Vec<Turn> = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
            if value.get("begin").is_some() {
                turns.clear();
            }
            match serde_json::from_value(value) {
                Ok(turn @ Turn::User { .. }) => {
                    // A question that was never answered is not asked again.
                    if matches!(turns.last(), Some(Turn::User { .. })) {
                        turns.pop();
                    }
                    turns.push(turn);
                }
                Ok(Turn::Assistant { text, calls }) if calls.is_empty() && !text.is_empty() => {
                    turns.push(Turn::Assistant { text, calls });
                }
                _ => {}
            }
        }
        if matches!(turns.last(), Some(Turn::User { .. })) {
            turns.pop();
        }
        trim(&mut turns);
        Ok(turns)
    }

    /// Begins anew: what was said before stays in the file and is not sent again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self) -> Result<(), Problem> {
        self.line(&json!({ "at": crate::recording::now().0, "begin": true }))
    }

    /// Adds a turn.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, turn: &Turn, model: &str) -> Result<(), Problem> {
        let mut value = serde_json::to_value(turn)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("at".to_owned(), json!(crate::recording::now().0));
            fields.insert("model".to_owned(), json!(model));
        }
        self.line(&value)
    }

    fn line(&mut self, value: &Value) -> Result<(), Problem> {
        let mut line = value.to_string();
        line.push('\n');
        self.file.write_all(line.as_bytes()).with_context(|| format!("could not write `{}`", self.path.display()))?;
        Ok(())
    }
}
