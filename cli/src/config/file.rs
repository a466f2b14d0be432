//! The file: where it is, whether it can be trusted, what it says and on which line, and changes that leave the rest of it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use capsule_core::escape_terminal;
use clap::Command;
use toml_edit::{Document, DocumentMut, Item, Table, Value};

use super::keys::Key;
use crate::error::Problem;

/// No settings need more.
const MOST_BYTES: u64 = 1 << 20;

/// A setting that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub key: &'static Key,
    /// What to, as the option takes it.
    pub value: String,
    /// On which line of the file.
    pub line: usize,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// Where it is; it need not be there. `None`: no home directory is known, or there is to be no file.
    pub path: Option<PathBuf>,
    /// The settings that are set.
    pub settings: Vec<Setting>,
}

/// `$CAPSULE_CONFIG` (empty: none), else `capsule/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
#[must_use]
pub fn path() -> Option<PathBuf> {
    match std::env::var_os("CAPSULE_CONFIG") {
        Some(path) => (!path.is_empty()).then(|| PathBuf::from(path)),
        None => directory().map(|directory| directory.join("config.toml")),
    }
}

/// The directory of the user's own files: settings and rules.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("capsule"))
}

/// Whether the usual file is in a directory that this user may not enter: `HOME` may be another user's, as after `setpriv` or
/// `sudo -E`, and nobody named that file. A file that is there and cannot be read is an error.
fn is_out_of_reach(path: &Path) -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    std::env::var_os("CAPSULE_CONFIG").is_none() && fs::symlink_metadata(path).is_err_and(denied)
}

impl Config {
    /// Whether there is anything to read. Cheap, for those who need no more where there is none.
    #[must_use]
    pub fn is_there() -> bool {
        path().is_some_and(|path| !matches!(path.try_exists(), Ok(false)))
    }

    /// Reads the file, where there is one.
    ///
    /// # Errors
    /// When it cannot be read, when others may write it, and with the line of what is wrong in it.
    pub fn load(line: &Command) -> Result<Self, Problem> {
        let path = path().filter(|path| !is_out_of_reach(path));
        let text = path.as_deref().map(read).transpose()?.flatten();
        let settings = match (&path, text) {
            (Some(path), Some(text)) => settings(line, &text).map_err(|wrong| wrong.in_file(path))?,
            _ => Vec::new(),
        };
        Ok(Self { path, settings })
    }

