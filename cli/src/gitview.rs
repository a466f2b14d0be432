//! What git would say of the files that a session changed: `git diff --stat` between the commit that it began with and the
//! work tree that it left, and why git shows other changed files not.
//!
//! Git itself is never run: a repository's configuration names programs (filters, monitors, hooks), and the recorded
//! program may have written it. The object store is read instead, and even that in a process of its own, which is ended
//! when it takes too long: a repository can hold pipes, and files that shrink while they are mapped.

mod compare;
mod ignored;
mod tree;

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use capsule_core::{ByteString, GitDiff, Timestamp, exit};
use serde::{Deserialize, Serialize};

use crate::error::Outcome;
use crate::{output, platform};

/// How long the other process may take. It looks at the clock itself, too.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much it may answer.
const ANSWER: u64 = 64 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// A directory in the work tree.
    pub directory: ByteString,
    /// The commit that the session began with.
    pub from: String,
    /// The last one.
    pub to: Option<String>,
    /// When the session began.
    pub started: Timestamp,
    /// The files that the session changed, by absolute paths.
    pub changed: Vec<ByteString>,
}

/// Asks a process of its own. `None` where there is no answer in time: a report can do without.
#[must_use]
pub fn ask(question: &Question) -> Option<GitDiff> {
    let mut command = Command::new(platform::THIS_PROGRAM?);
    command.arg("git-view").env_clear().current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let answer = converse(&mut child, question);
    // It has answered, or it will not.
    child.kill().unwrap_or(());
    drop(child.wait());
    serde_json::from_slice(&answer?).ok()
}

fn converse(child: &mut Child, question: &Question) -> Option<Vec<u8>> {
    let (mut to, from) = (child.stdin.take()?, child.stdout.take()?);
    let asked = serde_json::to_vec(question).ok()?;
    let (tell, told) = mpsc::channel();
    // It ends with the other process at the latest.
    std::thread::Builder::new()
        .spawn(move || {
            let mut answer = Vec::new();
            let whole =
                to.write_all(&asked).map(|()| drop(to)).and_then(|()| from.take(ANSWER).read_to_end(&mut answer));
            tell.send(whole.is_ok().then_some(answer)).unwrap_or(());
        })
        .ok()?;
    told.recv_timeout(PATIENCE).ok().flatten()
}

/// The other process: a question on stdin, the answer on stdout.
///
/// # Errors
/// When there is no question, or nobody to hear the answer.
pub fn answer() -> Outcome {
    platform::give_way();
    let mut asked = Vec::new();
    std::io::stdin().lock().take(ANSWER).read_to_end(&mut asked).context("could not read the question")?;
    let question: Question = serde_json::from_slice(&asked).context("this is no question")?;
    let answer = compare::compare(&question).context("there is no repository with this commit")?;
    output::json(&answer)?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests;
