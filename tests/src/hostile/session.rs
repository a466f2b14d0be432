//! A stored session that somebody else may have written: read, verified, and shown on a terminal.

use std::fs;
use std::path::Path;

use capsule_core::{Outlined, ProcId, SessionId, SessionMetadata, Stage as _, TrackedEvent};
use capsule_io::sign::PublicKey;
use capsule_io::{Overall, Records, SessionReader, Store, VerificationKey, VerifyOptions};
use capsule_report::{Options, Report, TreeBuilder};
use capsule_track::Tracker;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What begins a file in an input of several files; its name and a newline follow.
const BEGINS: &str = "\n== ";
/// The session's name where the input does not say.
const ID: &str = "2024-01-15T14:30:00Z-abc123";
/// The files that an input may have.
const FILES: [&str; 13] = [
    "metadata.json",
    "tree.json",
    "raw.jsonl",
    "events.jsonl",
    "enriched.jsonl",
    "actions.jsonl",
    "risks.jsonl",
    "seals.jsonl",
    "statement.dsse.json",
    "ledger.jsonl",
    "verify.key",
    "public.pem",
    "id",
];

/// The files of an input, the last of each name.
fn files(input: &[u8]) -> impl Fn(&str) -> Option<Vec<u8>> {
    let begins = BEGINS.as_bytes();
    let starts = (0..input.len()).filter(|at| input.get(*at..).is_some_and(|rest| rest.starts_with(begins)));
    let starts: Vec<usize> = starts.collect();
    let ends = starts.iter().skip(1).copied().chain([input.len()]);
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let part = input.get(start + begins.len()..end).unwrap_or_default();
        let Some(line) = part.iter().position(|byte| *byte == b'\n') else { continue };
        let (name, content) = part.split_at(line);
        let name = String::from_utf8_lossy(name).into_owned();
        if FILES.contains(&name.as_str()) {
            found.push((name, content.get(1..).unwrap_or_default().to_vec()));
        }
    }
    move |wanted| found.iter().rev().find(|(name, _)| name == wanted).map(|(_, content)| content.clone())
}

/// One file's bytes as each file of a session that is read record by record.
pub(super) fn reader(input: &[u8]) {
    let Ok(home) = tempfile::tempdir() else { return };
    let path = home.path().join(ID);
    let written = fs::create_dir(&path)
        .and_then(|()| FILES.iter().take(7).try_for_each(|name| fs::write(path.join(name), input)));
    let Ok(session) = SessionReader::at(&path) else {
        assert!(written.is_err(), "the directory has a session's name");
        return;
    };
    drop((session.metadata(), session.tree(), session.state()));
    read(input, session.raw());
    read(input, session.events());
    read(input, session.enriched());
    read(input, session.actions());
    read(input, session.risks());
}

fn read<T: DeserializeOwned + Serialize>(input: &[u8], records: Result<Records<T>, capsule_io::StoreError>) {
    let Ok(mut records) = records else { return };
    let whole = input.iter().filter(|byte| **byte == b'\n').count();
    let mut lines = 0;
    for record in &mut records {
        lines += 1;
        if let Ok(record) = record {
            let text = serde_json::to_vec(&record).unwrap_or_default();
            assert!(serde_json::from_slice::<T>(&text).is_ok(), "what was read can be written and read again");
        }
    }
    assert_eq!(lines, whole, "every whole line is a record or a bad line");
    let torn = records.torn().map_or(0, |torn| torn.bytes);
    let last = input.iter().rev().take_while(|byte| **byte != b'\n').count();
    assert_eq!(torn, last as u64, "the half line is known");
    assert!(records.follow().is_none(), "nothing more comes");
}

