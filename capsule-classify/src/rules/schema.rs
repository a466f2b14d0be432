//! The shape of a rules file.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A rules file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RulesFile {
    /// Version of the shape; 1.
    #[serde(default)]
    pub(crate) schema: Option<u32>,
    /// Programs by name.
    #[serde(default)]
    pub(crate) program: BTreeMap<String, ProgramEntry>,
    /// Many programs of one kind.
    #[serde(default)]
    pub(crate) list: Vec<ListEntry>,
    /// AI agents.
    #[serde(default)]
    pub(crate) agent: Vec<AgentEntry>,
    /// What agents start for themselves.
    #[serde(default)]
    pub(crate) helper: Vec<HelperEntry>,
    /// Classes of paths.
    #[serde(default)]
    pub(crate) path: Vec<PlaceEntry>,
    /// Classes of hosts.
    #[serde(default)]
    pub(crate) host: Vec<PlaceEntry>,
    /// Risk rules.
    #[serde(default)]
    pub(crate) rule: Vec<RuleEntry>,
    /// Changes to rules of earlier files.
    #[serde(default)]
    pub(crate) change: Vec<ChangeEntry>,
}

/// One program.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ProgramEntry {
    #[serde(default)]
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) label: Option<String>,
    #[serde(default)]
    pub(crate) workflow: Option<String>,
    /// Options that take their value from the next argument.
    #[serde(default)]
    pub(crate) valued: Vec<String>,
    /// Workflow to sub-commands, separated by blanks; `a:b` is `a` followed by `b`.
    #[serde(default)]
    pub(crate) subs: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) when: Vec<WhenEntry>,
    /// What its operands are: read, write, delete, list, run.
    #[serde(default)]
    pub(crate) operands: Option<String>,
    /// How many operands come before those.
    #[serde(default)]
    pub(crate) skip: usize,
    /// What the last operand is, where it differs.
    #[serde(default)]
    pub(crate) last: Option<String>,
    /// Options whose values are files that are read.
    #[serde(default)]
    pub(crate) reads: Vec<String>,
    /// Options whose values are files that are written.
    #[serde(default)]
    pub(crate) writes: Vec<String>,
    /// It passes its input on, changed or not.
    #[serde(default)]
    pub(crate) filter: bool,
    /// It does not count beside other commands.
    #[serde(default)]
    pub(crate) plumbing: bool,
    /// Exit codes beside 0 that are answers.
    #[serde(default)]
    pub(crate) answers: Vec<i32>,
    #[serde(default)]
    pub(crate) wrapper: Vec<WrapperEntry>,
    /// The language of the code that it runs.
    #[serde(default)]
    pub(crate) language: Option<String>,
    /// Options that are followed by code.
    #[serde(default)]
    pub(crate) code: Vec<String>,
}

/// Many programs at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ListEntry {
    pub(crate) names: String,
    #[serde(default)]
    pub(crate) label: Option<String>,
    #[serde(default)]
    pub(crate) workflow: Option<String>,
    #[serde(default)]
    pub(crate) operands: Option<String>,
    #[serde(default)]
    pub(crate) skip: usize,
    #[serde(default)]
    pub(crate) filter: bool,
    #[serde(default)]
    pub(crate) plumbing: bool,
    #[serde(default)]
    pub(crate) answers: Vec<i32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WhenEntry {
    pub(crate) args: String,
    pub(crate) workflow: String,
}

