//! Tests of rules: commands, and what is to be said of them, in a file of one's own.

use std::path::{Path, PathBuf};

use capsule_core::{Argv, ByteString, Label, Severity, Workflow};
use serde::Deserialize;
use toml::Spanned;

use super::files::not_toml;
use super::locate::{line_at, line_of, nearest};
use super::{Rules, RulesError};
use crate::judge::classify;
use crate::verdict::{CommandContext, Input, Risk, Verdict};

/// Where a command is said to run when nothing else is said.
const DIRECTORY: &str = "/home/dev/project";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    schema: Option<u32>,
    #[serde(default)]
    test: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    argv: Option<Vec<String>>,
    #[serde(default)]
    cwd: Option<String>,
    #[serde(default)]
    parent: Option<Vec<String>>,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    connects: Vec<String>,
    #[serde(default)]
    exit: Option<i32>,
    #[serde(default)]
    root: bool,
    #[serde(default)]
    elevated: bool,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    workflow: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    at_least: Option<String>,
    #[serde(default)]
    at_most: Option<String>,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    without: Vec<String>,
}

/// One command with what is to be said of it.
#[derive(Debug)]
struct Expectation {
    line: usize,
    name: String,
    input: Input,
    label: Option<Label>,
    workflow: Option<Option<Workflow>>,
    least: Option<Severity>,
    /// `Some(None)`: nothing at all.
    most: Option<Option<Severity>>,
    /// A rule or category, with its severity where that is said.
    findings: Vec<(String, Option<Severity>)>,
    without: Vec<String>,
}

/// A test that did not come out as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// The line of its `[[test]]`, from 1.
    pub line: usize,
    /// Its name, or the command.
    pub name: String,
    /// What was expected and what came, a sentence each.
    pub wrong: Vec<String>,
}

/// A file of tests.
#[derive(Debug)]
pub struct Expectations {
    path: PathBuf,
    all: Vec<Expectation>,
}

impl Expectations {
    /// Reads a file of `[[test]]` tables. The names of rules in it are looked up in `rules`.
    ///
    /// # Errors
    /// When the file cannot be read or is not of that form, when a test expects nothing, and when it names a rule,
    /// severity, label or workflow that there is not.
    pub fn read(path: &Path, rules: &Rules) -> Result<Self, RulesError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| RulesError::Read { path: path.to_owned(), source })?;
        let file: File = toml::from_str(&text).map_err(|error| not_toml(path, &text, &error))?;
        let wrong = |start: usize, word: &str, message: String, hint: Option<String>| RulesError::Invalid {
            path: path.to_owned(),
            line: line_of(&text, start, word),
            message,
            hint,
        };
        if let Some(other) = file.schema.filter(|schema| *schema != 1) {
            let hint = Some("this version reads schema 1".to_owned());
            return Err(wrong(0, "schema", format!("schema {other} is not known"), hint));
        }
        let known = Known::of(rules);
        let mut all = Vec::with_capacity(file.test.len());
        for entry in file.test {
            let start = entry.span().start;
            let line = line_at(&text, start);
            all.push(
                Expectation::of(entry.into_inner(), line, &known)
                    .map_err(|mistake| wrong(start, &mistake.word, mistake.message, mistake.hint))?,
            );
        }
        Ok(Self { path: path.to_owned(), all })
    }

    /// How many tests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Judges every command, and says which tests do not come out as written.
    #[must_use]
    pub fn check(&self, rules: &Rules) -> Vec<Failure> {
        self.all
            .iter()
            .filter_map(|test| {
                let wrong = test.compare(&classify(rules, &test.input));
                let failure = || Failure {
                    path: self.path.clone(),
                    line: test.line,
                    name: test.name.clone(),
                    wrong: wrong.clone(),
                };
                (!wrong.is_empty()).then(failure)
            })
            .collect()
    }
}

/// What a test may name.
struct Known {
    names: Vec<String>,
}

impl Known {
    fn of(rules: &Rules) -> Self {
        let mut names: Vec<String> = rules.list().into_iter().flat_map(|rule| [rule.id, rule.category]).collect();
        names.sort_unstable();
        names.dedup();
        Self { names }
    }
}

struct Mistake {
    word: String,
    message: String,
    hint: Option<String>,
}

fn severity_named(name: &str) -> Result<Option<Severity>, Mistake> {
    match name {
        "none" => Ok(None),
        name => Severity::from_name(name).map(Some).ok_or_else(|| Mistake {
            word: name.to_owned(),
            message: format!("unknown severity `{name}`"),
            hint: Some("none, info, low, medium, high or critical".to_owned()),
        }),
    }
}

