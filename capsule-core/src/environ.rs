//! A process's environment: every name, and the values of an allow-list only.
//!
//! Values are where secrets live, so only those that are known to be needed to understand a session are kept: the
//! trace context, the agents' own session marks, and a few facts of the shell. Everything else is a name.
//!
//! Most processes of a session have the same environment. Each distinct one gets a number and is
//! written once per stream; later records only name the number ([`EnvTable`] joins them when reading).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::ByteString;

/// Variables whose values are recorded (after redaction).
const ALLOWED: &[&str] = &[
    "AI_AGENT",
    "AGENT_ID",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION",
    "CI",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PID",
    "CODEX_SANDBOX",
    "CODEX_THREAD_ID",
    "CODEX_TOOL_CALL_ID",
    "COLUMNS",
    "CURSOR_AGENT",
    "CURSOR_TRACE_ID",
    "CONDA_DEFAULT_ENV",
    "GEMINI_CLI",
    "GOOSE_TERMINAL",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOGNAME",
    "MAKELEVEL",
    "NODE_ENV",
    "OPENCODE",
    "OPENCODE_SESSION_ID",
    "PATH",
    "PWD",
    "QWEN_CODE",
    "SHELL",
    "SHLVL",
    "SUDO_COMMAND",
    "SUDO_UID",
    "SUDO_USER",
    "TERM",
    "TMPDIR",
    "TRACEPARENT",
    "TRACESTATE",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "npm_command",
    "npm_lifecycle_event",
    "npm_package_name",
    "npm_package_version",
];

/// Whether the value of the variable `name` is recorded.
#[must_use]
pub fn is_allowed_value(name: &[u8]) -> bool {
    ALLOWED.iter().any(|allowed| allowed.as_bytes() == name)
}

/// The names of an environment, and the values that may be kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// This environment's number within the session, from 1.
    pub id: u32,
    /// Every name, in the order of the process's own block. Entries without `=` are kept whole.
    pub names: Vec<ByteString>,
    /// Values of allow-listed names, redacted.
    pub values: BTreeMap<String, ByteString>,
}

impl Environment {
    /// The value of `name`, where it is kept.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&ByteString> {
        self.values.get(name)
    }
}

/// How an environment stands in a record: whole the first time, by number afterwards.
#[derive(Deserialize)]
struct EnvironmentWire {
    id: u32,
    #[serde(default)]
    names: Option<Vec<ByteString>>,
    #[serde(default)]
    values: BTreeMap<String, ByteString>,
}

/// The same, borrowed.
#[derive(Serialize)]
struct EnvironmentLine<'a> {
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [ByteString]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<&'a BTreeMap<String, ByteString>>,
}

/// A process's environment in a record: the contents, and whether this record is the one that spells them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvRef {
    /// The contents. Names are empty when the record that spelled them out was lost.
    pub environment: Arc<Environment>,
    /// Whether this record is the first of its stream to mention the environment.
    pub whole: bool,
}

impl Serialize for EnvRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let environment = &self.environment;
        EnvironmentLine {
            id: environment.id,
            names: self.whole.then_some(&environment.names),
            values: Some(&environment.values).filter(|values| self.whole && !values.is_empty()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnvRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = EnvironmentWire::deserialize(deserializer)?;
        let whole = wire.names.is_some();
        let environment = Environment { id: wire.id, names: wire.names.unwrap_or_default(), values: wire.values };
        Ok(Self { environment: Arc::new(environment), whole })
    }
}

/// How many environments a table remembers. Past it, it forgets them all and spells known ones out again.
const REMEMBERED: u32 = 4096;

/// Environments by number: gives each distinct one its number when writing, and joins numbers to contents when
/// reading. Bounded: it holds at most 4,096 environments.
#[derive(Debug, Default)]
pub struct EnvTable {
    last_id: u32,
    by_id: HashMap<u32, Arc<Environment>>,
    by_content: HashMap<u64, Vec<Arc<Environment>>>,
}

impl EnvTable {
    /// After this many environments (and after each further multiple) the table starts over: whoever keeps references
    /// beside it must forget them too when the environment with a number one past a multiple of it is made.
    pub const REMEMBERED: u32 = REMEMBERED;

    /// The environment with these names and values, spelled out if it is new to the table.
    ///
    /// `hash` is any hash of the content; equal contents must come with equal hashes.
    pub fn intern(&mut self, hash: u64, names: Vec<ByteString>, values: BTreeMap<String, ByteString>) -> EnvRef {
        if let Some(known) = self.known(hash, |known| known.names == names && known.values == values) {
            return known;
        }
        if self.last_id.is_multiple_of(REMEMBERED) {
            self.by_content.clear();
        }
        self.last_id = self.last_id.saturating_add(1);
        let environment = Arc::new(Environment { id: self.last_id, names, values });
        self.by_content.entry(hash).or_default().push(Arc::clone(&environment));
        EnvRef { environment, whole: true }
    }

    /// A known environment with this hash that `same` recognises.
    #[must_use]
    pub fn known(&self, hash: u64, same: impl Fn(&Environment) -> bool) -> Option<EnvRef> {
        let found = self.by_content.get(&hash)?.iter().find(|known| same(known))?;
        Some(EnvRef { environment: Arc::clone(found), whole: false })
    }

    /// What a record that was read says of its environment, with the names of the first mention.
    ///
    /// An unknown number (its first record was lost) keeps an environment without names.
    pub fn resolve(&mut self, read: &mut EnvRef) {
        if read.whole {
            if read.environment.id % REMEMBERED == 1 {
                self.by_id.clear();
            }
            self.by_id.insert(read.environment.id, Arc::clone(&read.environment));
        } else if let Some(known) = self.by_id.get(&read.environment.id) {
            read.environment = Arc::clone(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_mention_is_short_and_reads_back_whole() {
        let mut writing = EnvTable::default();
        let names = vec![ByteString::from("HOME"), ByteString::from("API_KEY")];
        let values = BTreeMap::from([("HOME".to_owned(), ByteString::from("/root"))]);
        let first = writing.intern(7, names.clone(), values.clone());
        let second = writing.intern(7, names, values);
        let (first, second) = (serde_json::to_string(&first).unwrap(), serde_json::to_string(&second).unwrap());
        assert_eq!(second, r#"{"id":1}"#);

        let mut reading = EnvTable::default();
        let mut read: Vec<EnvRef> = [first, second].iter().map(|json| serde_json::from_str(json).unwrap()).collect();
        read.iter_mut().for_each(|r| reading.resolve(r));
        assert_eq!(read[1].environment.names.len(), 2);
        assert_eq!(read[1].environment, read[0].environment);
    }

    #[test]
    fn the_table_is_bounded_and_numbers_are_never_reused() {
        let mut table = EnvTable::default();
        for n in 0..10_000_u64 {
            let made = table.intern(n, vec![ByteString::from(n.to_string())], BTreeMap::new());
            assert_eq!(u64::from(made.environment.id), n + 1);
        }
        assert!(table.by_content.len() <= REMEMBERED as usize);
    }
}
