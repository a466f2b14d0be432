//! Everything that a verdict is made from, as data: programs, agents, paths, hosts and risk rules.

pub(crate) mod schema;

use std::path::{Path, PathBuf};

use crate::agent::Agents;
use crate::knowledge::Knowledge;
use crate::place::Places;
use crate::recorder::{Guarded, Recorder};
use crate::risk::RiskRules;
use schema::RulesFile;

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
}

/// The embedded files, in the order in which they are read; JSON made of `data/*.toml` by the build script.
const BUILTIN: &[(&str, &str)] = &[
    ("places.toml", include_str!(concat!(env!("OUT_DIR"), "/places.json"))),
    ("wrappers.toml", include_str!(concat!(env!("OUT_DIR"), "/wrappers.json"))),
    ("system.toml", include_str!(concat!(env!("OUT_DIR"), "/system.json"))),
    ("text.toml", include_str!(concat!(env!("OUT_DIR"), "/text.json"))),
    ("develop.toml", include_str!(concat!(env!("OUT_DIR"), "/develop.json"))),
    ("network.toml", include_str!(concat!(env!("OUT_DIR"), "/network.json"))),
    ("security.toml", include_str!(concat!(env!("OUT_DIR"), "/security.json"))),
    ("agents.toml", include_str!(concat!(env!("OUT_DIR"), "/agents.json"))),
    ("risks-access.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-access.json"))),
    ("risks-execution.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-execution.json"))),
    ("risks-evasion.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-evasion.json"))),
    ("risks-impact.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-impact.json"))),
    ("risks-notice.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-notice.json"))),
    ("risks-session.toml", include_str!(concat!(env!("OUT_DIR"), "/risks-session.json"))),
];

/// A file that was read but not yet compiled.
struct Source {
    path: PathBuf,
    origin: String,
    text: String,
    file: RulesFile,
}

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
        let mut sources = builtin_sources()?;
        if let Some(recorder) = recorder {
            sources.push(read(Path::new("recorder.toml"), "this session", recorder.to_toml())?);
        }
        for path in paths {
            for file in files_of(path.as_ref())? {
                let text =
                    std::fs::read_to_string(&file).map_err(|source| RulesError::Read { path: file.clone(), source })?;
                sources.push(read(&file, &file.display().to_string(), text)?);
            }
        }
        let mut rules = compile(&sources)?;
        rules.guarded = recorder.map(Guarded::new).unwrap_or_default();
        if paths.is_empty() {
            // Patterns are compiled at their first use; those that are not the user's are checked by tests.
            return Ok(rules);
        }
        rules.places.check().map_err(|message| invalid_places(&sources, message))?;
        if let Some((number, message)) = rules.risks.check().into_iter().next() {
            let rule = rules.risks.rules.get(number);
            let id = rule.map(|rule| rule.entry.id.clone()).unwrap_or_default();
            let origin = rule.map(|rule| rule.origin.clone()).unwrap_or_default();
            let source = sources.iter().rev().find(|source| source.origin == origin);
            return Err(RulesError::Invalid {
                path: source.map(|source| source.path.clone()).unwrap_or_default(),
                line: source.map_or(0, |source| line_of(&source.text, &id)),
                message: format!("rule `{id}` has a regular expression that cannot be used: {message}"),
                hint: Some("look-around and back references are not supported: time must stay linear".to_owned()),
            });
        }
        Ok(rules)
    }

    /// All risk rules, in the order in which they were read.
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
            })
            .collect()
    }

    /// One rule by its name.
    #[must_use]
    pub fn explain(&self, id: &str) -> Option<RuleInfo> {
        self.list().into_iter().find(|rule| rule.id == id)
    }

    /// Compiles everything that is compiled at first use, and says what is wrong.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .risks
            .check()
            .into_iter()
            .map(|(number, message)| {
                let id = self.risks.rules.get(number).map(|rule| rule.entry.id.as_str()).unwrap_or_default();
                format!("rule `{id}`: {message}")
            })
            .collect();
        wrong.extend(self.places.check().err());
        for program in self.knowledge.programs() {
            if let Err(message) = program.check() {
                wrong.push(format!("program `{}`: {message}", program.name));
            }
        }
        wrong
    }

    /// Whether a rule means little by itself, but counts where several come together.
    pub(crate) fn is_weak(&self, id: &str) -> bool {
        self.risks.rules.iter().any(|rule| rule.entry.weak && rule.entry.id == id)
    }

    /// A rule of the session, with what a user's change made of its severity; `None` where it was silenced.
    pub(crate) fn session_rule(
        &self,
        id: &str,
    ) -> Option<(&schema::RuleEntry, capsule_core::Severity, Option<String>)> {
        let rule = self.risks.rules.iter().find(|rule| rule.entry.id == id)?;
        let (severity, adjusted) = rule.changed();
        severity.map(|severity| (&rule.entry, severity, adjusted))
    }

    /// How many programs are known by name.
    #[must_use]
    pub fn programs_known(&self) -> usize {
        self.knowledge.programs().len()
    }
}

