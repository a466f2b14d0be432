//! The risk engine: rules over deeds.
//!
//! A *deed* is one thing that a command does, after quoting, wrappers and pipes have been understood: it runs a program,
//! reads a file, sends something somewhere. Rules never see the text of a script.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::OnceLock;

use capsule_core::Severity;
use regex::Regex;

use crate::flow::Taint;
use crate::place::{Classes, Places};
use crate::rules::schema::{AdjustEntry, ChangeEntry, Condition, RuleEntry};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// A program is run; the object is its name.
    Run,
    /// A file's content is read.
    Read,
    /// A name is looked up, a directory listed.
    List,
    /// A file is made or overwritten.
    Write,
    /// A file gets more content.
    Append,
    /// A file or directory is removed.
    Delete,
    /// A file is moved away.
    Move,
    /// A mode is changed.
    Mode,
    /// An owner is changed.
    Owner,
    /// Another host is talked to.
    Connect,
    /// Something is fetched.
    Download,
    /// Something is sent.
    Upload,
    /// Something that is not an installed program is run: a file, standard input, code.
    Execute,
    /// Inline code does something; the object names it.
    Code,
    /// The script's own shape: a fork bomb, a shell tied to a socket.
    Shape,
}

impl Verb {
    /// Whether its object is a file that is read, listed or changed.
    pub(crate) fn names_file(self) -> bool {
        self.takes() || matches!(self, Self::Write | Self::Append)
    }

    /// Whether it is done to what is there, not to what is made.
    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Read | Self::List | Self::Delete | Self::Move | Self::Mode | Self::Owner)
    }

    pub(crate) const NAMES: &'static [(&'static str, Self)] = &[
        ("run", Self::Run),
        ("read", Self::Read),
        ("list", Self::List),
        ("write", Self::Write),
        ("append", Self::Append),
        ("delete", Self::Delete),
        ("move", Self::Move),
        ("mode", Self::Mode),
        ("owner", Self::Owner),
        ("connect", Self::Connect),
        ("download", Self::Download),
        ("upload", Self::Upload),
        ("execute", Self::Execute),
        ("code", Self::Code),
        ("shape", Self::Shape),
    ];
}

/// Circumstances of a deed.
pub(crate) mod flag {
    pub(crate) const ELEVATED: u32 = 1;
    pub(crate) const REMOTE: u32 = 1 << 1;
    pub(crate) const CONTAINER: u32 = 1 << 2;
    pub(crate) const BACKGROUND: u32 = 1 << 3;
    pub(crate) const RECURSIVE: u32 = 1 << 4;
    pub(crate) const FORCE: u32 = 1 << 5;
    pub(crate) const QUIET: u32 = 1 << 6;
    pub(crate) const DRY: u32 = 1 << 7;
    pub(crate) const SEARCHED: u32 = 1 << 8;
    pub(crate) const EVIDENCE: u32 = 1 << 9;
    pub(crate) const ARCHIVE: u32 = 1 << 10;
    pub(crate) const SCRIPT: u32 = 1 << 11;
    pub(crate) const PIPED: u32 = 1 << 12;
    pub(crate) const TEST: u32 = 1 << 13;
    /// The shell opens the file, for a redirection. Not for rules.
    pub(crate) const BY_SHELL: u32 = 1 << 14;
    pub(crate) const NAMES: &[(&str, u32)] = &[
        ("elevated", ELEVATED),
        ("remote", REMOTE),
        ("container", CONTAINER),
        ("background", BACKGROUND),
        ("recursive", RECURSIVE),
        ("force", FORCE),
        ("quiet", QUIET),
        ("dry", DRY),
        ("searched", SEARCHED),
        ("evidence", EVIDENCE),
        ("archive", ARCHIVE),
        ("script", SCRIPT),
        ("piped", PIPED),
        ("test", TEST),
    ];
}

