//! A project's own rules, `.capsule/rules.d/*.toml`, and whether they hold.
//!
//! Rules may silence findings, and a project may be hostile. So its rules hold only as the user saw them: `capsule rules trust`
//! keeps the hash of all of them, in the user's own directory, and rules that are not these bytes are not even parsed.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capsule_classify::{Origin, RuleFile};
use capsule_core::escape_terminal;
use serde::{Deserialize, Serialize};

use crate::config::file;
use crate::error::Problem;

/// Separates these hashes from all others.
const DOMAIN: &[u8] = b"capsule project rules 1";
/// How far up a project is looked for.
const HIGH: usize = 64;
/// How many files of rules a project may have, and how large they may be together.
const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 4 << 20;

/// What there is here.
#[derive(Debug)]
pub enum Found {
    /// No project, or none with rules.
    Nothing,
    /// Rules that hold.
    Trusted(Vec<RuleFile>),
    /// Rules that do not, and why, for people.
    LeftOut(String),
}

/// What the user trusts.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trusted {
    schema: u32,
    /// The hash of a project's rules by its directory.
    projects: BTreeMap<PathBuf, String>,
}

/// The rules of the project that the working directory is in.
///
/// # Errors
/// When the list of what is trusted cannot be read.
pub fn find() -> Result<Found, Problem> {
    let Ok(here) = std::env::current_dir() else { return Ok(Found::Nothing) };
    let Some(project) = project_of(&here) else { return Ok(Found::Nothing) };
    let left_out = |why: &str| {
        let directory = escape_terminal(project.display().to_string().as_bytes());
        Ok(Found::LeftOut(format!("the rules of the project `{directory}` {why}")))
    };
    let Some(hash) = trusted()?.projects.get(&project).cloned() else {
        return left_out("were not loaded: nobody trusts them (read them, then `capsule rules trust`)");
    };
    match read(&project) {
        Ok(files) if hash_of(&files).to_hex().as_str() == hash => Ok(Found::Trusted(files)),
        Ok(_) => {
            left_out("were not loaded: they changed since they were trusted (read them, then `capsule rules trust`)")
        }
        Err(problem) => left_out(&format!("were not loaded: {}", problem.in_one_line())),
    }
}

/// The rules of a project that the user is about to trust, with its whole path.
///
/// # Errors
/// When there are none, or they cannot be read.
pub fn read_to_trust(directory: &Path) -> Result<(PathBuf, Vec<RuleFile>), Problem> {
    let project = whole(directory)?;
    let files = read(&project)?;
    Ok((project, files))
}

/// Lets these rules of a project hold.
///
/// # Errors
/// When the list of what is trusted cannot be read or written.
pub fn trust(project: &Path, files: &[RuleFile]) -> Result<(), Problem> {
    let mut trusted = trusted()?;
    trusted.projects.insert(project.to_owned(), hash_of(files).to_hex().to_string());
    write(&trusted)
}

/// No longer lets them hold; whether they did.
///
/// # Errors
/// When the list of what is trusted cannot be written.
pub fn distrust(directory: &Path) -> Result<bool, Problem> {
    let project = whole(directory)?;
    let mut trusted = trusted()?;
    let was = trusted.projects.remove(&project).is_some();
    if was {
        write(&trusted)?;
    }
    Ok(was)
}

fn whole(directory: &Path) -> Result<PathBuf, Problem> {
    let whole = fs::canonicalize(directory);
    Ok(whole.with_context(|| format!("could not find `{}`", directory.display()))?)
}

/// The nearest directory, from `here` upwards, that has rules. Capsule's own home is none.
fn project_of(here: &Path) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = [set("CAPSULE_HOME"), set("HOME").map(|home| home.join(".capsule"))];
    here.ancestors()
        .take(HIGH)
        .find(|directory| {
            let capsule = directory.join(".capsule");
            !own.iter().flatten().any(|own| *own == capsule) && capsule.join("rules.d").is_dir()
        })
        .map(Path::to_owned)
}

/// The rules of a project, in the order of their names.
fn read(project: &Path) -> Result<Vec<RuleFile>, Problem> {
    let directory = project.join(".capsule/rules.d");
    let entries = fs::read_dir(&directory).with_context(|| format!("could not read `{}`", directory.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    let refuse = |why: &str| Problem::usage(format!("`{}` {why}", directory.display()));
    if paths.is_empty() {
        return Err(refuse("has no *.toml"));
    }
    if paths.len() > MOST_FILES {
        return Err(refuse(&format!("has more than {MOST_FILES} files")));
    }
    let mut files = Vec::new();
    let mut left = MOST_BYTES;
    for path in paths {
        // A pipe or a device must not hold Capsule up.
        let metadata = fs::metadata(&path).with_context(|| format!("could not read `{}`", path.display()))?;
        if !metadata.is_file() {
            return Err(refuse("has something that is no regular file"));
        }
        left = left.checked_sub(metadata.len()).ok_or_else(|| refuse("is larger than 4 MiB"))?;
        files.append(&mut RuleFile::read_all(&path, Origin::Project)?);
    }
    Ok(files)
}

/// The hash of all names and contents.
fn hash_of(files: &[RuleFile]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(DOMAIN);
    for file in files {
        part(file.path.file_name().unwrap_or_default().as_bytes());
        part(file.text.as_bytes());
    }
    hasher.finalize()
}

fn list_path() -> Result<PathBuf, Problem> {
    let directory = file::directory();
    directory.map(|directory| directory.join("trusted-rules.json")).ok_or_else(|| {
        Problem::usage("there is nowhere to keep what is trusted").hint("set HOME or XDG_CONFIG_HOME to a directory")
    })
}

fn trusted() -> Result<Trusted, Problem> {
    let Some(path) = file::directory().map(|directory| directory.join("trusted-rules.json")) else {
        return Ok(Trusted::default());
    };
    let Some(text) = file::read(&path)? else { return Ok(Trusted::default()) };
    let trusted: Trusted =
        serde_json::from_str(&text).with_context(|| format!("could not read `{}`", path.display()))?;
    if trusted.schema != 1 {
        return Err(Problem::usage(format!("`{}` has schema {}", path.display(), trusted.schema)));
    }
    Ok(trusted)
}

/// Written beside and moved into place: whoever reads sees all of the old list or all of the new one.
fn write(trusted: &Trusted) -> Result<(), Problem> {
    let path = list_path()?;
    let failed = || format!("could not write `{}`", path.display());
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(failed)?;
    let mut text = serde_json::to_string_pretty(&Trusted { schema: 1, projects: trusted.projects.clone() })?;
    text.push('\n');
    let mut beside = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    beside.write_all(text.as_bytes()).with_context(failed)?;
    beside.persist(&path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}