fn builtin_sources() -> Result<Vec<Source>, RulesError> {
    BUILTIN.iter().map(|(name, json)| embedded(Path::new(name), json)).collect()
}

/// A file that is part of this program. A mistake in it is found by the tests.
fn embedded(path: &Path, json: &str) -> Result<Source, RulesError> {
    let file = serde_json::from_str(json).map_err(|error| RulesError::Invalid {
        path: path.to_owned(),
        line: 0,
        message: error.to_string(),
        hint: None,
    })?;
    Ok(Source { path: path.to_owned(), origin: "built in".to_owned(), text: String::new(), file })
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, RulesError> {
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

fn read(path: &Path, origin: &str, text: String) -> Result<Source, RulesError> {
    match toml::from_str::<RulesFile>(&text) {
        Ok(file) => {
            if let Some(schema) = file.schema.filter(|schema| *schema != 1) {
                return Err(RulesError::Invalid {
                    path: path.to_owned(),
                    line: line_of(&text, "schema"),
                    message: format!("schema {schema} is not known"),
                    hint: Some("this version reads schema 1".to_owned()),
                });
            }
            Ok(Source { path: path.to_owned(), origin: origin.to_owned(), text, file })
        }
        Err(error) => {
            let line = error
                .span()
                .map(|span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1)
                .unwrap_or_default();
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            let hint = if message.contains("unknown field") {
                Some("`capsule rules explain` shows a rule with all its fields; names are in kebab-case".to_owned())
            } else if message.contains("missing field") {
                Some("every [[rule]] needs id, title, why, category, severity and match".to_owned())
            } else {
                None
            };
            Err(RulesError::Invalid { path: path.to_owned(), line, message, hint })
        }
    }
}

/// The line on which `word` is first mentioned.
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(0, |line| line + 1)
}

/// A mistake in a class of paths, which comes from the last file: the others have been read before.
fn invalid_places(sources: &[Source], message: String) -> RulesError {
    let path = sources.last().map(|source| source.path.clone()).unwrap_or_default();
    RulesError::Invalid { path, line: 0, message, hint: None }
}

fn compile(sources: &[Source]) -> Result<Rules, RulesError> {
    let mut rules = Rules::default();
    let (mut paths, mut hosts, mut secret) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        for place in &source.file.path {
            paths.extend(place.is.iter().map(|glob| (place.class.clone(), glob.clone())));
            if place.secret {
                secret.push(place.class.clone());
            }
        }
        for place in &source.file.host {
            hosts.extend(place.is.iter().map(|host| (place.class.clone(), host.clone())));
        }
    }
    let wrong = |source: &Source, word: &str, message: String| RulesError::Invalid {
        path: source.path.clone(),
        line: line_of(&source.text, word),
        message,
        hint: None,
    };
    rules.places = Places::build(&paths, &hosts, &secret).map_err(|message| invalid_places(sources, message))?;
    for source in sources {
        for (name, entry) in &source.file.program {
            rules.knowledge.add(name, entry).map_err(|message| wrong(source, name, message))?;
        }
        for entry in &source.file.list {
            rules.knowledge.add_list(entry).map_err(|message| wrong(source, &entry.names, message))?;
        }
        for entry in &source.file.agent {
            rules.agents.add(entry.clone());
        }
        for entry in &source.file.helper {
            let text = entry.text.as_deref().unwrap_or_default().to_owned();
            rules.agents.add_helper(entry).map_err(|message| wrong(source, &text, message))?;
        }
        for entry in &source.file.rule {
            let id = entry.id.clone();
            rules
                .risks
                .add(entry.clone(), &source.origin, &rules.places)
                .map_err(|message| wrong(source, &id, message))?;
        }
        for change in &source.file.change {
            rules
                .risks
                .change(change, &source.origin, &rules.places)
                .map_err(|message| wrong(source, &change.rule, message))?;
        }
    }
    rules.risks.index();
    Ok(rules)
}