/// One deed.
pub(crate) struct Deed<'a> {
    pub(crate) verb: Verb,
    /// What it is done to.
    pub(crate) object: &'a str,
    pub(crate) classes: Classes,
    pub(crate) taint: Taint,
    pub(crate) flags: u32,
    pub(crate) program: &'a str,
    /// The program's arguments, separated by blanks; a blank within an argument is U+0001.
    pub(crate) args: &'a dyn Fn() -> String,
    pub(crate) cached_args: OnceCell<String>,
    /// What is written, where it is known.
    pub(crate) content: Option<&'a str>,
}

impl<'a> Deed<'a> {
    fn args(&self) -> &str {
        self.cached_args.get_or_init(|| (self.args)())
    }

    /// Whether a program does it to one file or not at all: a file neither found by a search nor one of many below a
    /// directory, not yet opened, and not by the shell that starts the program.
    fn is_whole(&self) -> bool {
        let searched = self.flags & flag::SEARCHED != 0 && self.program != "grep";
        let not_whole = flag::RECURSIVE | flag::EVIDENCE | flag::BY_SHELL;
        self.verb.names_file() && !searched && self.flags & not_whole == 0 && all_or_nothing(self.program)
    }
}

/// Programs that fail before they have done anything to their one file.
pub(crate) fn all_or_nothing(tool: &str) -> bool {
    const TOOLS: &[&str] = &[
        "base32",
        "base64",
        "bat",
        "cat",
        "chattr",
        "chgrp",
        "chmod",
        "chown",
        "cp",
        "cut",
        "egrep",
        "fgrep",
        "file",
        "grep",
        "head",
        "hexdump",
        "install",
        "less",
        "ln",
        "ls",
        "md5sum",
        "mkdir",
        "more",
        "mv",
        "nl",
        "od",
        "rg",
        "rm",
        "rmdir",
        "sha1sum",
        "sha256sum",
        "sha512sum",
        "sort",
        "stat",
        "strings",
        "tac",
        "tail",
        "tee",
        "touch",
        "truncate",
        "uniq",
        "unlink",
        "wc",
        "xxd",
        "zcat",
        "zgrep",
    ];
    TOOLS.binary_search(&tool).is_ok()
}

/// A rule that a deed fits, with the severity that the circumstances give it.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) severity: Severity,
    pub(crate) subject: String,
    pub(crate) adjusted: Option<String>,
    /// A user's rule raised, lowered or silenced it.
    pub(crate) changed: bool,
    /// A user's rule does not want to hear of it.
    pub(crate) silenced: bool,
    /// It is about one file as a whole, which a program that fails has left alone (`Deed::is_whole`).
    pub(crate) whole: bool,
}

/// A regular expression that is compiled at its first use.
#[derive(Debug)]
struct Pattern {
    /// As it is written in the rule.
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// `\s` and `\S` take the mark for a blank within an argument into account.
    fn new(source: &str) -> Self {
        Self { source: source.to_owned(), compiled: OnceLock::new() }
    }

    fn check(&self) -> Result<(), (String, String)> {
        build(&self.source).map(|_| ()).map_err(|error| (self.source.clone(), in_one_line(&error)))
    }

