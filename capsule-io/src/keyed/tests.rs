use std::fs;

use super::*;
use crate::fixture::{Home, write};
use crate::key::generate;
use crate::layout::SEALS;
use crate::{Overall, VerifyOptions, verify};

fn lines(home: &Home, id: &SessionId) -> usize {
    fs::read(home.path(id, SEALS)).unwrap().iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn an_idle_session_is_sealed_once_and_not_again() {
    let home = Home::new();
    let (mut session, metadata) = home.begin(1);
    let id = session.id().clone();
    let key = generate().unwrap().0.take(&id);
    session.seal_with_key(key, Duration::from_millis(1), &metadata).unwrap();
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(lines(&home, &id), 1);
}

#[test]
fn seals_deleted_while_the_session_runs_are_restored() {
    let home = Home::new();
    let (mut sealing, verification) = generate().unwrap();
    let (mut session, metadata) = home.begin(1);
    let id = session.id().clone();
    session.seal_with_key(sealing.take(&id), Duration::from_secs(60), &metadata).unwrap();
    fs::remove_file(home.path(&id, SEALS)).unwrap();
    let ends = write(&session, 3);
    session.seal(metadata, ends, &capsule_core::ProcessTree::default()).unwrap();
    let session = home.store.session(&id).unwrap();
    let verdict = verify(&session, &VerifyOptions::in_store(&home.store).with_key(&verification)).unwrap();
    assert_eq!(verdict.overall, Overall::Whole, "{verdict:#?}");
    assert_eq!(lines(&home, &id), 2, "the first and the last");
}

#[test]
fn a_label_that_is_none_is_not_read_as_one() {
    assert_eq!(read_label("capsule.keyed.v1:12:abc"), Some((12, "abc")));
    for bad in ["", "capsule.keyed.v1", "capsule.keyed.v1:x:abc", "capsule.keyed.v2:1:abc", "capsule.keyed.v1:-1:abc"] {
        assert_eq!(read_label(bad), None, "{bad}");
    }
}
