//! Files of rules before they are compiled: where they come from, and reading them.

use std::fmt;
use std::path::{Path, PathBuf};

use super::locate::{self, line_at};
use super::{RulesError, schema::RulesFile};

/// On whose word a file of rules holds. Later ones win over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Embedded in the program.
    BuiltIn,
    /// Made by the recording itself.
    Session,
    /// The user's own.
    User,
    /// The project's, which the user trusts.
    Project,
    /// Named on the command line.
    Given,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Session => "this session",
            Self::User => "a rule of the user",
            Self::Project => "a rule of the project",
            Self::Given => "a rule given with --rules",
        })
    }
}

/// A file of rules, read. Whoever decides whether it may be used decides about these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// On whose word it holds.
    pub origin: Origin,
    /// What it says.
    pub text: String,
}

impl RuleFile {
    /// Reads `path`: a file, or the `*.toml` of a directory in the order of their names.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn read_all(path: &Path, origin: Origin) -> Result<Vec<Self>, RulesError> {
        let mut files = Vec::new();
        for path in paths_of(path)? {
            let text =
                std::fs::read_to_string(&path).map_err(|source| RulesError::Read { path: path.clone(), source })?;
            files.push(Self { path, origin, text });
        }
        Ok(files)
    }
}

fn paths_of(path: &Path) -> Result<Vec<PathBuf>, RulesError> {
    let failed = |source| RulesError::Read { path: path.to_owned(), source };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// A file that follows the schema, but is not yet compiled.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
    pub(super) text: String,
    pub(super) file: RulesFile,
}

impl Source {
    pub(super) fn parse(file: RuleFile) -> Result<Self, RulesError> {
        let RuleFile { path, origin, text } = file;
        match toml::from_str::<RulesFile>(&text) {
            Ok(file) => {
                let source = Self { path, origin, text, file };
                match source.file.schema {
                    None | Some(1) => Ok(source),
                    Some(other) => {
                        let hint = Some("this version reads schema 1".to_owned());
                        Err(source.wrong(0, "schema", format!("schema {other} is not known"), hint))
                    }
                }
            }
            Err(error) => Err(not_toml(&path, &text, &error)),
        }
    }

    /// A file that is part of this program. A mistake in it is found by the tests.
    pub(super) fn embedded(path: &Path, json: &str) -> Result<Self, RulesError> {
        let file = serde_json::from_str(json).map_err(|error| RulesError::Invalid {
            path: path.to_owned(),
            line: 0,
            message: error.to_string(),
            hint: None,
        })?;
        Ok(Self { path: path.to_owned(), origin: Origin::BuiltIn, text: String::new(), file })
    }

    /// The error of what is written at or after byte `from`, on the line that has `word`.
    pub(super) fn wrong(&self, from: usize, word: &str, message: String, hint: Option<String>) -> RulesError {
        let line = locate::line_of(&self.text, from, word);
        RulesError::Invalid { path: self.path.clone(), line, message, hint }
    }

    /// The same, where the message names in backticks what is wrong.
    pub(super) fn wrong_as_said(&self, from: usize, message: String, hint: Option<String>) -> RulesError {
        let word = message.split('`').nth(1).unwrap_or_default().to_owned();
        self.wrong(from, &word, message, hint)
    }

    /// Where it comes from, for lists.
    pub(super) fn label(&self) -> String {
        match self.origin {
            Origin::BuiltIn | Origin::Session => self.origin.to_string(),
            _ => self.path.display().to_string(),
        }
    }

    /// Who says so, for those who wonder at a finding.
    pub(super) fn speaker(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("{} ({name})", self.origin)
    }
}

/// The error of a text that is no TOML, or has other keys than it may.
pub(super) fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> RulesError {
    let line = error.span().map(|span| line_at(text, span.start)).unwrap_or_default();
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let hint = if message.contains("unknown field") {
        Some("`capsule rules explain --toml RULE` shows how a rule is written; names are in kebab-case".to_owned())
    } else if message.contains("missing field") {
        Some(
            "a [[rule]] needs id, title, why, category, severity and match; a [[change]] needs rule and severity"
                .to_owned(),
        )
    } else if message.contains("string values must be quoted") {
        Some("put text in quotes: 'as it is' or \"with \\\\ escapes\"".to_owned())
    } else {
        None
    };
    RulesError::Invalid { path: path.to_owned(), line, message, hint }
}