    fn is_match(&self, text: &str) -> bool {
        crate::effort::spent(text.len());
        self.compiled.get_or_init(|| build(&self.source).ok()).as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// What is wrong with a pattern, without the pattern.
pub(crate) fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn build(source: &str) -> Result<Regex, regex::Error> {
    let source = source.replace("\\s", "[ \\x01\\n\\t]");
    regex::RegexBuilder::new(&source).size_limit(4 << 20).multi_line(false).build()
}

#[derive(Debug, Default)]
struct Test {
    verbs: Vec<Verb>,
    programs: Vec<String>,
    not_programs: Vec<String>,
    args: Option<Pattern>,
    not_args: Option<Pattern>,
    place: Classes,
    not_place: Classes,
    object: Option<Pattern>,
    not_object: Option<Pattern>,
    content: Option<Pattern>,
    not_content: Option<Pattern>,
    taint: Taint,
    not_taint: Taint,
    flags: u32,
    not_flags: u32,
}

fn lookup<T: Copy>(table: &[(&str, T)], names: &[String], what: &str) -> Result<Vec<T>, String> {
    names
        .iter()
        .map(|name| {
            table.iter().find(|(known, _)| known == name).map(|(_, value)| *value).ok_or_else(|| {
                let known: Vec<&str> = table.iter().map(|(known, _)| *known).collect();
                format!("unknown {what} `{name}`; known are {}", known.join(", "))
            })
        })
        .collect()
}

impl Test {
    fn compile(condition: &Condition, places: &Places) -> Result<Self, String> {
        let classes = |names: &[String]| {
            names.iter().try_fold(Classes::default(), |all, name| {
                places.named(name).map(|one| all.and(one)).ok_or_else(|| format!("unknown place `{name}`"))
            })
        };
        let pattern = |source: &Option<String>| source.as_deref().map(Pattern::new);
        let taints = |names: &[String]| {
            lookup(Taint::NAMES, names, "taint").map(|all| all.into_iter().fold(Taint::NONE, Taint::and))
        };
        let flags =
            |names: &[String]| lookup(flag::NAMES, names, "flag").map(|all| all.into_iter().fold(0, |a, b| a | b));
        Ok(Self {
            verbs: lookup(Verb::NAMES, &condition.on, "verb")?,
            programs: condition.program.clone(),
            not_programs: condition.not_program.clone(),
            args: pattern(&condition.args),
            not_args: pattern(&condition.not_args),
            place: classes(&condition.place)?,
            not_place: classes(&condition.not_place)?,
            object: pattern(&condition.object),
            not_object: pattern(&condition.not_object),
            content: pattern(&condition.content),
            not_content: pattern(&condition.not_content),
            taint: taints(&condition.taint)?,
            not_taint: taints(&condition.not_taint)?,
            flags: flags(&condition.flag)?,
            not_flags: flags(&condition.not_flag)?,
        })
    }

    fn check(&self) -> Result<(), (String, String)> {
        [&self.args, &self.not_args, &self.object, &self.not_object, &self.content, &self.not_content]
            .into_iter()
            .flatten()
            .try_for_each(Pattern::check)
    }

    fn holds(&self, deed: &Deed<'_>) -> bool {
        (self.verbs.is_empty() || self.verbs.contains(&deed.verb))
            && (self.programs.is_empty() || self.programs.iter().any(|p| p == deed.program))
            && !self.not_programs.iter().any(|p| p == deed.program)
            && (self.place == Classes::default() || self.place.any(deed.classes))
            && !self.not_place.any(deed.classes)
            && (self.taint == Taint::NONE || self.taint.has(deed.taint))
            && !self.not_taint.has(deed.taint)
            && (self.flags == 0 || self.flags & deed.flags != 0)
            && self.not_flags & deed.flags == 0
            && self.object.as_ref().is_none_or(|p| p.is_match(deed.object))
            && !self.not_object.as_ref().is_some_and(|p| p.is_match(deed.object))
            && self.args.as_ref().is_none_or(|p| p.is_match(deed.args()))
            && !self.not_args.as_ref().is_some_and(|p| p.is_match(deed.args()))
            && self.content.as_ref().is_none_or(|p| deed.content.is_some_and(|content| p.is_match(content)))
            && !self.not_content.as_ref().is_some_and(|p| deed.content.is_some_and(|content| p.is_match(content)))
    }
}

#[derive(Debug)]
struct Adjust {
    test: Test,
    /// It has no condition.
    always: bool,
    /// `None` silences.
    severity: Option<Severity>,
    because: String,
}

impl Adjust {
    /// What it makes of a finding of this severity, in words.
    fn says(&self, before: Option<Severity>) -> String {
        let because = &self.because;
        match (before, self.severity) {
            (Some(before), None) => format!("silenced, was {}, by {because}", before.name()),
            (None, None) => format!("silenced by {because}"),
            (None, Some(now)) => format!("raised to {} by {because}", now.name()),
            (Some(before), Some(now)) => {
                let how = match now.cmp(&before) {
                    Ordering::Greater => "raised",
                    Ordering::Less => "lowered",
                    Ordering::Equal => return format!("left at {} by {because}", now.name()),
                };
                format!("{how} from {} to {} by {because}", before.name(), now.name())
            }
        }
    }
}

/// What users' changes make of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) severity: Severity,
    pub(crate) silenced: bool,
    /// Who changed what, and why.
    pub(crate) adjusted: Option<String>,
}

/// A pattern that is none.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The rule's number.
    pub(crate) rule: usize,
    pub(crate) pattern: String,
    pub(crate) message: String,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) entry: RuleEntry,
    pub(crate) severity: Severity,
    pub(crate) origin: String,
    /// How it is written.
    pub(crate) written: String,
    tests: Vec<Test>,
    adjust: Vec<Adjust>,
    changes: Vec<Adjust>,
}

