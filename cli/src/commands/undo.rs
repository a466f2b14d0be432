//! `capsule undo`: says what would be taken back, then does it when asked to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capsule_core::{ProcId, escape_terminal, exit};
use capsule_io::{Overall, SessionReader, SessionState, Store, VerifyOptions, layout};
use serde_json::json;

use crate::args::UndoArgs;
use crate::error::{Outcome, Problem};
use crate::load;
use crate::output;
use crate::undo::apply::{Contents, apply};
use crate::undo::log::Undo;
use crate::undo::plan::{Choice, Plan, Step, plan};
use crate::undo::recorded::{Recorded, recorded};
use crate::undo::{Change, path_of};

pub(super) fn exec(args: &UndoArgs) -> Outcome {
    let (store, session) = load::find(&args.session)?;
    let earlier = Undo::of(store.home(), session.id()).context("could not list earlier undos")?;
    let mut choice = Choice { only: None, foreign: BTreeSet::new(), force: args.force };
    if let Some(path) = &args.path {
        choice.only = Some(absolute(path)?);
    }
    if args.redo {
        let last = earlier.iter().rev().find(|undo| !undo.is_closed());
        let last = last.ok_or_else(|| Problem::usage("no undo of this session is left to take back"))?;
        let steps = last.steps().context("could not read what the undo did")?;
        let plan = plan(&steps, &last.ended(), &choice);
        let contents = |name: &str| last.content(name).map_err(anyhow::Error::from);
        let code = carry_out(args, &store, &session, &plan, &contents, &earlier)?;
        if args.yes && !args.dry_run {
            last.close().context("could not write down that the undo was taken back")?;
        }
        return Ok(code);
    }
    let metadata = session.metadata()?;
    if session.state() == SessionState::Running {
        return Err(Problem::usage("the session is still running").hint("undo it when the command has ended"));
    }
    if metadata.snapshots.is_none() && !session.path().join(layout::BEFORE).is_dir() {
        return Err(Problem::usage("the session has no before-images: it was not recorded with --snapshots")
            .hint("capsule run --snapshots CMD keeps them"));
    }
    let verdict = capsule_io::verify(&session, &VerifyOptions::in_store(&store))?;
    if verdict.overall == Overall::Tampered {
        let what = verdict.first().map(ToString::to_string).unwrap_or_default();
        return Err(Problem::new(
            exit::TAMPERED,
            anyhow::anyhow!("the session was altered after it was written: {what}"),
        )
        .hint("capsule verify says more; nothing is taken back by a record that cannot be trusted"));
    }
    let recorded = recorded(&session)?;
    let chosen = match args.proc {
        Some(proc) => by(recorded, ProcId(proc), &mut choice)?,
        None => recorded.into_iter().map(|recorded| recorded.change).collect(),
    };
    let ended = metadata.snapshots.map(|snapshots| snapshots.ended).unwrap_or_default();
    let plan = plan(&chosen, &ended, &choice);
    let contents = |name: &str| session.content(name).map_err(anyhow::Error::from);
    carry_out(args, &store, &session, &plan, &contents, &earlier)
}

/// An absolute path, with the links of its directory resolved, as records have it.
fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    let path = std::path::absolute(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path) };
    // A directory that is gone has no links.
    Ok(parent.canonicalize().map_or_else(|_| path.clone(), |parent| parent.join(name)))
}

/// The changes by a process and what it started; what others changed afterwards is not taken back.
fn by(recorded: Vec<Recorded>, proc: ProcId, choice: &mut Choice) -> Result<Vec<Change>, Problem> {
    let mut chosen = Vec::new();
    let mut touched: HashSet<PathBuf> = HashSet::new();
    for Recorded { proc: who, lineage, change } in recorded {
        let paths = [Some(&change.path), change.to.as_ref()].into_iter().flatten().map(path_of);
        if who == Some(proc) || lineage.contains(&proc) {
            touched.extend(paths);
            chosen.push(change);
        } else {
            choice.foreign.extend(paths.filter(|path| touched.contains(path)));
        }
    }
    if chosen.is_empty() {
        return Err(Problem::usage(format!("process {} changed no file", proc.0)));
    }
    Ok(chosen)
}

