//! Reading a directory of Sigma rules: what can be used is, and for everything else about Linux processes it is said why not.

use std::path::{Path, PathBuf};

use capsule_core::Severity;
use rsigma_parser::{Detection, Level, SigmaRule, Status, parse_sigma_yaml};

use super::process::FIELDS;
use super::{Entry, Sigma};
use crate::rules::{Rules, RulesError};

/// No rule needs more.
const MOST_BYTES: u64 = 1 << 20;
/// How deep directories may lie in each other.
const DEEP: u32 = 32;

/// What became of a directory of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigmaReport {
    /// How many rules are in use.
    pub loaded: usize,
    /// How many are about something else: another system, another kind of log.
    pub elsewhere: usize,
    /// Rules about Linux processes, and files, that could not be used.
    pub skipped: Vec<SkippedRule>,
}

/// A rule that is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRule {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 where it cannot be told.
    pub line: usize,
    /// Why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Rules {
    /// Adds the Sigma rules in `path`: a file, or the `*.yml` of a directory and of those below.
    ///
    /// # Errors
    /// When the directory or a file in it cannot be read. A rule that cannot be used is in the report, and no error.
    pub fn add_sigma(&mut self, path: &Path) -> Result<SigmaReport, RulesError> {
        let mut report = SigmaReport::default();
        let mut files = Vec::new();
        find(path, DEEP, &mut files)?;
        files.sort();
        let sigma = self.sigma.get_or_insert_with(Box::default);
        let mut rules = Vec::new();
        for file in files {
            read(sigma, &file, &mut rules, &mut report)?;
        }
        for (index, error) in sigma.engine.add_rules(rules.iter().map(|(_, _, rule)| rule)) {
            let Some((path, line, rule)) = rules.get(index) else { continue };
            let id = rule.id.clone().unwrap_or_default();
            sigma.known.remove(&id);
            sigma.order.retain(|known| *known != id);
            report.skipped.push(SkippedRule {
                path: path.clone(),
                line: *line,
                message: error.to_string(),
                hint: Some("regular expressions have no look-around: time must stay linear".to_owned()),
            });
        }
        report.loaded =
            rules.iter().filter(|(_, _, rule)| rule.id.as_ref().is_some_and(|id| sigma.known.contains_key(id))).count();
        Ok(report)
    }
}

