//! Which rules hold: the embedded ones, then the user's own, then the project's where the user trusts them, then what the
//! command line names, Sigma's beside them.

pub mod project;

use std::path::{Path, PathBuf};

use capsule_classify::{Origin, Recorder, RuleFile, Rules, SigmaReport};
use capsule_core::escape_terminal;

use crate::args::RuleArgs;
use crate::deferred::Deferred;
use crate::error::Problem;
use crate::output;
use project::Found;

/// The files of rules that hold here.
struct Chosen {
    files: Vec<RuleFile>,
    /// A project's rules that do not hold.
    left_out: Option<String>,
}

/// The rules for what is done here.
///
/// # Errors
/// With the file and line of what is wrong in one of the files.
pub fn load(args: &RuleArgs) -> Result<Rules, Problem> {
    let chosen = choose(&args.rules)?;
    say(&chosen);
    compile(chosen.files, args, None)
}

/// The rules for a session, with what records it where it is live. They are compiled on a thread of their own where
/// nothing can be wrong with them: other files are read at once, so that a mistake in them is said before anything runs.
///
/// # Errors
/// With the file and line of what is wrong in one of the files.
pub fn deferred(args: &RuleArgs, recorder: Option<Recorder>) -> Result<Deferred<Rules>, Problem> {
    let chosen = choose(&args.rules)?;
    say(&chosen);
    if chosen.files.is_empty() && args.sigma.is_empty() {
        let compile = move || match &recorder {
            Some(recorder) => Rules::of(Vec::new(), Some(recorder)).unwrap_or_else(|_| Rules::builtin()),
            None => Rules::builtin(),
        };
        return Ok(Deferred::start(compile));
    }
    let rules = compile(chosen.files, args, recorder.as_ref())?;
    Ok(Deferred::start(move || rules))
}

fn compile(files: Vec<RuleFile>, args: &RuleArgs, recorder: Option<&Recorder>) -> Result<Rules, Problem> {
    let mut rules = Rules::of(files, recorder)?;
    for path in &args.sigma {
        let report = rules.add_sigma(path)?;
        if !report.skipped.is_empty() || report.loaded == 0 {
            let hint = if report.skipped.is_empty() { "" } else { "; `capsule rules check --sigma` says why" };
            output::say(&format!("{}{hint}", in_words(path, &report)));
        }
    }
    Ok(rules)
}

/// What became of a directory of Sigma rules.
pub fn in_words(path: &Path, report: &SigmaReport) -> String {
    let path = escape_terminal(path.display().to_string().as_bytes());
    let mut text = format!("{} Sigma rules from `{path}` in use", report.loaded);
    if !report.skipped.is_empty() {
        text.push_str(&format!(", {} not", report.skipped.len()));
    }
    if report.elsewhere > 0 {
        text.push_str(&format!(", {} not about processes on Linux", report.elsewhere));
    }
    text
}

fn say(chosen: &Chosen) {
    if let Some(note) = &chosen.left_out {
        output::say(note);
    }
}

fn choose(more: &[PathBuf]) -> Result<Chosen, Problem> {
    let mut files = Vec::new();
    for path in of_the_user() {
        files.append(&mut RuleFile::read_all(&path, Origin::User)?);
    }
    let mut left_out = None;
    match project::find()? {
        Found::Nothing => {}
        Found::Trusted(mut theirs) => files.append(&mut theirs),
        Found::LeftOut(note) => left_out = Some(note),
    }
    for path in more {
        files.append(&mut RuleFile::read_all(path, Origin::Given)?);
    }
    Ok(Chosen { files, left_out })
}

/// `*.toml` in `$XDG_CONFIG_HOME/capsule/rules.d`, or `~/.config/capsule/rules.d`, in the order of their names.
fn of_the_user() -> Vec<PathBuf> {
    let Some(directory) = crate::config::file::directory() else { return Vec::new() };
    // No directory means no rules.
    let entries = std::fs::read_dir(directory.join("rules.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut paths: Vec<PathBuf> = entries.unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
}