impl Rule {
    /// Its severity after the users' changes that have no condition.
    pub(crate) fn changed(&self) -> Changed {
        let mut changed = Changed { severity: self.severity, silenced: false, adjusted: None };
        for change in self.changes.iter().filter(|change| change.always) {
            changed.adjusted = Some(change.says(Some(changed.severity)));
            changed.silenced = change.severity.is_none();
            changed.severity = change.severity.unwrap_or(changed.severity);
        }
        changed
    }

    /// What users' rules make of it.
    pub(crate) fn changes_in_words(&self) -> Vec<String> {
        let condition = |change: &Adjust| if change.always { "" } else { "where its condition holds: " };
        self.changes.iter().map(|change| format!("{}{}", condition(change), change.says(Some(self.severity)))).collect()
    }
}

/// All rules, with an index by verb and program.
#[derive(Debug, Default)]
pub(crate) struct RiskRules {
    pub(crate) rules: Vec<Rule>,
    /// Run rules by program.
    by_program: HashMap<String, Vec<(usize, usize)>>,
    /// Others by verb.
    by_verb: HashMap<Verb, Vec<(usize, usize)>>,
}

pub(crate) fn severity(name: &str) -> Result<Option<Severity>, String> {
    match name {
        "off" | "none" => Ok(None),
        name => Severity::from_name(name).map(Some).ok_or_else(|| {
            format!("unknown severity `{name}`; known are info, low, medium, high, critical, and off to silence")
        }),
    }
}

impl RiskRules {
    /// Adds a rule; one of the same id is replaced.
    pub(crate) fn add(&mut self, entry: RuleEntry, origin: &str, written: &str, places: &Places) -> Result<(), String> {
        let tests: Result<Vec<Test>, String> = entry.matches.iter().map(|c| Test::compile(c, places)).collect();
        let adjust: Result<Vec<Adjust>, String> = entry
            .adjust
            .iter()
            .map(|AdjustEntry { condition, severity: level, because }| {
                Ok(Adjust {
                    test: Test::compile(condition, places)?,
                    always: false,
                    severity: severity(level)?,
                    because: because.clone(),
                })
            })
            .collect();
        let level = severity(&entry.severity)?.ok_or("a rule needs a severity; leave it out instead of `off`")?;
        let rule = Rule {
            severity: level,
            origin: origin.to_owned(),
            written: written.to_owned(),
            tests: tests?,
            adjust: adjust?,
            changes: Vec::new(),
            entry,
        };
        match self.rules.iter_mut().find(|known| known.entry.id == rule.entry.id) {
            Some(known) => *known = rule,
            None => self.rules.push(rule),
        }
        Ok(())
    }