/// A session with its ledger and its keys.
pub(super) fn verify(input: &[u8]) {
    let file = files(input);
    let Ok(home) = tempfile::tempdir() else { return };
    let id = file("id").and_then(|id| SessionId::parse(&String::from_utf8_lossy(&id)).ok());
    let Some(id) = id.or_else(|| SessionId::parse(ID).ok()) else { return };
    let path = home.path().join("runs").join(id.as_str());
    if fs::create_dir_all(&path).is_err() {
        return;
    }
    let put = |place: &Path, name: &str| file(name).is_none_or(|content| fs::write(place.join(name), content).is_ok());
    if !(FILES.iter().take(9).all(|name| put(&path, name)) && put(home.path(), "ledger.jsonl")) {
        return;
    }
    let store = Store::at(home.path());
    let Ok(session) = store.session(&id) else { return };
    let text = |name: &str| file(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let (key, signer) =
        (VerificationKey::parse(&text("verify.key")).ok(), PublicKey::from_pem(&text("public.pem")).ok());
    let mut all = vec![VerifyOptions::default(), VerifyOptions::in_store(&store)];
    all.extend(key.as_ref().map(|key| VerifyOptions::in_store(&store).with_key(key)));
    all.extend(signer.as_ref().map(|signer| VerifyOptions::in_store(&store).signed_by(signer)));
    for options in all {
        let Ok(verdict) = capsule_io::verify(&session, &options) else { continue };
        let tampering = verdict.problems.iter().any(|problem| problem.damage.is_tampering());
        assert_eq!(tampering, verdict.overall == Overall::Tampered, "a verdict has its reasons: {verdict:#?}");
        assert_eq!(verdict.problems.is_empty(), verdict.overall == Overall::Whole, "{verdict:#?}");
        let said = verdict.problems.iter().map(ToString::to_string).collect::<String>();
        assert!(!said.chars().any(|c| c.is_control()), "what a verdict says can be printed: {said:?}");
        drop(serde_json::to_string(&verdict));
    }
}

/// A session, shown in every form.
pub(super) fn human(input: &[u8]) {
    let file = files(input);
    let metadata = file("metadata.json").and_then(|bytes| serde_json::from_slice::<SessionMetadata>(&bytes).ok());
    let Some(metadata) = metadata else { return };
    let mut builder = TreeBuilder::new();
    let (mut tracker, mut tracked) = (Tracker::new(), Vec::new());
    for line in file("enriched.jsonl").unwrap_or_default().split(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Outlined>(line) {
            Ok(Outlined(event)) => tracker.feed(&event, &mut tracked),
            Err(error) => builder.unreadable(error.to_string()),
        }
    }
    tracker.finish(&mut tracked);
    tracked.iter().for_each(|event: &TrackedEvent| builder.tracked(event));
    each(file("actions.jsonl"), |action| builder.action(action));
    each(file("risks.jsonl"), |risk| builder.risk(&risk));
    builder.close(metadata.ended);
    let view = builder.finish(metadata);
    let odd = usize::from(input.last().copied().unwrap_or_default());
    let choices = [
        Options { width: 100, ..Options::default() },
        Options { width: odd, all: true, ..Options::default() },
        Options { width: 72, depth: Some(1), max_tokens: odd * 8, proc: Some(ProcId(1)), ..Options::default() },
    ];
    // One at a time: the input's end says which.
    for options in choices.into_iter().skip(odd % 3).take(1) {
        let report = Report::assemble(&view, &options);
        let shown = written(|out| capsule_report::human(&report, &options, out));
        let bad = shown.chars().find(|c| (c.is_control() && *c != '\n') || is_bidi(*c));
        assert_eq!(bad, None, "nothing reaches the terminal but text");
        drop(written(|out| capsule_report::ai(&report, &options, out)));
        drop(written(|out| capsule_report::markdown(&report, &options, out)));
        let page = written(|out| capsule_report::html(&report, &options, out));
        assert!(!page.chars().any(is_bidi), "a page has no bidi marks");
        let json = written(|out| capsule_report::json(&report, out));
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "JSON is JSON");
    }
}

const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

fn each<T: DeserializeOwned>(bytes: Option<Vec<u8>>, mut take: impl FnMut(T)) {
    for line in bytes.unwrap_or_default().split(|byte| *byte == b'\n') {
        if let Ok(record) = serde_json::from_slice::<T>(line) {
            take(record);
        }
    }
}

fn written(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    match write(&mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => panic!("memory refuses nothing: {error}"),
    }
}
