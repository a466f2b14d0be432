//! The command to run, and what it must inherit.
//!
//! A traced command gets what Capsule itself was given: signal dispositions and mask, descriptors, directory, limits.
//! Rust's runtime and Capsule change some of these for themselves (SIGPIPE is ignored, Ctrl-C is), so
//! [`Inherited::remember`] notes them first thing in `main`, and the child puts them back before its exec.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use capsule_core::ByteString;

use crate::error::TraceError;

pub(crate) mod sys;

/// A command to trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The program, searched in `PATH` unless it has a slash, and its arguments. Never empty.
    pub argv: Vec<OsString>,
    /// The file to execute, where it is not what the first argument finds.
    pub program: Option<PathBuf>,
    /// The directory to run in; Capsule's own where absent.
    pub cwd: Option<PathBuf>,
    /// The whole environment; Capsule's own where absent.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// The user to run as; Capsule's own where absent.
    pub user: Option<User>,
}

/// Credentials to run with (`credentials(7)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl User {
    /// The credentials of the user `name`: those of a login, with all groups that the group database has. `None`: there is
    /// no such user.
    ///
    /// # Errors
    /// When the user or group database cannot be read, or the name holds a NUL.
    pub fn named(name: &str) -> io::Result<Option<Self>> {
        let Some(found) = nix::unistd::User::from_name(name)? else { return Ok(None) };
        let gid = found.gid.as_raw();
        let groups = crate::platform::groups_of(&CString::new(name)?, gid)?;
        Ok(Some(Self { uid: found.uid.as_raw(), gid, groups }))
    }
}

impl Launch {
    /// A command in Capsule's own directory, environment and credentials.
    #[must_use]
    pub fn new<A: Into<OsString>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), program: None, cwd: None, env: None, user: None }
    }

    /// The program as given: a name to be searched, or a path.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        let first = self.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
        self.program.as_deref().map_or(first, Path::as_os_str)
    }
}

/// What this process inherited and must pass on: signal dispositions, the signal mask, which standard descriptors were
/// closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inherited {
    /// Bit n - 1: signal n was ignored.
    pub(crate) ignored: u64,
    /// Bit n - 1: signal n was blocked.
    pub(crate) blocked: u64,
    /// Bit n: descriptor n (0, 1, 2) was closed.
    pub(crate) closed: u8,
}

static INHERITED: OnceLock<Inherited> = OnceLock::new();

impl Inherited {
    /// Notes what this process was started with. Call it first thing in `main`; later calls change nothing.
    ///
    /// On Linux the note was taken by then, before Rust's runtime ignored SIGPIPE and opened closed descriptors.
    pub fn remember() {
        INHERITED.get_or_init(sys::inherited);
    }

    /// What was remembered; what holds now where nothing was.
    #[must_use]
    pub fn get() -> Self {
        *INHERITED.get_or_init(sys::inherited)
    }
}

/// A command made ready for a forked child, which must not allocate: every string is in place.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Paths to try, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: Option<CString>,
    pub(crate) user: Option<User>,
    pub(crate) inherited: Inherited,
}

impl Prepared {
    /// Makes `launch` ready.
    pub(crate) fn new(launch: &Launch) -> Result<Self, TraceError> {
        let program = launch.program();
        if launch.argv.is_empty() || program.is_empty() {
            return Err(TraceError::NotFound { program: ByteString::new(program.as_bytes()) });
        }
        let argv = launch.argv.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let env: Vec<(OsString, OsString)> = match &launch.env {
            Some(env) => env.clone(),
            None => std::env::vars_os().collect(),
        };
        let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let candidates = candidates(program, path)?;
        let env = match &launch.env {
            Some(_) => env.into_iter().map(|(name, value)| entry(&name, &value)).collect::<Result<Vec<_>, _>>()?,
            // As it is, entries without `=` included.
            None => sys::environment(),
        };
        let cwd = launch.cwd.as_deref().map(|cwd| c_string(cwd.as_os_str().as_bytes())).transpose()?;
        Ok(Self { candidates, argv, env, cwd, user: launch.user.clone(), inherited: Inherited::get() })
    }
}

fn entry(name: &OsStr, value: &OsStr) -> Result<CString, TraceError> {
    c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())
}

fn c_string(bytes: &[u8]) -> Result<CString, TraceError> {
    CString::new(bytes).map_err(|found| TraceError::System {
        action: "pass an argument that holds a NUL byte",
        source: io::Error::new(io::ErrorKind::InvalidInput, found),
    })
}

/// Where execvp(3) would look for `program`.
fn candidates(program: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>, TraceError> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program.as_bytes())?]);
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    path.as_bytes()
        .split(|byte| *byte == b':')
        // An empty element is the current directory.
        .map(|dir| if dir.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(dir) })
        .map(|dir| c_string(&Path::new(dir).join(program).into_os_string().into_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_slash_is_not_searched() {
        let found = candidates(OsStr::new("./x"), Some(OsStr::new("/bin"))).unwrap();
        assert_eq!(found, [c"./x".to_owned()]);
    }

    #[test]
    fn empty_path_elements_are_the_current_directory() {
        let found = candidates(OsStr::new("x"), Some(OsStr::new("/a::/b"))).unwrap();
        assert_eq!(found, [c"/a/x".to_owned(), c"./x".to_owned(), c"/b/x".to_owned()]);
    }

    #[test]
    fn no_command_is_not_found() {
        let error = Prepared::new(&Launch::new([""])).unwrap_err();
        assert_eq!(error.exit_code(), 127);
    }
}