    /// Applies the change that `speaker` asks for.
    pub(crate) fn change(&mut self, change: &ChangeEntry, speaker: &str, places: &Places) -> Result<(), String> {
        let level = severity(&change.severity)?;
        let mut found = false;
        let by_category = change.rule.strip_prefix("category:");
        for rule in &mut self.rules {
            if rule.entry.id == change.rule || by_category == Some(rule.entry.category.as_str()) {
                found = true;
                let test = Test::compile(change.condition.as_ref().unwrap_or(&Condition::default()), places)?;
                let because = change.because.clone().unwrap_or_else(|| "no reason given".to_owned());
                let always = change.condition.is_none();
                let because = format!("{speaker}: {because}");
                rule.changes.push(Adjust { test, always, severity: level, because });
            }
        }
        if found { Ok(()) } else { Err(format!("no rule is called `{}`", change.rule)) }
    }

    /// Builds the index; call once everything is added.
    pub(crate) fn index(&mut self) {
        self.by_program.clear();
        self.by_verb.clear();
        for (number, rule) in self.rules.iter().enumerate() {
            for (which, test) in rule.tests.iter().enumerate() {
                if test.verbs == [Verb::Run] && !test.programs.is_empty() {
                    for program in &test.programs {
                        self.by_program.entry(program.clone()).or_default().push((number, which));
                    }
                    continue;
                }
                let all: Vec<Verb> = Verb::NAMES.iter().map(|(_, verb)| *verb).collect();
                let verbs = if test.verbs.is_empty() { &all } else { &test.verbs };
                for verb in verbs {
                    self.by_verb.entry(*verb).or_default().push((number, which));
                }
            }
        }
    }

    /// Compiles every pattern, to find mistakes in rules that were written by hand.
    pub(crate) fn check(&self) -> Vec<Mistake> {
        let mut wrong = Vec::new();
        for (rule, number) in self.rules.iter().zip(0..) {
            let tests = rule.tests.iter().chain(rule.adjust.iter().chain(&rule.changes).map(|adjust| &adjust.test));
            for test in tests {
                if let Err((pattern, message)) = test.check() {
                    wrong.push(Mistake { rule: number, pattern, message });
                }
            }
        }
        wrong
    }

    /// Whether any run rule speaks of `program`.
    pub(crate) fn knows(&self, program: &str) -> bool {
        self.by_program.contains_key(program)
    }

    /// Appends a hit for each rule that the deed fits.
    pub(crate) fn judge(&self, deed: &Deed<'_>, hits: &mut Vec<Hit>) {
        let none = Vec::new();
        let by_verb = self.by_verb.get(&deed.verb).unwrap_or(&none);
        let by_program =
            if deed.verb == Verb::Run { self.by_program.get(deed.program).unwrap_or(&none) } else { &none };
        let mut last = usize::MAX;
        for (number, which) in by_program.iter().chain(by_verb) {
            if *number == last {
                continue;
            }
            let Some(rule) = self.rules.get(*number) else { continue };
            if !rule.tests.get(*which).is_some_and(|test| test.holds(deed)) {
                continue;
            }
            last = *number;
            let mut level = Some(rule.severity);
            let mut adjusted: Option<Cow<'_, str>> = None;
            for adjust in rule.adjust.iter().filter(|adjust| adjust.test.holds(deed)).take(1) {
                level = adjust.severity;
                adjusted = Some(Cow::Borrowed(&adjust.because));
            }
            let (mut changed, mut silenced) = (false, false);
            for change in rule.changes.iter().filter(|change| change.test.holds(deed)) {
                adjusted = Some(Cow::Owned(change.says(level)));
                changed = true;
                silenced = change.severity.is_none();
                level = change.severity.or(level);
            }
            if let Some(severity) = level {
                hits.push(Hit {
                    rule: *number,
                    severity,
                    subject: deed.object.chars().take(200).collect(),
                    adjusted: adjusted.map(Cow::into_owned),
                    changed,
                    silenced,
                    whole: deed.is_whole(),
                });
            }
        }
    }
}