fn carry_out(
    args: &UndoArgs,
    store: &Store,
    session: &SessionReader,
    plan: &Plan,
    contents: Contents<'_>,
    earlier: &[Undo],
) -> Outcome {
    let act = args.yes && !args.dry_run && !plan.steps.is_empty();
    let code = if plan.refused.is_empty() { exit::OK } else { exit::FAILURE };
    if !args.json {
        print(plan)?;
    }
    let mut failed = Vec::new();
    let mut done = 0;
    if act {
        let undo = Undo::begin(store.home(), session.id(), earlier).context("could not begin")?;
        let applied = apply(plan, contents, &undo).context("what is replaced could not be kept")?;
        (done, failed) = (applied.done, applied.failed);
    }
    if args.json {
        output::json(&json!({
            "schema": "capsule.undo/1", "session": session.id(), "done": done, "steps": shown(plan),
            "refused": refused(&plan.refused), "failed": refused(&failed),
        }))?;
    }
    for failure in &failed {
        output::say(&format!("`{}` is as it was: {}", failure.path.display(), failure.why));
    }
    if act {
        output::say(&format!("{done} steps taken; capsule undo {} --redo --yes takes them back", session.id()));
    } else if !plan.steps.is_empty() {
        output::say("nothing was changed: add --yes to do it");
    }
    Ok(if failed.is_empty() { code } else { exit::FAILURE })
}

/// The steps for programs: paths as bytes, as everywhere.
fn shown(plan: &Plan) -> Vec<BTreeMap<&'static str, serde_json::Value>> {
    let text = |path: &Path| json!(crate::undo::bytes_of(path));
    let of = |step: &Step| {
        let what = match step {
            Step::Rename { .. } => "rename",
            Step::Remove { .. } => "remove",
            Step::Directory { .. } => "directory",
            Step::Restore { .. } => "restore",
            Step::Mode { .. } => "mode",
        };
        let mut fields = BTreeMap::from([("do", json!(what)), ("path", text(step.path()))]);
        match step {
            Step::Rename { from, .. } => drop(fields.insert("from", text(from))),
            Step::Directory { state, .. } | Step::Restore { state, .. } | Step::Mode { state, .. } => {
                fields.insert("state", json!(state));
            }
            Step::Remove { .. } => {}
        }
        fields
    };
    plan.steps.iter().map(of).collect()
}

fn refused(refused: &[crate::undo::plan::Refused]) -> Vec<serde_json::Value> {
    refused.iter().map(|it| json!({ "path": crate::undo::bytes_of(&it.path), "why": it.why })).collect()
}

fn print(plan: &Plan) -> Result<(), Problem> {
    use std::os::unix::ffi::OsStrExt as _;

    let text = |path: &Path| escape_terminal(path.as_os_str().as_bytes());
    let mut out = output::data();
    for step in &plan.steps {
        match step {
            Step::Rename { from, to } => writeln!(out, "rename   {} back to {}", text(from), text(to))?,
            Step::Remove { path } => writeln!(out, "remove   {}", text(path))?,
            Step::Directory { path, .. } => writeln!(out, "make     {}/", text(path))?,
            Step::Restore { path, state } => match state.size {
                Some(size) => writeln!(out, "restore  {} ({size} bytes)", text(path))?,
                None => writeln!(out, "restore  {} (a link)", text(path))?,
            },
            Step::Mode { path, state } => writeln!(out, "mode     {} {:04o}", text(path), state.mode.unwrap_or(0))?,
        }
    }
    for left in &plan.refused {
        writeln!(out, "leave    {}: {}", text(&left.path), escape_terminal(left.why.as_bytes()))?;
    }
    writeln!(out, "{} steps, {} files left alone", plan.steps.len(), plan.refused.len())?;
    out.flush()?;
    Ok(())
}
