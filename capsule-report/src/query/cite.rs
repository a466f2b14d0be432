//! Citations in a text: which records it rests on, and whether there are such records.

use super::process;
use crate::model::Report;

/// What kind of record a citation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// A process: `proc:N`.
    Proc,
    /// A record of `enriched.jsonl`: `event:N`.
    Event,
    /// A record of `risks.jsonl`: `risk:N`.
    Risk,
}

/// A record that a text cites.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Citation {
    /// The session, where the text names one: `ID#proc:N`.
    pub session: Option<String>,
    /// What kind of record.
    pub kind: RecordKind,
    /// Its number; `None` where the digits are no number that a record can have.
    pub number: Option<u64>,
    /// As written.
    pub text: String,
}

/// The citations of a text, each once, in order of appearance.
#[must_use]
pub fn citations(text: &str) -> Vec<Citation> {
    let kinds = [("proc:", RecordKind::Proc), ("event:", RecordKind::Event), ("risk:", RecordKind::Risk)];
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '#' | '-' | '_');
    let mut found: Vec<Citation> = Vec::new();
    for part in text.split(|c| !word(c)) {
        let (session, rest) = match part.rsplit_once('#') {
            Some((session, rest)) if !session.is_empty() => (Some(session.to_owned()), rest),
            _ => (None, part),
        };
        let Some((kind, digits)) = kinds.iter().find_map(|(name, kind)| Some((*kind, rest.strip_prefix(name)?))) else {
            continue;
        };
        // `proc:3-7` cites its first and its last.
        for digits in digits.split('-') {
            let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
            if digits.is_empty() {
                continue;
            }
            let name = kinds.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
            let text = match &session {
                Some(session) => format!("{session}#{name}{digits}"),
                None => format!("{name}{digits}"),
            };
            let citation = Citation { session: session.clone(), kind, number: digits.parse().ok(), text };
            if !found.contains(&citation) {
                found.push(citation);
            }
        }
    }
    found
}

impl Report {
    /// Whether the session has the record that is cited.
    #[must_use]
    pub fn has(&self, citation: &Citation) -> bool {
        let Some(number) = citation.number else { return false };
        match citation.kind {
            RecordKind::Proc => u32::try_from(number).is_ok_and(|proc| process(self, proc).is_some()),
            RecordKind::Event => (1..=self.totals.events).contains(&number),
            RecordKind::Risk => self.risk.items.iter().any(|item| item.seq == number || item.seqs.contains(&number)),
        }
    }
}
