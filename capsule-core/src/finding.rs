//! What a process was for, and what was risky about it. Every verdict names the rule that gave it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Pid, ProcId, Seq};
use crate::text::ByteString;
use crate::time::Timestamp;

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in records, rules and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The variant with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named_enum! {
    /// What a process is.
    Label {
        /// Runs an AI agent's loop.
        Agent = "Agent",
        /// Does work: every program that is none of the others, known or not.
        Tool = "Tool",
        /// A shell, a pass-through launcher, or a service of the operating system.
        SystemTool = "SystemTool",
        /// Nothing to judge by.
        Unknown = "Unknown",
    }
}

named_enum! {
    /// What kind of work a process does for its agent.
    Workflow {
        /// Reads, searches, compares or measures the content of files.
        FileAnalysis = "FileAnalysis",
        /// Talks to another host or service.
        NetworkCommunication = "NetworkCommunication",
        /// Writes or edits authored text.
        CodeGeneration = "CodeGeneration",
        /// Version control and forges.
        RepositoryOperation = "RepositoryOperation",
        /// Lists directories or inspects the system.
        SystemExploration = "SystemExploration",
        /// Credentials, permissions, security controls, scans.
        SecurityOperation = "SecurityOperation",
    }
}

named_enum! {
    /// How much a finding asks for attention.
    Severity {
        /// Worth a line in a full listing.
        Info = "info",
        /// Dual use, within ordinary bounds.
        Low = "low",
        /// Outside ordinary development: look at it afterwards.
        Medium = "medium",
        /// A strong sign of compromise, or harm that cannot be undone: look at it now.
        High = "high",
        /// All but certain attack or catastrophe.
        Critical = "critical",
    }
}

named_enum! {
    /// Why a process exists, seen from the agent.
    Role {
        /// Runs the agent itself.
        Agent = "agent",
        /// Does what the agent was asked to do.
        Asked = "asked",
        /// Wraps or launches what was asked: the agent's own shell wrapping, pass-through launchers.
        Wrapper = "wrapper",
        /// The agent started it for itself: probes, snapshots, version checks.
        Helper = "helper",
        /// A program's inner process: a compiler's passes, a hook's filter.
        Inner = "inner",
    }
}

named_enum! {
    /// Whether an action may still change.
    ActionPhase {
        /// Said at exec; the process lives.
        Provisional = "provisional",
        /// Said at the end of the process, or of the session.
        Final = "final",
    }
}

named_enum! {
    /// What kind of thing a process used.
    ResourceKind {
        /// A file or directory.
        Path = "path",
        /// A URL.
        Url = "url",
        /// A host, with a port where known.
        Host = "host",
        /// A package.
        Package = "package",
        /// A repository or branch.
        Repository = "repository",
    }
}

/// Something that a process used, by its arguments or its effects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// What kind of thing.
    pub kind: ResourceKind,
    /// Its name.
    pub value: ByteString,
}

/// What a process was for. The last action with the highest phase of a process is the one that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionEvent {
    /// Ordinal in `actions.jsonl`.
    pub seq: Seq,
    /// When.
    pub timestamp: Timestamp,
    /// Whose.
    pub proc: ProcId,
    /// Its pid.
    pub pid: Pid,
    /// The event that gave rise to it (`enriched.jsonl`).
    pub event: Seq,
    /// Whether it may still change.
    pub phase: ActionPhase,
    /// What the process is.
    pub label: Label,
    /// What kind of work it does, if any.
    pub workflow: Option<Workflow>,
    /// Why it exists.
    pub role: Role,
    /// The program's plain name (`git`, `python3`), or the agent's (`claude`).
    pub tool: ByteString,
    /// What was asked, with wrappers taken away, in one line of at most 400 bytes.
    pub summary: ByteString,
    /// What it used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Nanoseconds from the process's first sight to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    /// Whether it ended well: exit code 0, or a code that means "no match" for tools where that is an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// The rule that decided.
    pub rule: String,
}

/// What a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Processes, the one that did it first.
    pub procs: Vec<ProcId>,
    /// Records of `enriched.jsonl`.
    pub events: Vec<Seq>,
}

/// Something risky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskEvent {
    /// Ordinal in `risks.jsonl`.
    pub seq: Seq,
    /// When.
    pub timestamp: Timestamp,
    /// Who did it.
    pub proc: ProcId,
    /// Its pid.
    pub pid: Pid,
    /// How bad.
    pub severity: Severity,
    /// One of the documented categories (`credential-access`, …).
    pub category: String,
    /// The rule that found it.
    pub rule: String,
    /// A short name for people.
    pub title: String,
    /// In plain words: what was done and why it matters.
    pub why: String,
    /// ATT&CK technique ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    /// What it rests on.
    pub evidence: Evidence,
    /// What an innocent explanation would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub innocent: Option<String>,
    /// What changed the severity: a user's rule, a context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjusted: Option<String>,
    /// The earlier finding that this one puts right: what it warned of was tried, and did not come about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<Seq>,
}

/// What the classifier says.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// What a process was for.
    Action(Box<ActionEvent>),
    /// What was risky.
    Risk(Box<RiskEvent>),
}
