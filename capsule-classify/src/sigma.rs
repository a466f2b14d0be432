//! Sigma rules about processes on Linux, as they are published, beside the project's own.
//!
//! [rsigma](https://docs.rs/rsigma-eval) reads and evaluates them; here is what a process is to such a rule, and what a match
//! is to Capsule: one finding for each deed, whoever found it.

mod load;
mod process;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use capsule_core::Severity;
use rsigma_eval::Engine;

use crate::rules::{RuleInfo, Rules};
use crate::verdict::{Input, Risk, Silenced};
pub use load::{SigmaReport, SkippedRule};
use process::Process;

/// What findings of Sigma rules are called: this, and the rule's id.
const PREFIX: &str = "sigma:";

/// The rules, compiled.
#[derive(Default)]
pub(crate) struct Sigma {
    engine: Engine,
    /// By id.
    known: HashMap<String, Entry>,
    /// Their ids, in the order in which they were read.
    order: Vec<String>,
}

impl fmt::Debug for Sigma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sigma").field("rules", &self.order).finish_non_exhaustive()
    }
}

/// What is said of a rule.
#[derive(Debug)]
struct Entry {
    title: String,
    why: String,
    innocent: Option<String>,
    category: &'static str,
    attack: Vec<String>,
    severity: Severity,
    /// The file.
    origin: String,
    written: String,
}

impl Sigma {
    /// The rules that fit a process, in the order in which they were read.
    fn matching(&self, input: &Input) -> Vec<(&str, &Entry)> {
        let mut found: Vec<String> = Vec::new();
        for process in Process::of(input) {
            for matched in self.engine.evaluate(&process) {
                let id = matched.header.rule_id.unwrap_or_default();
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
        self.order
            .iter()
            .filter(|id| found.contains(id))
            .filter_map(|id| self.known.get(id).map(|entry| (id.as_str(), entry)))
            .collect()
    }

    /// The file of a rule, by what its findings are called.
    pub(crate) fn written(&self, id: &str) -> Option<&str> {
        self.known.get(id.strip_prefix(PREFIX)?).map(|entry| entry.written.as_str())
    }

    /// The rules, as listed for people.
    pub(crate) fn list<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = RuleInfo> + 'a {
        self.order.iter().filter_map(move |id| {
            let entry = self.known.get(id)?;
            let changes = rules.sigma_changes.iter().filter(|(changed, ..)| changed == id);
            Some(RuleInfo {
                id: format!("{PREFIX}{id}"),
                title: entry.title.clone(),
                category: entry.category.to_owned(),
                severity: entry.severity,
                why: entry.why.clone(),
                innocent: entry.innocent.clone(),
                attack: entry.attack.clone(),
                adjust: Vec::new(),
                origin: entry.origin.clone(),
                changes: changes.map(|(_, to, because)| says(entry.severity, *to, because)).collect(),
            })
        })
    }
}

/// What a user's change makes of a rule, in words.
fn says(from: Severity, to: Option<Severity>, because: &str) -> String {
    match to {
        None => format!("silenced, was {}, by {because}", from.name()),
        Some(to) => format!("set from {} to {} by {because}", from.name(), to.name()),
    }
}

/// Adds what Sigma rules find. Where one of Capsule's own findings is about the same deed (the same category, or the same
/// ATT&CK technique), there is one of the two: the more severe, which names the other.
pub(crate) fn add(rules: &Rules, input: &Input, risks: &mut Vec<Risk>, silenced: &mut Vec<Silenced>) {
    let Some(sigma) = &rules.sigma else { return };
    for (id, entry) in sigma.matching(input) {
        let change = rules.sigma_changes.iter().rev().find(|(changed, ..)| changed == id);
        let (severity, adjusted) = match change {
            None => (entry.severity, None),
            Some((_, Some(to), because)) => (*to, Some(says(entry.severity, Some(*to), because))),
            Some((_, None, because)) => {
                silenced.push(Silenced {
                    rule: format!("{PREFIX}{id}"),
                    severity: entry.severity,
                    category: entry.category.to_owned(),
                    title: entry.title.clone(),
                    attack: entry.attack.clone(),
                    because: says(entry.severity, None, because),
                });
                continue;
            }
        };
        let mut found = Risk {
            rule: format!("{PREFIX}{id}"),
            severity,
            category: entry.category.to_owned(),
            title: entry.title.clone(),
            why: entry.why.clone(),
            subject: crate::summary::one_line(&joined(input)),
            attack: entry.attack.clone(),
            innocent: entry.innocent.clone(),
            changed: adjusted.is_some(),
            adjusted,
            whole: false,
            subjects: 1,
        };
        match risks.iter_mut().find(|risk| is_same_deed(risk, entry)) {
            Some(own) if own.severity >= severity => {
                own.why.push_str(&format!(" The Sigma rule \"{}\" ({id}) found it as well.", entry.title));
            }
            Some(own) => {
                found.why.push_str(&format!(" Capsule's rule {} found it as well, at {}.", own.rule, own.severity));
                found.attack.extend(own.attack.iter().filter(|id| !entry.attack.contains(id)).cloned());
                *own = found;
            }
            None => risks.push(found),
        }
    }
    risks.sort_by_key(|risk| std::cmp::Reverse(risk.severity));
}

fn is_same_deed(own: &Risk, entry: &Entry) -> bool {
    let parent = |id: &str| id.split('.').next().unwrap_or_default().to_owned();
    own.category == entry.category
        || own.attack.iter().any(|mine| entry.attack.iter().any(|theirs| parent(mine) == parent(theirs)))
}

/// The beginning of the command line.
fn joined(input: &Input) -> String {
    let mut out = String::new();
    for arg in input.argv.iter() {
        if out.len() > 400 {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let arg: Cow<'_, str> = String::from_utf8_lossy(arg.get(..400).unwrap_or(arg));
        out.push_str(&arg);
    }
    out
}

#[cfg(test)]
mod tests;
