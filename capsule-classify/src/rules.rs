//! Everything that a verdict is made from, as data: programs, agents, paths, hosts and risk rules.

mod compile;
mod expect;
mod files;
mod locate;
pub(crate) mod schema;

use std::path::{Path, PathBuf};

use crate::agent::Agents;
use crate::knowledge::Knowledge;
use crate::place::Places;
use crate::recorder::{Guarded, Recorder};
use crate::risk::{Changed, RiskRules};
use crate::sigma::Sigma;
use compile::compile;
pub use expect::{Expectations, Failure};
use files::Source;
pub use files::{Origin, RuleFile};

/// Why rules could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// A file could not be read.
    #[error("cannot read rules file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what a rules file must be.
    #[error("`{path}`:{line}: {message}{}", .hint.as_ref().map(|h| format!(" (hint: {h})")).unwrap_or_default())]
    Invalid {
        /// The file, or the name of a built-in one.
        path: PathBuf,
        /// Line, from 1; 0 where it cannot be told.
        line: usize,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A rule, as listed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its name.
    pub id: String,
    /// A short name for people.
    pub title: String,
    /// Its category.
    pub category: String,
    /// Its severity before the circumstances.
    pub severity: capsule_core::Severity,
    /// What was done and why it matters.
    pub why: String,
    /// What an innocent explanation would be.
    pub innocent: Option<String>,
    /// ATT&CK technique ids.
    pub attack: Vec<String>,
    /// What changes the severity: to what, and why.
    pub adjust: Vec<(String, String)>,
    /// Where it comes from: `built in`, or a file.
    pub origin: String,
    /// What users' rules make of it, in words.
    pub changes: Vec<String>,
}

/// The compiled rules.
#[derive(Debug, Default)]
pub struct Rules {
    pub(crate) knowledge: Knowledge,
    pub(crate) agents: Agents,
    pub(crate) places: Places,
    pub(crate) risks: RiskRules,
    /// What records this session.
    pub(crate) guarded: Guarded,
    /// Sigma rules, where some were loaded.
    pub(crate) sigma: Option<Box<Sigma>>,
    /// What users' rules make of Sigma rules: the id, the new severity or none, and who says so and why.
    pub(crate) sigma_changes: Vec<(String, Option<capsule_core::Severity>, String)>,
}

/// The embedded files, in the order in which they are read; JSON made of `data/*.toml` by the build script, and
/// as they are written, for people.
const BUILTIN: &[(&str, &str, &str)] = &[
    ("places.toml", include_str!(concat!(env!("OUT_DIR"), "/places.json")), include_str!("../data/places.toml")),
    ("wrappers.toml", include_str!(concat!(env!("OUT_DIR"), "/wrappers.json")), include_str!("../data/wrappers.toml")),
    ("system.toml", include_str!(concat!(env!("OUT_DIR"), "/system.json")), include_str!("../data/system.toml")),
    ("text.toml", include_str!(concat!(env!("OUT_DIR"), "/text.json")), include_str!("../data/text.toml")),
    ("develop.toml", include_str!(concat!(env!("OUT_DIR"), "/develop.json")), include_str!("../data/develop.toml")),
    ("network.toml", include_str!(concat!(env!("OUT_DIR"), "/network.json")), include_str!("../data/network.toml")),
    ("security.toml", include_str!(concat!(env!("OUT_DIR"), "/security.json")), include_str!("../data/security.toml")),
    ("agents.toml", include_str!(concat!(env!("OUT_DIR"), "/agents.json")), include_str!("../data/agents.toml")),
    (
        "risks-access.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-access.json")),
        include_str!("../data/risks-access.toml"),
    ),
    (
        "risks-execution.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-execution.json")),
        include_str!("../data/risks-execution.toml"),
    ),
    (
        "risks-evasion.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-evasion.json")),
        include_str!("../data/risks-evasion.toml"),
    ),
    (
        "risks-impact.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-impact.json")),
        include_str!("../data/risks-impact.toml"),
    ),
    (
        "risks-notice.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-notice.json")),
        include_str!("../data/risks-notice.toml"),
    ),
    (
        "risks-session.toml",
        include_str!(concat!(env!("OUT_DIR"), "/risks-session.json")),
        include_str!("../data/risks-session.toml"),
    ),
];

impl Rules {
    /// The embedded rules.
    #[must_use]
    pub fn builtin() -> Self {
        // The embedded files are checked by a test; one that did not parse would only be missing here.
        let sources = builtin_sources().unwrap_or_default();
        compile(&sources).unwrap_or_default()
    }

