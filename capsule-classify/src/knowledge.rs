//! What is known about programs: their sub-commands, options, operands, what work they do, and how they start others.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use capsule_core::{Label, Workflow};
use regex::Regex;

use crate::rules::schema::{ListEntry, ProgramEntry, WrapperEntry};

/// What a program's operand is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    Read,
    Write,
    Append,
    Delete,
    List,
    Move,
    Run,
    Url,
    Nothing,
}

impl Operand {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "read" => Self::Read,
            "write" => Self::Write,
            "append" => Self::Append,
            "delete" => Self::Delete,
            "list" => Self::List,
            "move" => Self::Move,
            "run" => Self::Run,
            "url" => Self::Url,
            "nothing" => Self::Nothing,
            other => return Err(format!("unknown operand role `{other}`")),
        })
    }
}

/// A workflow, or the knowledge that there is none.
pub(crate) type Work = Option<Workflow>;

/// Short and long names of workflows.
pub(crate) fn work_named(name: &str) -> Result<Work, String> {
    Ok(Some(match name {
        "sec" => Workflow::SecurityOperation,
        "code" => Workflow::CodeGeneration,
        "repo" => Workflow::RepositoryOperation,
        "net" => Workflow::NetworkCommunication,
        "file" => Workflow::FileAnalysis,
        "sys" => Workflow::SystemExploration,
        "none" => return Ok(None),
        other => {
            return Workflow::from_name(other)
                .map(Some)
                .ok_or_else(|| format!("unknown workflow `{other}`; known are sec, code, repo, net, file, sys, none"));
        }
    }))
}

/// Which workflow is the weightiest of several.
pub(crate) const fn weight(work: Work) -> u8 {
    match work {
        Some(Workflow::SecurityOperation) => 6,
        Some(Workflow::CodeGeneration) => 5,
        Some(Workflow::RepositoryOperation) => 4,
        Some(Workflow::NetworkCommunication) => 3,
        Some(Workflow::FileAnalysis) => 2,
        Some(Workflow::SystemExploration) => 1,
        None => 0,
    }
}

/// One program.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) label: Option<Label>,
    pub(crate) work: Work,
    pub(crate) valued: HashSet<String>,
    subs: HashMap<String, Work>,
    when: Vec<(String, OnceLock<Option<Regex>>, Work)>,
    pub(crate) operands: Option<Operand>,
    pub(crate) skip: usize,
    pub(crate) last: Option<Operand>,
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
    pub(crate) filter: bool,
    pub(crate) plumbing: bool,
    pub(crate) answers: Vec<i32>,
    pub(crate) wrappers: Vec<WrapperEntry>,
    pub(crate) language: Option<String>,
    pub(crate) code: Vec<String>,
}

impl Program {
    fn compile(name: &str, entry: &ProgramEntry) -> Result<Self, String> {
        let mut subs = HashMap::new();
        for (work, names) in &entry.subs {
            let work = work_named(work)?;
            for name in names.split_whitespace() {
                subs.insert(name.replace(':', " "), work);
            }
        }
        let operand = |name: &Option<String>| name.as_deref().map(Operand::named).transpose();
        let mut when = Vec::new();
        for one in &entry.when {
            when.push((one.args.replace("\\s", "[ \\x01\\n\\t]"), OnceLock::new(), work_named(&one.workflow)?));
        }
        Ok(Self {
            name: name.to_owned(),
            label: match entry.label.as_deref() {
                None => None,
                Some(label) => Some(Label::from_name(label).ok_or_else(|| format!("unknown label `{label}`"))?),
            },
            work: entry.workflow.as_deref().map_or(Ok(None), work_named)?,
            valued: entry.valued.iter().cloned().collect(),
            subs,
            when,
            operands: operand(&entry.operands)?,
            skip: entry.skip,
            last: operand(&entry.last)?,
            reads: entry.reads.clone(),
            writes: entry.writes.clone(),
            filter: entry.filter,
            plumbing: entry.plumbing,
            answers: entry.answers.clone(),
            wrappers: entry.wrapper.clone(),
            language: entry.language.clone(),
            code: entry.code.clone(),
        })
    }