fn find(path: &Path, deep: u32, files: &mut Vec<PathBuf>) -> Result<(), RulesError> {
    let failed = |source| RulesError::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let path = entry.path();
        let is_rule = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        if kind.is_dir() && deep > 0 {
            find(&path, deep - 1, files)?;
        } else if is_rule && !kind.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn read(
    sigma: &mut Sigma,
    path: &Path,
    rules: &mut Vec<(PathBuf, usize, SigmaRule)>,
    report: &mut SigmaReport,
) -> Result<(), RulesError> {
    let failed = |source| RulesError::Read { path: path.to_owned(), source };
    let mut skip = |line: usize, message: String, hint: Option<&str>| {
        report.skipped.push(SkippedRule { path: path.to_owned(), line, message, hint: hint.map(str::to_owned) });
    };
    if std::fs::metadata(path).map_err(failed)?.len() > MOST_BYTES {
        skip(0, "is larger than 1 MiB".to_owned(), None);
        return Ok(());
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let Ok(text) = String::from_utf8(bytes) else {
        skip(0, "is not UTF-8".to_owned(), None);
        return Ok(());
    };
    let collection = match parse_sigma_yaml(&text) {
        Ok(collection) => collection,
        Err(error) => {
            skip(line_in(&error.to_string()), error.to_string(), None);
            return Ok(());
        }
    };
    for error in &collection.errors {
        let message = error.lines().next().unwrap_or_default().to_owned();
        skip(line_in(error), message, Some("see the Sigma specification for the form of a rule"));
    }
    let others = collection.correlations.len() + collection.filters.len();
    if others > 0 {
        skip(0, format!("has {others} correlations or filters, of which none is used"), None);
    }
    for mut rule in collection.rules {
        let place = &rule.logsource;
        let about_processes = place.category.as_deref() == Some("process_creation") && place.service.is_none();
        if !about_processes || !matches!(place.product.as_deref(), None | Some("linux")) {
            report.elsewhere += 1;
            continue;
        }
        let line = text.lines().position(|line| line.contains(rule.title.as_str())).map_or(0, |line| line + 1);
        let mut skip = |line: usize, message: String, hint: Option<&str>| {
            report.skipped.push(SkippedRule { path: path.to_owned(), line, message, hint: hint.map(str::to_owned) });
        };
        if let Some(status @ (Status::Deprecated | Status::Unsupported)) = rule.status {
            let status = if status == Status::Deprecated { "deprecated" } else { "unsupported" };
            skip(line, format!("\"{}\" says of itself that it is {status}", rule.title), None);
            continue;
        }
        let mut fields = Vec::new();
        rule.detection.named.values().for_each(|detection| names(detection, &mut fields));
        if let Some(unknown) = fields.iter().find(|name| !FIELDS.contains(&name.as_str())) {
            let line = text.lines().position(|line| line.contains(unknown.as_str())).map_or(line, |line| line + 1);
            let message =
                format!("\"{}\" asks for the field {unknown}, which is not known of a process here", rule.title);
            skip(
                line,
                message,
                Some("known are Image, CommandLine, CurrentDirectory, ParentImage, ParentCommandLine, User"),
            );
            continue;
        }
        let id = match &rule.id {
            Some(id) => id.clone(),
            None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        if sigma.known.contains_key(&id) {
            skip(line, format!("there is a rule with the id {id} already"), Some("give one of them another id"));
            continue;
        }
        rule.id = Some(id.clone());
        sigma.known.insert(id.clone(), entry(&rule, path, &text));
        sigma.order.push(id);
        rules.push((path.to_owned(), line, rule));
    }
    Ok(())
}

/// The line that an error of the parser speaks of.
fn line_in(message: &str) -> usize {
    let after = message.split("line ").nth(1).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// The fields that a detection asks for.
fn names(detection: &Detection, out: &mut Vec<String>) {
    match detection {
        Detection::AllOf(items) => out.extend(items.iter().filter_map(|item| item.field.name.clone())),
        Detection::AnyOf(all) | Detection::And(all) => all.iter().for_each(|one| names(one, out)),
        Detection::Keywords(_) => {}
        Detection::ArrayMatch { field, .. } => out.push(field.clone()),
        Detection::Conditional { named, .. } => named.values().for_each(|one| names(one, out)),
    }
}

fn entry(rule: &SigmaRule, path: &Path, text: &str) -> Entry {
    let tags: Vec<String> =
        rule.tags.iter().filter_map(|tag| tag.strip_prefix("attack.")).map(str::to_lowercase).collect();
    let is_technique = |tag: &str| tag.starts_with('t') && tag.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let attack: Vec<String> = tags.iter().filter(|tag| is_technique(tag)).map(|tag| tag.to_uppercase()).collect();
    let first = |text: &Option<String>| text.as_deref().map(|text| crate::summary::one_line(text.trim()));
    Entry {
        title: crate::summary::one_line(&rule.title),
        why: first(&rule.description).unwrap_or_else(|| "A Sigma rule fits.".to_owned()),
        innocent: (!rule.falsepositives.is_empty())
            .then(|| crate::summary::one_line(&rule.falsepositives.join("; ")))
            .filter(|text| !text.eq_ignore_ascii_case("unknown") && !text.eq_ignore_ascii_case("unlikely")),
        category: category(&tags, &attack),
        attack,
        severity: match rule.level {
            None | Some(Level::Low) => Severity::Low,
            Some(Level::Informational) => Severity::Info,
            Some(Level::Medium) => Severity::Medium,
            Some(Level::High) => Severity::High,
            Some(Level::Critical) => Severity::Critical,
        },
        origin: path.display().to_string(),
        written: text.to_owned(),
    }
}

/// The category that a rule's techniques, or else its tactics, come nearest to.
fn category(tags: &[String], attack: &[String]) -> &'static str {
    const TECHNIQUES: &[(&str, &str)] = &[
        ("T1105", "download-execute"),
        ("T1496", "resource-hijacking"),
        ("T1611", "container-escape"),
        ("T1610", "container-escape"),
        ("T1195", "supply-chain"),
        ("T1222", "privilege-change"),
        ("T1548", "privilege-change"),
        ("T1068", "privilege-change"),
        ("T1059", "suspicious-execution"),
    ];
    const TACTICS: &[(&str, &str)] = &[
        ("credential", "credential-access"),
        ("exfiltration", "exfiltration"),
        ("impact", "destructive-action"),
        ("command", "command-and-control"),
        ("lateral", "lateral-movement"),
        ("collection", "collection"),
        ("persistence", "persistence"),
        ("privilege", "privilege-change"),
        ("defense", "defense-evasion"),
        ("stealth", "defense-evasion"),
        ("discovery", "discovery"),
        ("reconnaissance", "discovery"),
    ];
    for (technique, category) in TECHNIQUES {
        if attack.iter().any(|id| id.split('.').next() == Some(technique)) {
            return category;
        }
    }
    // Tactics are written with `_` or `-`, by the year.
    TACTICS
        .iter()
        .find(|(tactic, _)| tags.iter().any(|tag| tag.split(['_', '-']).next() == Some(tactic)))
        .map_or("suspicious-execution", |(_, category)| category)
}
