//! Identities that must never be mixed up: a pid is not a thread id, and neither is a process.
//!
//! Pids are reused (`pid_max` is often 32,768), so everything from the tracker on speaks
//! [`ProcId`]: a session-wide ordinal, given at a process's first appearance, never reused and
//! kept across exec.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_newtype! {
    /// A process id: the thread group id (tgid), as seen from the tracer's pid namespace.
    ///
    /// Not an identity over time: the kernel reuses it after the process is reaped (`pid(7)`).
    Pid(u32)
}
number_newtype! {
    /// A kernel thread id (`gettid(2)`). Equal to the [`Pid`] for a thread group's leader only.
    Tid(u32)
}
number_newtype! {
    /// A process's ordinal within its session, from 1, in the order of first appearance.
    ///
    /// Unlike a pid it is never reused, and it survives exec.
    ProcId(u32)
}
number_newtype! {
    /// A record's ordinal within its stream, from 1, without holes.
    Seq(u64)
}

impl Tid {
    /// The process id that a thread group's leader has.
    #[must_use]
    pub const fn as_leader(self) -> Pid {
        Pid(self.0)
    }
}

/// A session's name: `2024-01-15T14:30:00Z-abc123`, the start in UTC and six random characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// Why a text is not a [`SessionId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionIdError(String);

impl fmt::Display for SessionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a session id (like 2024-01-15T14:30:00Z-abc123)", self.0.escape_default())
    }
}

impl std::error::Error for SessionIdError {}

impl SessionId {
    /// Makes an id from the start time and 30 random bits (only the low 30 are used).
    #[must_use]
    pub fn new(started: Timestamp, random: u32) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut id = started.to_seconds_string();
        id.push('-');
        for shift in (0..6).rev() {
            let index = (random >> (shift * 5)) & 31;
            id.push(char::from(ALPHABET[index as usize]));
        }
        Self(id)
    }

    /// Reads an id, refusing anything that could be a path or hold control characters.
    ///
    /// # Errors
    /// When `text` is empty, longer than 64 bytes, starts with a dot or a dash, or has a character other than
    /// ASCII letters, digits, `-`, `_`, `:` and `.`.
    pub fn parse(text: &str) -> Result<Self, SessionIdError> {
        let fits = !text.is_empty()
            && text.len() <= 64
            && !text.starts_with(['.', '-'])
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'.'));
        if fits { Ok(Self(text.to_owned())) } else { Err(SessionIdError(text.to_owned())) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SessionId {
    type Error = SessionIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_id_has_the_documented_form() {
        let id = SessionId::new(Timestamp(1_705_329_000_000_000_000), 0x3fff_ffff);
        assert_eq!(id.as_str(), "2024-01-15T14:30:00Z-zzzzzz");
        assert_eq!(SessionId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn session_id_refuses_paths_and_controls() {
        for bad in ["", "..", "../x", "a/b", "a\nb", ".hidden", "-q", "a\u{1b}[2J"] {
            assert!(SessionId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