    /// The embedded rules, extended and overridden by `paths`: files, or directories whose `*.toml` are read in order
    /// of their names. Later files win.
    ///
    /// # Errors
    /// When a file cannot be read or does not follow the schema.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, RulesError> {
        Self::load_all(paths, None)
    }

    /// As [`Self::load`], for a live session: they also know what records it.
    ///
    /// # Errors
    /// When a file cannot be read or does not follow the schema.
    pub fn load_recorded_by<P: AsRef<Path>>(paths: &[P], recorder: &Recorder) -> Result<Self, RulesError> {
        Self::load_all(paths, Some(recorder))
    }

    fn load_all<P: AsRef<Path>>(paths: &[P], recorder: Option<&Recorder>) -> Result<Self, RulesError> {
        let mut files = Vec::new();
        for path in paths {
            files.append(&mut RuleFile::read_all(path.as_ref(), Origin::Given)?);
        }
        Self::of(files, recorder)
    }

    /// The embedded rules, extended and overridden by files that were read already, later ones winning; for a live session
    /// with what records it.
    ///
    /// # Errors
    /// When a file does not follow the schema.
    pub fn of(files: Vec<RuleFile>, recorder: Option<&Recorder>) -> Result<Self, RulesError> {
        let mut sources = builtin_sources()?;
        if let Some(recorder) = recorder {
            let path = PathBuf::from("recorder.toml");
            sources.push(Source::parse(RuleFile { path, origin: Origin::Session, text: recorder.to_toml() })?);
        }
        for file in files {
            sources.push(Source::parse(file)?);
        }
        let mut rules = compile(&sources)?;
        rules.guarded = recorder.map(Guarded::new).unwrap_or_default();
        Ok(rules)
    }

    /// All risk rules, in the order in which they were read, Sigma's last.
    #[must_use]
    pub fn list(&self) -> Vec<RuleInfo> {
        self.risks
            .rules
            .iter()
            .map(|rule| RuleInfo {
                id: rule.entry.id.clone(),
                title: rule.entry.title.clone(),
                category: rule.entry.category.clone(),
                severity: rule.severity,
                why: rule.entry.why.clone(),
                innocent: rule.entry.innocent.clone(),
                attack: rule.entry.attack.clone(),
                adjust: rule
                    .entry
                    .adjust
                    .iter()
                    .map(|adjust| (adjust.severity.clone(), adjust.because.clone()))
                    .collect(),
                origin: rule.origin.clone(),
                changes: rule.changes_in_words(),
            })
            .chain(self.sigma.iter().flat_map(|sigma| sigma.list(self)))
            .collect()
    }

    /// One rule by its name.
    #[must_use]
    pub fn explain(&self, id: &str) -> Option<RuleInfo> {
        self.list().into_iter().find(|rule| rule.id == id)
    }

    /// How a rule is written: its table in the file that it is in, or the file of a Sigma rule.
    #[must_use]
    pub fn written(&self, id: &str) -> Option<String> {
        if let Some(text) = self.sigma.as_ref().and_then(|sigma| sigma.written(id)) {
            return Some(text.to_owned());
        }
        let rule = self.risks.rules.iter().find(|rule| rule.entry.id == id)?;
        if !rule.written.is_empty() {
            return Some(rule.written.clone());
        }
        let line = format!("\nid = \"{id}\"");
        BUILTIN.iter().find_map(|(_, _, toml)| {
            let start = toml.get(..toml.find(&line)?)?.rfind("[[rule]]")?;
            Some(locate::table(toml, start).to_owned())
        })
    }

    /// Compiles everything that is compiled at first use, and says what is wrong.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .risks
            .check()
            .into_iter()
            .map(|mistake| {
                let id = self.risks.rules.get(mistake.rule).map(|rule| rule.entry.id.as_str()).unwrap_or_default();
                format!("rule `{id}`: {}", mistake.message)
            })
            .collect();
        wrong.extend(self.places.check().err());
        for program in self.knowledge.programs() {
            if let Err((_, message)) = program.check() {
                wrong.push(format!("program `{}`: {message}", program.name));
            }
        }
        wrong
    }

    /// Whether a rule means little by itself, but counts where several come together.
    pub(crate) fn is_weak(&self, id: &str) -> bool {
        self.risks.rules.iter().any(|rule| rule.entry.weak && rule.entry.id == id)
    }

    /// A rule of the session, with what users' changes make of its severity.
    pub(crate) fn session_rule(&self, id: &str) -> Option<(&schema::RuleEntry, Changed)> {
        let rule = self.risks.rules.iter().find(|rule| rule.entry.id == id)?;
        Some((&rule.entry, rule.changed()))
    }

    /// How many programs are known by name.
    #[must_use]
    pub fn programs_known(&self) -> usize {
        self.knowledge.programs().len()
    }
}

fn builtin_sources() -> Result<Vec<Source>, RulesError> {
    BUILTIN.iter().map(|(name, json, _)| Source::embedded(Path::new(name), json)).collect()
}
