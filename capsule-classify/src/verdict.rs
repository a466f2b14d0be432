//! What is judged and what the judgement says: the plain data on both sides of [`classify`](crate::classify).

use capsule_core::{Argv, ByteString, Label, Resource, Role, Severity, Workflow};

use crate::rules::schema::RuleEntry;

/// What is known of a process beside its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandContext {
    /// It is the process that `capsule run` started.
    pub root: bool,
    /// The parent's arguments, where known.
    pub parent: Option<Argv>,
    /// Absolute paths that the process itself opened for writing.
    pub writes: Vec<ByteString>,
    /// `host:port` that the process itself connected to.
    pub connects: Vec<ByteString>,
    /// Exit code, once it ended.
    pub exit: Option<i32>,
    /// Effective user id 0, where known.
    pub elevated: bool,
    /// The executable's path, where known: `argv[0]` may be anything.
    pub exe: Option<ByteString>,
    /// The parent's executable, where known.
    pub parent_exe: Option<ByteString>,
    /// The effective user's name, where known.
    pub user: Option<String>,
}

/// One process to be judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The argument vector of the last exec.
    pub argv: Argv,
    /// Working directory, where known.
    pub cwd: Option<ByteString>,
    /// Everything else that is known.
    pub context: CommandContext,
}

/// Something risky about one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// The rule that found it.
    pub rule: String,
    /// How bad.
    pub severity: Severity,
    /// One of the documented categories.
    pub category: String,
    /// A short name for people.
    pub title: String,
    /// In plain words: what was done and why it matters.
    pub why: String,
    /// The deed that it rests on: a path, a URL, a command. Redacted and on one line.
    pub subject: String,
    /// ATT&CK technique ids (the version is [`ATTACK_VERSION`](crate::ATTACK_VERSION)).
    pub attack: Vec<String>,
    /// What an innocent explanation would be.
    pub innocent: Option<String>,
    /// What changed the severity: a context, a user's rule.
    pub adjusted: Option<String>,
    /// It was a user's rule.
    pub changed: bool,
    /// It is about single files as wholes: a program that fails has left its file alone.
    pub whole: bool,
    /// How many different things it rests on.
    pub subjects: usize,
}

impl Risk {
    /// Why it matters, with what it is about and what a user's rule changed.
    pub(crate) fn in_words(&self) -> String {
        let mut why = self.why.clone();
        // Programs that rules name in parentheses (`(agent)`) are nobody's words, and `-` (standard input) says nothing.
        if !self.subject.is_empty() && !self.subject.starts_with('(') && self.subject != "-" {
            why.push_str(&format!(" ({})", self.subject));
        }
        if let Some(adjusted) = self.adjusted.as_deref().filter(|_| self.changed) {
            why.push_str(&format!(" It was {adjusted}."));
        }
        why
    }
}

/// A finding that a user's rule silenced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silenced {
    /// The rule that found it.
    pub rule: String,
    /// How bad it would have been.
    pub severity: Severity,
    /// Its category.
    pub category: String,
    /// A short name for people.
    pub title: String,
    /// ATT&CK technique ids.
    pub attack: Vec<String>,
    /// Who silenced it, and why.
    pub because: String,
}

impl Silenced {
    /// What the rule would have found, and what a user's rule says against it.
    pub(crate) fn by(rule: &RuleEntry, severity: Severity, because: Option<String>) -> Self {
        Self {
            rule: rule.id.clone(),
            severity,
            category: rule.category.clone(),
            title: rule.title.clone(),
            attack: rule.attack.clone(),
            because: because.unwrap_or_default(),
        }
    }
}

/// The judgement on one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub label: Label,
    /// What kind of work it does, if any.
    pub workflow: Option<Workflow>,
    /// Why it exists, as far as its own arguments and its parent's tell.
    pub role: Role,
    /// The program's plain name, or the agent's.
    pub tool: String,
    /// What was asked, with wrappers taken away, in one line of at most 400 bytes.
    pub summary: String,
    /// What it used, by its arguments.
    pub resources: Vec<Resource>,
    /// The rule that labelled it.
    pub rule: String,
    /// What is risky, the worst first.
    pub risks: Vec<Risk>,
    /// What users' rules did not want to hear of.
    pub silenced: Vec<Silenced>,
    /// Exit codes beside 0 that are answers, not failures (`grep`'s 1).
    pub answers: Vec<i32>,
    /// What matters for what comes later in the session.
    pub(crate) facts: Facts,
}

/// What a process did that matters for what comes later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Files that came over the network from places that are not widely trusted.
    pub(crate) fetched: Vec<String>,
    /// Files that it wrote by its arguments.
    pub(crate) written: Vec<String>,
    /// Files that it ran, its own executable included.
    pub(crate) ran: Vec<String>,
    /// It read credentials.
    pub(crate) secret: bool,
    /// It sent something to a host outside.
    pub(crate) sent: bool,
    /// It takes one file at most, and makes one at most.
    pub(crate) few: bool,
    /// A known agent by its name.
    pub(crate) known_agent: bool,
    /// A known agent's probe, if one of those started it.
    pub(crate) helper: bool,
    /// A shell with visible text, or another pass-through launcher.
    pub(crate) wraps: bool,
}

impl Verdict {
    /// The worst finding's severity.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.risks.iter().map(|risk| risk.severity).max()
    }

    /// Whether ending with `code` is a success of this program.
    #[must_use]
    pub fn is_success(&self, code: i32) -> bool {
        code == 0 || self.answers.contains(&code)
    }
}
