//! `capsule shim`: a wrapper that comes first on `PATH` and records every run of a program.
//!
//! A shim is a file of three lines that hands over to `capsule shim exec`. That looks for the program on `PATH`, passing over
//! every shim, and records it; inside a recording it runs the program as it is, so that nothing is recorded twice.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capsule_core::exit;
use capsule_io::{SessionState, Store};

use crate::args::{Command, ShimArgs, ShimCommand, ShimExecArgs};
use crate::config::{self, Refused};
use crate::error::{Outcome, Problem};
use crate::output;

/// How a shim is told from other files.
const MARK: &str = "# Made by `capsule shim install`";
/// Within how many bytes the mark is.
const MARKED_WITHIN: u64 = 200;
/// How many ancestors are looked at.
const ANCESTORS: usize = 256;

pub(super) fn exec(args: ShimArgs) -> Outcome {
    match args.command {
        ShimCommand::Install { name, dir } => install(&name, &directory(dir)?),
        ShimCommand::Remove { name, dir } => remove(&name, &directory(dir)?),
        ShimCommand::List { dir } => list(&directory(dir)?),
        ShimCommand::Exec(args) => hand_over(args).map_err(|problem| problem.code(exit::CAPSULE_FAILED)),
    }
}

fn directory(given: Option<PathBuf>) -> Result<PathBuf, Problem> {
    match given {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(Store::open()?.home().join("bin")),
    }
}

/// A name that means the same to a shell, to `PATH` and to a file system.
fn checked(name: &str) -> Result<&str, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    if name.starts_with(['.', '-']) || name.is_empty() || !name.chars().all(plain) {
        return Err(Problem::usage(format!("`{}` is no program's plain name", name.escape_debug())));
    }
    Ok(name)
}

fn install(name: &str, dir: &Path) -> Outcome {
    let name = checked(name)?;
    let real = real(OsStr::new(name)).ok_or_else(|| Problem::usage(format!("there is no `{name}` on PATH")))?;
    let shim = dir.join(name);
    if shim.symlink_metadata().is_ok() && !is_shim(&shim) {
        return Err(Problem::usage(format!("`{}` is there and is no shim", shim.display())));
    }
    fs::DirBuilder::new().recursive(true).create(dir).with_context(|| format!("could not make `{}`", dir.display()))?;
    let capsule = std::env::current_exe().context("could not find Capsule's own file")?;
    let capsule = capsule.to_str().context("Capsule's own path is not UTF-8")?.replace('\'', r"'\''");
    let text =
        format!("#!/bin/sh\n{MARK}: every run of `{name}` is recorded.\nexec '{capsule}' shim exec -- {name} \"$@\"\n");
    let new = dir.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &shim)
    };
    write().with_context(|| format!("could not write `{}`", shim.display()))?;
    output::say(&format!("{} records {}", shim.display(), real.display()));
    if first(OsStr::new(name)).as_deref() != Some(shim.as_path()) {
        output::say(&format!("it is not the first `{name}` on PATH yet: export PATH=\"{}:$PATH\"", dir.display()));
    }
    Ok(exit::OK)
}

fn remove(name: &str, dir: &Path) -> Outcome {
    let shim = dir.join(checked(name)?);
    if !is_shim(&shim) {
        return Err(Problem::usage(format!("`{}` is no shim", shim.display())).hint("capsule shim list shows them"));
    }
    fs::remove_file(&shim).with_context(|| format!("could not remove `{}`", shim.display()))?;
    output::say(&format!("removed {}", shim.display()));
    Ok(exit::OK)
}

fn list(dir: &Path) -> Outcome {
    // No directory means no shims.
    let entries = fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut shims: Vec<PathBuf> = entries.unwrap_or_default();
    shims.retain(|path| is_shim(path));
    shims.sort();
    let mut out = output::data();
    for shim in shims {
        let Some(name) = shim.file_name() else { continue };
        let records = real(name).map_or_else(|| "nothing: not on PATH".to_owned(), |real| real.display().to_string());
        let late = if first(name).as_deref() == Some(shim.as_path()) { "" } else { "  (not first on PATH)" };
        writeln!(out, "{}  records {records}{late}", name.display())?;
    }
    out.flush()?;
    Ok(exit::OK)
}

/// Runs the program that a shim stands for, recorded unless it is already.
fn hand_over(args: ShimExecArgs) -> Outcome {
    let found = real(&args.name).ok_or_else(|| {
        let problem = Problem::usage(format!("there is no `{}` on PATH beside its shim", args.name.display()));
        problem.code(exit::NOT_FOUND)
    });
    let real = match found {
        Ok(real) => real,
        Err(problem) => {
            output::problem(&problem);
            return Ok(exit::NOT_FOUND);
        }
    };
    if is_recorded() {
        let error = std::process::Command::new(&real).arg0(&args.name).args(&args.args).exec();
        let problem = Problem::from(error);
        output::problem(&problem);
        return Ok(exit::CANNOT_EXECUTE);
    }
    let words = ["capsule", "run", "--quiet", "--"].into_iter().map(Into::into);
    let parsed = match config::parse(words.chain([args.name]).chain(args.args)) {
        Ok(parsed) => parsed,
        Err(Refused::Line(error)) => return Err(error.into()),
        Err(Refused::Setting(problem)) => return Err(problem),
    };
    match parsed.command {
        Command::Run(mut run) => {
            run.program = Some(real);
            super::run::exec(run)
        }
        _ => Ok(exit::CAPSULE_FAILED),
    }
}

/// Whether a recorder watches this process: one traces it, or one is among its ancestors.
fn is_recorded() -> bool {
    let status = |pid: u32, name: &str| -> Option<u32> {
        let status = fs::read(format!("/proc/{pid}/status")).ok()?;
        let status = String::from_utf8_lossy(&status);
        status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    let mut pid = std::process::id();
    if status(pid, "TracerPid:").is_some_and(|tracer| tracer != 0) {
        return true;
    }
    let mut ancestors = Vec::new();
    while let Some(parent) = status(pid, "PPid:").filter(|parent| *parent > 0 && ancestors.len() < ANCESTORS) {
        ancestors.push(parent);
        pid = parent;
    }
    let Ok(store) = Store::open() else { return false };
    let running = store.ids().unwrap_or_default().into_iter().rev().filter_map(|id| store.session(&id).ok());
    running
        .filter(|session| session.state() == SessionState::Running)
        .any(|session| session.metadata().is_ok_and(|metadata| ancestors.contains(&metadata.recorder.0)))
}

/// Every executable file of this name on `PATH`, in its order.
fn on_path(name: &OsStr) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let name = name.to_owned();
    dirs.into_iter().filter_map(move |dir| {
        // An empty element is the current directory.
        let file = if dir.as_os_str().is_empty() { Path::new(".").join(&name) } else { dir.join(&name) };
        let found = file.metadata().ok()?;
        (found.is_file() && found.permissions().mode() & 0o111 != 0).then_some(file)
    })
}

fn first(name: &OsStr) -> Option<PathBuf> {
    on_path(name).next()
}

/// The program itself: the first of its name that is no shim.
fn real(name: &OsStr) -> Option<PathBuf> {
    on_path(name).find(|file| !is_shim(file))
}

fn is_shim(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MARKED_WITHIN).read_to_end(&mut begin));
    read.is_ok() && String::from_utf8_lossy(&begin).contains(MARK)
}