impl Expectation {
    fn of(entry: Entry, line: usize, known: &Known) -> Result<Self, Mistake> {
        let fault = |word: &str, message: String, hint: &str| Mistake {
            word: word.to_owned(),
            message,
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        };
        let (argv, shown) = match (&entry.command, &entry.argv) {
            (Some(command), None) => (Argv::from_iter(["bash", "-c", command]), command.clone()),
            (None, Some(argv)) => (Argv::from_iter(argv), argv.join(" ")),
            _ => {
                let message = "a test has either `command` or `argv`".to_owned();
                return Err(fault("", message, "command is given to a shell; argv is a list of arguments"));
            }
        };
        let label =
            match entry.label.as_deref() {
                None => None,
                Some(name) => Some(Label::from_name(name).ok_or_else(|| {
                    fault(name, format!("unknown label `{name}`"), "Agent, Tool, SystemTool or Unknown")
                })?),
            };
        let workflow = match entry.workflow.as_deref() {
            None => None,
            Some("none") => Some(None),
            Some(name) => Some(Some(Workflow::from_name(name).ok_or_else(|| {
                let all: Vec<&str> = Workflow::ALL.iter().map(|work| work.name()).collect();
                fault(name, format!("unknown workflow `{name}`"), &format!("none, {}", all.join(", ")))
            })?)),
        };
        let exact = entry.severity.as_deref().map(severity_named).transpose()?;
        let least = entry.at_least.as_deref().map(severity_named).transpose()?.flatten();
        let most = entry.at_most.as_deref().map(severity_named).transpose()?;
        let look_up = |name: &str| {
            if known.names.iter().any(|known| known == name) {
                return Ok(());
            }
            let hint = nearest(name, known.names.iter().map(String::as_str));
            let hint = hint.unwrap_or_else(|| "`capsule rules list` shows rules and categories".to_owned());
            Err(fault(name, format!("there is no rule or category `{name}`"), &hint))
        };
        let mut findings = Vec::new();
        for finding in &entry.findings {
            let (name, severity) = match finding.split_once('=') {
                Some((name, severity)) => (name.trim(), severity_named(severity.trim())?),
                None => (finding.as_str(), None),
            };
            look_up(name)?;
            findings.push((name.to_owned(), severity));
        }
        entry.without.iter().try_for_each(|name| look_up(name))?;
        let says_something = label.is_some()
            || workflow.is_some()
            || exact.is_some()
            || least.is_some()
            || most.is_some()
            || !findings.is_empty()
            || !entry.without.is_empty();
        if !says_something {
            let hint = "say label, workflow, severity, at-least, at-most, findings or without";
            return Err(fault("", "this test cannot fail: it expects nothing".to_owned(), hint));
        }
        let bytes = |all: &[String]| all.iter().map(|one| ByteString::from(one.as_str())).collect();
        let context = CommandContext {
            root: entry.root,
            parent: entry.parent.as_ref().map(Argv::from_iter),
            writes: bytes(&entry.writes),
            connects: bytes(&entry.connects),
            exit: entry.exit,
            elevated: entry.elevated,
            ..CommandContext::default()
        };
        let cwd = Some(ByteString::from(entry.cwd.as_deref().unwrap_or(DIRECTORY)));
        Ok(Self {
            line,
            name: entry.name.unwrap_or(shown),
            input: Input { argv, cwd, context },
            label,
            workflow,
            least: exact.flatten().or(least),
            most: exact.or(most),
            findings,
            without: entry.without,
        })
    }

    fn compare(&self, verdict: &Verdict) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(label) = self.label.filter(|label| *label != verdict.label) {
            wrong.push(format!("label {} expected, {} came", label.name(), verdict.label.name()));
        }
        let work = |work: Option<Workflow>| work.map_or("none", Workflow::name);
        if let Some(expected) = self.workflow.filter(|expected| *expected != verdict.workflow) {
            wrong.push(format!("workflow {} expected, {} came", work(expected), work(verdict.workflow)));
        }
        let worst = verdict.worst();
        let name = |severity: Option<Severity>| severity.map_or("none", Severity::name);
        if let Some(least) = self.least.filter(|least| worst < Some(*least)) {
            wrong.push(format!("severity {} or worse expected, {} came{}", least.name(), name(worst), came(verdict)));
        }
        if let Some(most) = self.most.filter(|most| worst > *most) {
            wrong.push(format!("severity {} at most expected, {} came{}", name(most), name(worst), came(verdict)));
        }
        for (wanted, severity) in &self.findings {
            let found: Vec<&Risk> = verdict.risks.iter().filter(|risk| is(risk, wanted)).collect();
            match (found.first(), severity) {
                (None, _) => wrong.push(format!("a finding of {wanted} expected{}", came(verdict))),
                (Some(first), Some(severity)) if !found.iter().any(|risk| risk.severity == *severity) => {
                    wrong.push(format!("{wanted} expected at {}, {} came", severity.name(), first.severity.name()));
                }
                _ => {}
            }
        }
        for unwanted in &self.without {
            if let Some(risk) = verdict.risks.iter().find(|risk| is(risk, unwanted)) {
                wrong.push(format!("no finding of {unwanted} expected, {} ({}) came", risk.rule, risk.severity.name()));
            }
        }
        wrong
    }
}

fn is(risk: &Risk, name: &str) -> bool {
    risk.rule == name || risk.category == name
}

/// What came, for those who expected something else.
fn came(verdict: &Verdict) -> String {
    let mut all: Vec<String> =
        verdict.risks.iter().take(6).map(|risk| format!("{} ({})", risk.rule, risk.severity.name())).collect();
    all.extend(verdict.silenced.iter().take(3).map(|risk| format!("{} ({})", risk.rule, risk.because)));
    if all.is_empty() { "; nothing was found".to_owned() } else { format!("; found: {}", all.join(", ")) }
}
