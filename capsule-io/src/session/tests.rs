use capsule_core::SessionStatus;

use super::*;
use crate::fixture::{Home, write};
use crate::{Overall, SessionState};

#[test]
fn metadata_begins_incomplete_and_ends_sealed() {
    let home = Home::new();
    let (session, mut metadata) = home.begin(1);
    let id = session.id().clone();
    assert_eq!(home.store.session(&id).unwrap().metadata().unwrap().status, SessionStatus::Incomplete);
    let ends = write(&session, 4);
    metadata.status = SessionStatus::Complete;
    let sealed = session.seal(metadata, ends, &ProcessTree::default()).unwrap();
    let bytes = std::fs::read_to_string(home.path(&id, METADATA)).unwrap();
    assert!(bytes.ends_with(&format!(",\"seal\":\"{}\"}}\n", sealed.seal())), "{bytes}");
    let read = home.store.session(&id).unwrap().metadata().unwrap();
    assert_eq!(read.status, SessionStatus::Complete);
    assert_eq!(read.streams[&StreamName::Events].records, 4);
}

#[test]
fn a_stream_that_did_not_end_leaves_the_session_unsealed() {
    let home = Home::new();
    let (session, metadata) = home.begin(1);
    let id = session.id().clone();
    let mut ends = write(&session, 2);
    ends.pop();
    assert!(matches!(
        session.seal(metadata, ends, &ProcessTree::default()),
        Err(StoreError::StreamNotEnded { stream: StreamName::Actions })
    ));
    assert_eq!(home.store.session(&id).unwrap().state(), SessionState::Unsealed);
    assert_eq!(home.verdict(&id).overall, Overall::Unsealed);
}

#[test]
fn an_abandoned_session_says_what_failed_and_is_not_sealed() {
    let home = Home::new();
    let (session, mut metadata) = home.begin(1);
    let id = session.id().clone();
    write(&session, 2);
    metadata.status = SessionStatus::Failed { stage: "track".to_owned(), reason: "panicked".to_owned() };
    session.abandon(&metadata).unwrap();
    assert_eq!(home.store.session(&id).unwrap().metadata().unwrap().status, metadata.status);
    assert_eq!(home.verdict(&id).overall, Overall::Unsealed);
}

#[test]
fn snapshots_of_the_tree_leave_nothing_beside_it() {
    let home = Home::new();
    let (session, _) = home.begin(1);
    let mut tree = session.tree_writer();
    tree.snapshot(ProcessTree::default()).unwrap();
    tree.snapshot(ProcessTree::default()).unwrap();
    assert_eq!(home.store.session(session.id()).unwrap().tree().unwrap(), ProcessTree::default());
    let names: Vec<_> = std::fs::read_dir(session.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with('.')), "{names:?}");
}

#[test]
fn a_clock_that_was_stepped_back_breaks_nothing() {
    let home = Home::new();
    let later = home.sealed(9, 1);
    let (session, mut metadata) = home.begin(1);
    let ends = write(&session, 1);
    metadata.ended = Some(Timestamp(metadata.started.0 - 3_600_000_000_000));
    let id = session.seal(metadata, ends, &ProcessTree::default()).unwrap().id().clone();
    assert_eq!(home.verdict(&id).overall, Overall::Whole);
    assert_eq!(home.verdict(&later).overall, Overall::Whole);
}