/// How a program starts another.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct WrapperEntry {
    /// Only behind this sub-command (`a:b` for two).
    #[serde(default)]
    pub(crate) sub: Option<String>,
    /// Further options with values behind the sub-command.
    #[serde(default)]
    pub(crate) valued: Vec<String>,
    /// Operands before the command.
    #[serde(default)]
    pub(crate) skip: usize,
    /// `NAME=VALUE` words come before the command.
    #[serde(default)]
    pub(crate) assigns: bool,
    /// Options followed by the command as shell text.
    #[serde(default)]
    pub(crate) shell: Vec<String>,
    /// The command's words are joined and given to a shell.
    #[serde(default)]
    pub(crate) joined: bool,
    /// Each operand is a command as shell text.
    #[serde(default)]
    pub(crate) each: bool,
    /// Only what follows `--`.
    #[serde(default)]
    pub(crate) dashes: bool,
    #[serde(default)]
    pub(crate) elevated: bool,
    #[serde(default)]
    pub(crate) remote: bool,
    #[serde(default)]
    pub(crate) container: bool,
    /// What is inside counts for risks, not for the workflow.
    #[serde(default)]
    pub(crate) hides: bool,
    /// The workflow where there is no command.
    #[serde(default)]
    pub(crate) alone: Option<String>,
    /// The workflow where there is one, instead of the command's own.
    #[serde(default)]
    pub(crate) keeps: Option<String>,
}

/// An AI agent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AgentEntry {
    pub(crate) name: String,
    /// Names of its executable.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// Names of its executable that others have as well: an agent only with one of `modes`.
    #[serde(default)]
    pub(crate) ambiguous: Vec<String>,
    /// Packages (npm, PyPI) and Python modules.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// Parts of a script's or executable's path.
    #[serde(default)]
    pub(crate) paths: Vec<String>,
    /// First words that run the agent, where not everything else does.
    #[serde(default)]
    pub(crate) modes: Vec<String>,
    /// First words that do something else (login, update, configuration), beside the usual ones.
    #[serde(default)]
    pub(crate) other: Vec<String>,
    /// First words that are the agent after all, though usually they are something else.
    #[serde(default)]
    pub(crate) runs: Vec<String>,
    /// Without any argument it is not the agent.
    #[serde(default)]
    pub(crate) needs_mode: bool,
    #[serde(default)]
    pub(crate) valued: Vec<String>,
}

/// Something that agents start for themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HelperEntry {
    /// Any program where empty.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// A regular expression for the shell text, or the arguments.
    #[serde(default)]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PlaceEntry {
    pub(crate) class: String,
    pub(crate) is: Vec<String>,
    /// Reading it is a SecurityOperation.
    #[serde(default)]
    pub(crate) secret: bool,
}

/// A risk rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleEntry {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) innocent: Option<String>,
    pub(crate) category: String,
    #[serde(default)]
    pub(crate) attack: Vec<String>,
    pub(crate) severity: String,
    #[serde(rename = "match")]
    pub(crate) matches: Vec<Condition>,
    #[serde(default)]
    pub(crate) adjust: Vec<AdjustEntry>,
    /// Little by itself, but it counts where several such are found in one session.
    #[serde(default)]
    pub(crate) weak: bool,
}

/// What a deed must be like. All that is given must hold; of a list, one.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Condition {
    #[serde(default)]
    pub(crate) on: Vec<String>,
    #[serde(default)]
    pub(crate) program: Vec<String>,
    #[serde(default)]
    pub(crate) not_program: Vec<String>,
    #[serde(default)]
    pub(crate) args: Option<String>,
    #[serde(default)]
    pub(crate) not_args: Option<String>,
    #[serde(default)]
    pub(crate) place: Vec<String>,
    #[serde(default)]
    pub(crate) not_place: Vec<String>,
    #[serde(default)]
    pub(crate) object: Option<String>,
    #[serde(default)]
    pub(crate) not_object: Option<String>,
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) not_content: Option<String>,
    #[serde(default)]
    pub(crate) taint: Vec<String>,
    #[serde(default)]
    pub(crate) not_taint: Vec<String>,
    #[serde(default)]
    pub(crate) flag: Vec<String>,
    #[serde(default)]
    pub(crate) not_flag: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AdjustEntry {
    #[serde(rename = "if")]
    pub(crate) condition: Condition,
    pub(crate) severity: String,
    pub(crate) because: String,
}

/// A user's change to a rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ChangeEntry {
    /// The rule's id, or a category with `category:NAME`.
    pub(crate) rule: String,
    /// The new severity, or `off`.
    pub(crate) severity: String,
    #[serde(rename = "if", default)]
    pub(crate) condition: Option<Condition>,
    #[serde(default)]
    pub(crate) because: Option<String>,
}