    fn of_list(name: &str, entry: &ListEntry) -> Result<Self, String> {
        Self::compile(
            name,
            &ProgramEntry {
                label: entry.label.clone(),
                workflow: entry.workflow.clone(),
                operands: entry.operands.clone(),
                skip: entry.skip,
                filter: entry.filter,
                plumbing: entry.plumbing,
                answers: entry.answers.clone(),
                ..ProgramEntry::default()
            },
        )
    }

    /// Whether anything but the name decides its workflow.
    pub(crate) fn has_subs(&self) -> bool {
        !self.subs.is_empty()
    }

    /// The workflow with these arguments: `args` as rules see them, `operands` without options.
    pub(crate) fn work(&self, args: impl FnOnce() -> String, operands: &[&str]) -> Work {
        if !self.when.is_empty() {
            let args = args();
            for (source, compiled, work) in &self.when {
                let regex = compiled.get_or_init(|| Regex::new(source).ok());
                if regex.as_ref().is_some_and(|regex| regex.is_match(&args)) {
                    return *work;
                }
            }
        }
        if !self.subs.is_empty()
            && let Some(first) = operands.first()
        {
            if let Some(second) = operands.get(1) {
                let mut two = String::with_capacity(first.len() + second.len() + 1);
                two.push_str(first);
                two.push(' ');
                two.push_str(second);
                if let Some(work) = self.subs.get(&two) {
                    return *work;
                }
            }
            if let Some(work) = self.subs.get(*first) {
                return *work;
            }
        }
        self.work
    }

    /// The first of its conditions that is no regular expression, and why.
    pub(crate) fn check(&self) -> Result<(), (usize, String)> {
        for (index, (source, ..)) in self.when.iter().enumerate() {
            Regex::new(source).map_err(|error| (index, crate::risk::in_one_line(&error)))?;
        }
        Ok(())
    }
}

/// All programs, by every name they have.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    programs: Vec<Program>,
    /// Every name; true: a program's own, which an alias or a list does not take away.
    names: HashMap<String, (usize, bool)>,
}

impl Knowledge {
    pub(crate) fn add(&mut self, name: &str, entry: &ProgramEntry) -> Result<(), String> {
        let program = Program::compile(name, entry)?;
        let number = self.programs.len();
        self.names.insert(name.to_owned(), (number, true));
        for alias in &entry.names {
            self.alias(alias, number);
        }
        self.programs.push(program);
        Ok(())
    }

    pub(crate) fn add_list(&mut self, entry: &ListEntry) -> Result<(), String> {
        for name in entry.names.split_whitespace() {
            let number = self.programs.len();
            self.programs.push(Program::of_list(name, entry)?);
            self.alias(name, number);
        }
        Ok(())
    }

    fn alias(&mut self, name: &str, number: usize) {
        if !self.names.get(name).is_some_and(|(_, own)| *own) {
            self.names.insert(name.to_owned(), (number, false));
        }
    }

    /// The program called `name`, exactly.
    pub(crate) fn get(&self, name: &str) -> Option<&Program> {
        self.names.get(name).and_then(|(number, _)| self.programs.get(*number))
    }

    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }
}

/// The plain name of a program: without directory, extension and version (`/usr/bin/python3.11` → `python3.11`, then
/// `python` where only that is known).
pub(crate) fn plain_name(path: &str) -> &str {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let name = name.strip_prefix('-').filter(|rest| !rest.is_empty()).unwrap_or(name);
    for extension in [".exe", ".cmd", ".bat"] {
        if let Some(stem) = name.strip_suffix(extension).filter(|stem| !stem.is_empty()) {
            return stem;
        }
    }
    name
}

/// `name` without a trailing version: `gcc-12`, `python3.11`, `clang++-15`, `x86_64-linux-gnu-gcc-12`.
pub(crate) fn without_version(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let stem = if stem.len() < name.len() { stem.strip_suffix('-').unwrap_or(stem) } else { stem };
    if stem.is_empty() { name } else { stem }
}