    /// The setting, where the file has it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

/// The file's text; `None` where there is no file.
///
/// # Errors
/// When it cannot be read, or when somebody else may write it: who can change settings can weaken a record.
pub fn read(path: &Path) -> Result<Option<String>, Problem> {
    let failed = || format!("could not read `{}`", path.display());
    // A pipe must not hold Capsule up.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Problem::from(anyhow::Error::new(error).context(failed()))),
    };
    let metadata = file.metadata().with_context(failed)?;
    let refuse = |why: &str, hint: String| Problem::usage(format!("`{}` {why}", path.display())).hint(hint);
    if !metadata.is_file() {
        return Err(refuse("is no regular file", "CAPSULE_CONFIG= (empty) means no settings".to_owned()));
    }
    if metadata.uid() != 0 && metadata.uid() != nix::unistd::geteuid().as_raw() {
        let why = format!("belongs to another user, {}: it is not followed", metadata.uid());
        return Err(refuse(&why, "CAPSULE_CONFIG names another file, or none when it is empty".to_owned()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refuse("may be written by others: it is not followed", format!("chmod go-w {}", path.display())));
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut text).with_context(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(refuse("is larger than 1 MiB", "settings need less".to_owned()));
    }
    let text = String::from_utf8(text);
    text.map(Some).map_err(|error| {
        let line = 1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
        Wrong { line, problem: Problem::usage("this is not UTF-8") }.in_file(path)
    })
}

/// What is wrong in the file, and where.
struct Wrong {
    line: usize,
    problem: Problem,
}

impl Wrong {
    fn in_file(self, path: &Path) -> Problem {
        let Self { line, problem } = self;
        let cause = problem.cause.context(format!("`{}`, line {line}", path.display()));
        Problem { cause, ..problem }
    }
}

fn settings(line: &Command, text: &str) -> Result<Vec<Setting>, Wrong> {
    let line_of = |span: Option<std::ops::Range<usize>>| {
        let start = span.map_or(0, |span| span.start);
        1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count()
    };
    let document = Document::parse(text).map_err(|error| {
        let said = escape_terminal(error.message().trim().as_bytes());
        Wrong { line: line_of(error.span()), problem: Problem::usage(said) }
    })?;
    let mut settings = Vec::new();
    for (table, item) in document.iter() {
        let at = line_of(document.key(table).and_then(toml_edit::Key::span));
        let Some(entries) = item.as_table_like() else {
            let problem = Problem::usage(format!("`{}` stands in no table", table.escape_debug()));
            return Err(Wrong { line: at, problem: problem.hint("settings are in tables, like [run]") });
        };
        // An empty table of another version's is no setting that is ignored.
        for (name, item) in entries.iter() {
            let at = line_of(entries.key(name).and_then(toml_edit::Key::span));
            let wrong = |problem: Problem| Wrong { line: at, problem };
            let key = Key::named(&format!("{table}.{name}")).map_err(wrong)?;
            let text = plain(item).ok_or_else(|| {
                wrong(Problem::usage(format!("`{}` is one value: a text, a number, true or false", key.name)))
            })?;
            settings.push(Setting { key, value: key.value(line, &text).map_err(wrong)?, line: at });
        }
    }
    Ok(settings)
}

/// A value as it would be typed.
fn plain(item: &Item) -> Option<String> {
    match item.as_value()? {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Boolean(value) => Some(value.value().to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::InlineTable(_) => None,
    }
}

/// Sets a setting in the file, or removes it, and leaves the rest as it is. Says whether anything changed.
///
/// # Errors
/// When the file is not valid as it is, or cannot be written.
pub fn change(line: &Command, path: &Path, key: &Key, value: Option<&str>) -> Result<bool, Problem> {
    let text = read(path)?.unwrap_or_default();
    let failed = || format!("could not write `{}`", path.display());
    settings(line, &text).map_err(|wrong| wrong.in_file(path).hint("capsule config edit opens it"))?;
    let mut document: DocumentMut = text.parse().with_context(failed)?;
    let (table, name) = key.parts();
    match value {
        Some(value) => {
            let entry = document.entry(table).or_insert_with(|| Item::Table(Table::new()));
            let Some(entries) = entry.as_table_like_mut() else { return Ok(false) };
            let mut new = key.toml(line, value);
            match entries.get_mut(name) {
                // Spaces and comments about it stay.
                Some(Item::Value(old)) => {
                    *new.decor_mut() = old.decor().clone();
                    *old = new;
                }
                _ => drop(entries.insert(name, Item::Value(new))),
            }
        }
        None => {
            let entries = document.get_mut(table).and_then(Item::as_table_like_mut);
            if entries.and_then(|entries| entries.remove(name)).is_none() {
                return Ok(false);
            }
        }
    }
    write(path, &document.to_string()).with_context(failed)?;
    Ok(true)
}

/// Replaces the file at one go, so that no reader sees half of it. A link stays a link.
///
/// # Errors
/// When the directory or the file cannot be written.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path).or_else(|_not_there| std::path::absolute(path))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(&path) {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Args;

    fn said(text: &str) -> String {
        match settings(&Args::command(), text) {
            Ok(settings) => settings.iter().map(|it| format!("{}={}@{} ", it.key.name, it.value, it.line)).collect(),
            Err(wrong) => wrong.in_file(Path::new("F")).in_one_line(),
        }
    }

    #[test]
    fn settings_have_their_lines() {
        let text = "# mine\n[run]\ntracer = \"ptrace\"\nquiet = true # silent\n\n[report]\nmax_tokens = 4_000\n";
        assert_eq!(said(text), "run.tracer=ptrace@3 run.quiet=true@4 report.max_tokens=4000@7 ");
        assert_eq!(said("run.buffer = 7\nprune = { keep = '30d' }"), "run.buffer=7@1 prune.keep=30d@2 ");
        assert_eq!(said(""), "");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_what_was_meant() {
        for (text, parts) in [
            ("[run]\n\ntracr = 1\n", ["`F`, line 3", "no setting `run.tracr`", "did you mean `run.tracer`?"]),
            ("[run]\ntracer = \"gdb\"\n", ["`F`, line 2", "`gdb` is no value for `run.tracer`", "one of auto"]),
            ("[run]\nquiet = [true]\n", ["`F`, line 2", "run.quiet", "one value"]),
            ("tracer = 1\n", ["`F`, line 1", "stands in no table", "[run]"]),
            ("[run]\n[run]\n", ["`F`, line 2", "duplicate", "key"]),
            ("[run]\ntracer = \"\\u001b[2J\"\n", ["`F`, line 2", "\\u{1b}[2J", "run.tracer"]),
            ("[run\n", ["`F`, line 1", "", ""]),
            ("[run]\nkeep_secrets = true\n", ["`F`, line 2", "no setting `run.keep_secrets`", ""]),
        ] {
            let said = said(text);
            assert!(parts.iter().all(|part| said.contains(part)), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_change_leaves_everything_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/config.toml");
        let line = Args::command();
        let set = |key: &str, value| change(&line, &path, Key::named(key).unwrap(), value).unwrap();
        assert!(!set("run.quiet", None));
        assert!(set("run.tracer", Some("ptrace")));
        assert_eq!(fs::read_to_string(&path).unwrap(), "[run]\ntracer = \"ptrace\"\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "# mine\n[run]\n# why\ntracer  =  \"ebpf\"  # because\nquiet = true\n").unwrap();
        assert!(set("run.tracer", Some("ptrace")) && set("run.quiet", None) && set("run.buffer", Some("5")));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# mine\n[run]\n# why\ntracer  =  \"ptrace\"  # because\nbuffer = 5\n");
    }

    #[test]
    fn a_file_that_others_may_write_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(read(&path).unwrap_err().in_one_line().contains("may be written by others"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(""));
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert!(read(&path).unwrap_err().in_one_line().contains("another user, 12345"));
        }
        assert!(read(directory.path()).unwrap_err().in_one_line().contains("no regular file"));
        assert_eq!(read(&directory.path().join("none")).unwrap(), None);
    }
}
