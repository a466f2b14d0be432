//! Rules over tracked processes: what each one is (label), what work it does (workflow), why it exists (role), and what
//! is risky about it.
//!
//! [`classify`] is the pure function behind everything; [`Classifier`] is the stage that feeds it from a session and adds
//! what only a whole session can show. Both read their knowledge from [`Rules`]: TOML data, embedded and overridable.

mod agent;
mod effort;
mod eval;
mod flow;
pub mod jsonl;
mod judge;
mod knowledge;
mod place;
mod recorder;
mod risk;
mod rules;
mod shell;
mod sigma;
mod stage;
mod summary;
mod verdict;

pub use judge::classify;
pub use recorder::Recorder;
pub use rules::{Expectations, Failure, Origin, RuleFile, RuleInfo, Rules, RulesError};
pub use sigma::{SigmaReport, SkippedRule};
pub use stage::Classifier;
pub use verdict::{CommandContext, Input, Risk, Silenced, Verdict};

/// The version of MITRE ATT&CK that technique ids are given in.
pub const ATTACK_VERSION: &str = "17";
