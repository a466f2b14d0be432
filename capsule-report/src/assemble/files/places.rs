//! Which path is what: the project's own files, or the by-products of tools. The rules are data, below; a path is
//! compared by whole components, so that `target-practice/` is no build directory.

use std::collections::HashSet;

use capsule_core::{ByteString, Role};

use crate::view::SessionView;

/// Kinds of places, in the order in which a report speaks of them: name, and what people call it.
pub(super) const PLACES: [(&str, &str); 6] = [
    ("project", "in the project"),
    ("outside", "outside the project"),
    ("git", "of git itself"),
    ("cache", "in caches and build directories"),
    ("state", "of tools' own state"),
    ("temp", "temporary"),
];
pub(super) const PROJECT: usize = 0;
pub(super) const OUTSIDE: usize = 1;
const GIT: usize = 2;
const CACHE: usize = 3;
const STATE: usize = 4;
const TEMP: usize = 5;

/// How a component of a path is compared.
enum Name {
    /// It is this.
    Is(&'static str),
    /// It begins so.
    Begins(&'static str),
    /// It ends so.
    Ends(&'static str),
}
use Name::{Begins, Ends, Is};

/// Version control's own files, wherever they are.
const GIT_NAMES: [Name; 4] = [Is(".git"), Is(".hg"), Is(".jj"), Is(".svn")];

/// What can be made again: caches, build directories and installed packages, wherever they are.
const CACHE_NAMES: [Name; 25] = [
    Is("__pycache__"),
    Ends(".pyc"),
    Is(".pytest_cache"),
    Is(".mypy_cache"),
    Is(".ruff_cache"),
    Is(".hypothesis"),
    Is(".tox"),
    Is(".nox"),
    Is(".venv"),
    Is(".eggs"),
    Ends(".egg-info"),
    Is("node_modules"),
    Is(".npm"),
    Is("_npx"),
    Is("_cacache"),
    Is(".next"),
    Is(".nuxt"),
    Is(".parcel-cache"),
    Is(".turbo"),
    Is("target"),
    Is(".gradle"),
    Is(".ccache"),
    Is(".terraform"),
    Is(".cache"),
    Is(".DS_Store"),
];

/// What tools keep for themselves in a home directory. Not here: shells' start files, keys, services, whatever else changes what
/// later programs do.
const STATE_NAMES: [Name; 22] = [
    Is(".claude"),
    Begins(".claude.json"),
    Is(".codex"),
    Is(".gemini"),
    Begins(".aider"),
    Is(".cursor"),
    Is(".goose"),
    Is(".opencode"),
    Is(".copilot"),
    Is(".yarn"),
    Is(".pnpm-store"),
    Is(".bun"),
    Is(".cargo"),
    Is(".rustup"),
    Is(".m2"),
    Is(".nuget"),
    Is(".dotnet"),
    Is(".ipython"),
    Is(".node_repl_history"),
    Is(".python_history"),
    Is(".bash_history"),
    Is(".lesshst"),
];

/// Directories for what nobody keeps.
const TEMP_DIRECTORIES: [&str; 6] = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/private/tmp", "/private/var/folders"];

/// Not files: devices and the kernel's own.
const DEVICES: [&str; 3] = ["/dev", "/proc", "/sys"];

/// What kind of place `path` is, for a session in `cwd`, as an index of [`PLACES`].
pub(super) fn place(path: &[u8], cwd: &[u8], worked: &HashSet<&[u8]>) -> usize {
    let inside = below(path, cwd);
    let any = |part: Option<&[u8]>, names: &[Name]| part.is_some_and(|part| has(part, names));
    if any(inside, &GIT_NAMES) {
        GIT
    } else if any(inside, &CACHE_NAMES) {
        CACHE
    } else if inside.is_some() {
        // A home directory is no project: what tools keep in it is theirs all the same.
        if is_home(cwd) && any(inside, &STATE_NAMES) { STATE } else { PROJECT }
    } else if has(path, &STATE_NAMES) {
        STATE
    } else if has(path, &CACHE_NAMES) {
        CACHE
    } else if is_temporary(path) && !worked_in(path, worked) {
        TEMP
    } else if has(path, &GIT_NAMES) {
        GIT
    } else {
        OUTSIDE
    }
}

fn is_temporary(path: &[u8]) -> bool {
    TEMP_DIRECTORIES.iter().any(|temp| below(path, temp.as_bytes()).is_some())
}

/// Directories below temporary ones in which commands were run that somebody asked for: a repository made in `/tmp` is
/// work, not rubbish.
pub(super) fn worked(view: &SessionView) -> HashSet<&[u8]> {
    let asked = view.tree.nodes.iter().filter(|node| node.role == Role::Asked);
    let places = asked.flat_map(|node| node.execs.iter().filter_map(|exec| exec.cwd.as_ref()));
    let own = |path: &&[u8]| TEMP_DIRECTORIES.iter().any(|t| below(path, t.as_bytes()).is_some_and(|r| !r.is_empty()));
    places.map(ByteString::as_bytes).filter(own).collect()
}

fn worked_in(path: &[u8], worked: &HashSet<&[u8]>) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    !worked.is_empty() && ends.filter_map(|end| path.get(..end)).any(|directory| worked.contains(directory))
}

/// Whether `path` is a device or one of the kernel's own files.
pub(in crate::assemble) fn is_device(path: &[u8]) -> bool {
    DEVICES.iter().any(|root| below(path, root.as_bytes()).is_some()) && below(path, b"/dev/shm").is_none()
}

fn is_home(directory: &[u8]) -> bool {
    directory == b"/root" || below(directory, b"/home").is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
}

/// What of `path` is below `directory`; empty for the directory itself.
pub(super) fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(directory)?;
    match rest.strip_prefix(b"/") {
        Some(rest) => Some(rest),
        None if rest.is_empty() || directory.ends_with(b"/") => Some(rest),
        None => None,
    }
}

fn has(path: &[u8], names: &[Name]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| {
        names.iter().any(|name| match name {
            Is(name) => part == name.as_bytes(),
            Begins(name) => part.starts_with(name.as_bytes()),
            Ends(name) => part.ends_with(name.as_bytes()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_products_are_told_from_the_project() {
        let of = |path: &str| {
            PLACES[place(path.as_bytes(), b"/home/u/code/demo", &HashSet::from([b"/tmp/made".as_slice()]))].0
        };
        for (path, name) in [
            ("/home/u/code/demo/calc/ops.py", "project"),
            ("/home/u/code/demo/.claude/settings.json", "project"),
            ("/home/u/code/demo/target-practice/x.rs", "project"),
            ("/home/u/code/demolition/x.rs", "outside"),
            ("/home/u/.bashrc", "outside"),
            ("/home/u/.ssh/authorized_keys", "outside"),
            ("/home/u/code/demo/.git/index", "git"),
            ("/home/u/code/demo/calc/__pycache__/ops.cpython-311.pyc", "cache"),
            ("/home/u/code/demo/node_modules/x/index.js", "cache"),
            ("/home/u/.npm/_cacache/x", "cache"),
            ("/home/u/.claude/projects/a.jsonl", "state"),
            ("/home/u/.claude.json", "state"),
            ("/tmp/x", "temp"),
            ("/tmp/clone/.git/config", "temp"),
            ("/tmp/made/a.c", "outside"),
            ("/tmp/made/.git/config", "git"),
            ("/tmp/made-up", "temp"),
            ("/tmpfile", "outside"),
        ] {
            assert_eq!(of(path), name, "{path}");
        }
    }

    #[test]
    fn a_project_below_a_temporary_directory_is_a_project_and_a_home_is_none() {
        assert_eq!(PLACES[place(b"/tmp/demo/a.py", b"/tmp/demo", &HashSet::new())].0, "project");
        assert_eq!(PLACES[place(b"/root/.claude/x", b"/root", &HashSet::new())].0, "state");
        assert_eq!(PLACES[place(b"/root/notes.txt", b"/root", &HashSet::new())].0, "project");
        assert_eq!(PLACES[place(b"/etc/passwd", b"/", &HashSet::new())].0, "project");
    }
}
