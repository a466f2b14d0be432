//! Risk: findings with equal ones joined, and the level with its reasons.

use std::collections::HashMap;

use capsule_core::{ByteString, RiskEvent, Severity};

use super::clean::Cleaner;
use super::index::Index;
use crate::model::{Risk, RiskItem};
use crate::words;

/// How many records a joined finding names.
const NAMED: usize = 16;
/// How many reasons the level gives.
const REASONS: usize = 5;
/// How many columns of what a finding is about the headline gives.
const ABOUT: usize = 80;

pub(super) fn risk(findings: &[RiskEvent], index: &Index<'_>, cleaner: &Cleaner, classified: bool) -> Risk {
    let mut at: HashMap<(&str, &str, Severity, ByteString), usize> = HashMap::new();
    let mut items: Vec<RiskItem> = Vec::new();
    for finding in findings {
        let node = index.index_of(finding.proc).and_then(|at| index.node(at));
        let subject = node.map(|node| node.summary.clone()).unwrap_or_default();
        let key = (finding.rule.as_str(), finding.title.as_str(), finding.severity, subject.clone());
        if let Some(item) = at.get(&key).and_then(|at| items.get_mut(*at)) {
            item.count = item.count.saturating_add(1);
            if item.seqs.len() < NAMED {
                item.seqs.push(finding.seq.0);
                item.procs.push(finding.proc.0);
                item.events.extend(finding.evidence.events.iter().map(|event| event.0).take(2));
            }
            continue;
        }
        at.insert(key, items.len());
        let mut procs: Vec<u32> = vec![finding.proc.0];
        procs.extend(
            finding.evidence.procs.iter().map(|proc| proc.0).filter(|proc| *proc != finding.proc.0).take(NAMED),
        );
        items.push(RiskItem {
            seq: finding.seq.0,
            severity: finding.severity,
            category: finding.category.clone(),
            rule: finding.rule.clone(),
            title: finding.title.clone(),
            why: cleaner.bytes(&ByteString::from(finding.why.as_str())),
            subject: cleaner.bytes(&subject),
            attack: finding.attack.clone(),
            proc: finding.proc.0,
            pid: finding.pid.0,
            procs,
            events: finding.evidence.events.iter().map(|event| event.0).take(NAMED).collect(),
            innocent: finding.innocent.clone(),
            adjusted: finding.adjusted.clone(),
            rank: 0,
            of_rule: 0,
            count: 1,
            seqs: vec![finding.seq.0],
        });
    }
    items.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.seq.cmp(&b.seq)));
    let mut rules: HashMap<String, (u64, u64)> = HashMap::new();
    for item in &mut items {
        let (listed, found) = rules.entry(item.rule.clone()).or_default();
        item.rank = *listed;
        *listed = listed.saturating_add(1);
        *found = found.saturating_add(item.count);
    }
    for item in &mut items {
        item.of_rule = rules.get(&item.rule).map_or(0, |(_, found)| *found);
    }
    let worst = items.first().map(|item| item.severity);
    Risk { worst, level: level(worst, classified), reasons: reasons(&items, index, classified), items }
}

/// The level of the whole session: nothing found is low, not none, because rules do not know everything.
fn level(worst: Option<Severity>, classified: bool) -> String {
    match worst {
        Some(severity) => severity.max(Severity::Low).name().to_uppercase(),
        None if classified => "LOW".to_owned(),
        None => "NOT ASSESSED".to_owned(),
    }
}

/// What users' rules silenced: not shown among the findings, but never unsaid.
fn silenced(items: &[RiskItem]) -> Vec<String> {
    let told = |item: &&RiskItem| item.adjusted.as_deref().is_some_and(|how| how.starts_with("silenced"));
    let said =
        |item: &RiskItem| format!("{} ({}): {}", item.title, item.rule, item.adjusted.as_deref().unwrap_or_default());
    items.iter().filter(told).take(REASONS).map(said).collect()
}

/// What the worst finding is about (a path, a host), as its explanation names it in brackets at its end.
pub(super) fn about(item: &RiskItem) -> Option<String> {
    let why = item.why.to_lossy();
    let (_, deed) = why.strip_suffix(')')?.rsplit_once(". (")?;
    let says = !deed.starts_with('(') && deed.contains(['/', '.', ':', '~']);
    says.then(|| crate::text::fit(deed, ABOUT))
}

fn reasons(items: &[RiskItem], index: &Index<'_>, classified: bool) -> Vec<String> {
    if items.is_empty() {
        let seen = words::count(index.preorder.len() as u64, "process", "processes");
        return vec![if classified {
            format!("no rule found anything risky in {seen}")
        } else {
            format!("nothing was classified: {seen} without a verdict")
        }];
    }
    let mut reasons = silenced(items);
    let counts: Vec<String> = Severity::ALL
        .iter()
        .rev()
        .filter_map(|severity| {
            let n: u64 = items.iter().filter(|item| item.severity == *severity).map(|item| item.count).sum();
            (n > 0).then(|| format!("{} {severity}", words::number(n)))
        })
        .collect();
    reasons.push(format!("findings: {}", counts.join(", ")));
    let worst = items.first().map(|item| item.severity);
    let mut titles: Vec<&str> = Vec::new();
    for item in items.iter().filter(|item| Some(item.severity) == worst) {
        if !titles.contains(&item.title.as_str()) && titles.len() < REASONS {
            titles.push(&item.title);
            reasons.push(match item.count {
                1 => format!("{} (process {})", item.title, item.proc),
                n => format!("{} (process {} and {} more)", item.title, item.proc, words::number(n.saturating_sub(1))),
            });
        }
    }
    reasons
}
