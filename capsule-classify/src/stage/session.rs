//! What only several processes together show. Everything kept here is bounded.

use std::collections::{HashMap, HashSet};

use capsule_core::{Evidence, ProcId, Seq, TrackedEvent};

use crate::verdict::Verdict;

/// How many files are remembered of each kind.
const FILES: usize = 2048;
/// How many readers of credentials are remembered.
const READERS: usize = 16;
/// How many different weak signs make one finding.
const WEAK: usize = 4;

/// What is remembered of the session.
#[derive(Debug, Default)]
pub(super) struct Session {
    fetched: HashMap<String, (ProcId, Seq)>,
    written: HashMap<String, (ProcId, Seq)>,
    /// Who read credentials.
    secret: Vec<(ProcId, Seq)>,
    said: HashSet<String>,
    weak: Vec<(String, ProcId, Seq)>,
    weak_said: bool,
}

/// A finding about several processes.
pub(super) struct Found {
    pub(super) rule: String,
    pub(super) detail: Option<String>,
    pub(super) evidence: Evidence,
}

impl Session {
    /// Takes one process into account.
    pub(super) fn follow(&mut self, proc: ProcId, event: &TrackedEvent, verdict: &Verdict) -> Vec<Found> {
        let seq = event.event().seq;
        let facts = &verdict.facts;
        let mut found = Vec::new();
        let related = |other: ProcId| other == proc || event.lineage.contains(&other);
        for path in &facts.ran {
            let (rule, earlier) = match (self.fetched.get(path), self.written.get(path)) {
                (Some(earlier), _) => ("session.download-run", *earlier),
                (None, Some(earlier)) => ("session.written-run", *earlier),
                (None, None) => continue,
            };
            let key = format!("{rule} {path}");
            if related(earlier.0) || self.said.contains(&key) {
                continue;
            }
            if self.said.len() < FILES {
                self.said.insert(key);
            }
            found.push(Found {
                rule: rule.to_owned(),
                detail: Some(path.clone()),
                evidence: Evidence { procs: vec![proc, earlier.0], events: vec![seq, earlier.1] },
            });
        }
        if facts.sent
            && let Some((reader, at)) = self.secret.iter().copied().find(|(reader, _)| !related(*reader))
        {
            self.secret.clear();
            found.push(Found {
                rule: "session.credential-then-send".to_owned(),
                detail: None,
                evidence: Evidence { procs: vec![proc, reader], events: vec![seq, at] },
            });
        }
        for (paths, kept) in [(&facts.fetched, &mut self.fetched), (&facts.written, &mut self.written)] {
            for path in paths {
                if kept.len() < FILES {
                    kept.entry(path.clone()).or_insert((proc, seq));
                }
            }
        }
        if facts.secret && !facts.sent {
            if self.secret.len() >= READERS {
                self.secret.remove(0);
            }
            self.secret.push((proc, seq));
        }
        found
    }

    /// This process, it turns out, read no credentials.
    pub(super) fn unread(&mut self, proc: ProcId) {
        self.secret.retain(|(reader, _)| *reader != proc);
    }

    /// Counts weak signs; the evidence, once enough different ones came together.
    pub(super) fn weak_sign<'a>(
        &mut self,
        proc: ProcId,
        seq: Seq,
        rules: impl Iterator<Item = &'a str>,
    ) -> Option<Evidence> {
        for rule in rules {
            if !self.weak_said && !self.weak.iter().any(|(known, ..)| known == rule) {
                self.weak.push((rule.to_owned(), proc, seq));
            }
        }
        if self.weak_said || self.weak.len() < WEAK {
            return None;
        }
        self.weak_said = true;
        let weak = std::mem::take(&mut self.weak);
        let mut procs: Vec<ProcId> = weak.iter().map(|(_, proc, _)| *proc).collect();
        procs.dedup();
        Some(Evidence { procs, events: weak.iter().map(|(.., seq)| *seq).collect() })
    }
}
