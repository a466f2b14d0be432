//! The JSON lines form of [`classify`]: what `capsule classify` reads and prints.

use capsule_core::{Argv, ByteString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::judge::classify;
use crate::rules::Rules;
use crate::verdict::{CommandContext, Input, Verdict};

/// One item to be judged, as read.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// Any JSON value; it comes back in the answer.
    #[serde(default)]
    pub id: Value,
    /// The argument vector.
    #[serde(default)]
    pub argv: Argv,
    /// Working directory.
    #[serde(default)]
    pub cwd: Option<ByteString>,
    /// What else is known.
    #[serde(default)]
    pub context: RequestContext,
}

/// The optional `context` of a [`Request`].
#[derive(Debug, Default, Deserialize)]
pub struct RequestContext {
    /// It is the process that `capsule run` started.
    #[serde(default)]
    pub root: bool,
    /// The parent's arguments.
    #[serde(default)]
    pub parent: Option<Argv>,
    /// Paths written.
    #[serde(default)]
    pub writes: Vec<ByteString>,
    /// `host:port` connected to.
    #[serde(default)]
    pub connects: Vec<ByteString>,
    /// Exit code.
    #[serde(default)]
    pub exit: Option<i32>,
    /// The executable's path.
    #[serde(default)]
    pub exe: Option<ByteString>,
    /// The parent's executable.
    #[serde(default)]
    pub parent_exe: Option<ByteString>,
    /// The user's name.
    #[serde(default)]
    pub user: Option<String>,
}

/// One verdict, as printed.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    /// The item's id.
    pub id: &'a Value,
    /// Agent, Tool, SystemTool or Unknown.
    pub label: &'static str,
    /// The workflow, or null.
    pub workflow: Option<&'static str>,
    /// The program's plain name, or the agent's.
    pub tool: &'a str,
    /// What was asked, in one line.
    pub summary: &'a str,
    /// The rule that labelled it.
    pub rule: &'a str,
    /// Findings, the worst first.
    pub risks: Vec<AnswerRisk<'a>>,
    /// Rules whose finding a user's rule silenced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<AnswerSilenced<'a>>,
}

/// A finding that is not shown.
#[derive(Debug, Serialize)]
pub struct AnswerSilenced<'a> {
    /// The rule.
    pub rule: &'a str,
    /// Who silenced it, and why.
    pub because: &'a str,
}

/// One finding of an [`Answer`].
#[derive(Debug, Serialize)]
pub struct AnswerRisk<'a> {
    /// The category (`credential-access`, …).
    pub id: &'a str,
    /// info, low, medium, high or critical.
    pub severity: &'static str,
    /// The rule.
    pub rule: &'a str,
    /// ATT&CK technique ids.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub attack: &'a [String],
    /// What it rests on.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subject: &'a str,
    /// What changed the severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<&'a str>,
}

impl From<Request> for Input {
    fn from(request: Request) -> Self {
        let context = request.context;
        Self {
            argv: request.argv,
            cwd: request.cwd.filter(|cwd| !cwd.as_bytes().is_empty()),
            context: CommandContext {
                root: context.root,
                parent: context.parent,
                writes: context.writes,
                connects: context.connects,
                exit: context.exit,
                elevated: false,
                exe: context.exe,
                parent_exe: context.parent_exe,
                user: context.user,
            },
        }
    }
}

/// The answer to one line; `None` for an empty one.
///
/// # Errors
/// When the line is not a JSON object of the documented form.
pub fn answer(rules: &Rules, line: &str) -> Result<Option<String>, serde_json::Error> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let mut request: Request = serde_json::from_str(line)?;
    let id = std::mem::take(&mut request.id);
    let verdict = classify(rules, &Input::from(request));
    serde_json::to_string(&answer_of(&id, &verdict)).map(Some)
}

fn answer_of<'a>(id: &'a Value, verdict: &'a Verdict) -> Answer<'a> {
    Answer {
        id,
        label: verdict.label.name(),
        workflow: verdict.workflow.map(capsule_core::Workflow::name),
        tool: &verdict.tool,
        summary: &verdict.summary,
        rule: &verdict.rule,
        risks: verdict
            .risks
            .iter()
            .map(|risk| AnswerRisk {
                id: &risk.category,
                severity: risk.severity.name(),
                rule: &risk.rule,
                attack: &risk.attack,
                subject: &risk.subject,
                adjusted: risk.adjusted.as_deref(),
            })
            .collect(),
        silenced: verdict
            .silenced
            .iter()
            .map(|silenced| AnswerSilenced { rule: &silenced.rule, because: &silenced.because })
            .collect(),
    }
}
