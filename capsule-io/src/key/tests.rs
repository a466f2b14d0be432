use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

#[test]
fn the_verification_key_finds_the_key_of_every_epoch() {
    let (mut sealing, verification) = generate().unwrap();
    for epoch in 0..5 {
        let session = id(&format!("s{epoch}"));
        let taken = sealing.take(&session);
        let found = verification.session(epoch, &session).unwrap();
        assert_eq!(taken.epoch, epoch);
        assert_eq!(taken.interval.mac(&[b"x"]), found.interval.mac(&[b"x"]));
        let other = verification.session(epoch, &id("other")).unwrap();
        assert_ne!(taken.interval.mac(&[b"x"]), other.interval.mac(&[b"x"]), "one key for two sessions");
    }
}

#[test]
fn keys_read_back_and_say_nothing_when_debugged() {
    let (mut sealing, verification) = generate().unwrap();
    drop(sealing.take(&id("s")));
    let again = SealingKey::parse(&sealing.to_text()).unwrap();
    assert_eq!((again.epoch(), &again.secret, again.name), (1, &sealing.secret, sealing.name));
    let read = VerificationKey::parse(&format!(" {}\n", verification.to_text().as_str())).unwrap();
    assert_eq!(read.name(), verification.name());
    let hex = Hash(**verification.secret).to_hex();
    assert!(!format!("{verification:?}{sealing:?}").contains(&hex));
}

#[test]
fn what_is_no_key_is_refused() {
    let long = "0".repeat(64);
    for bad in [
        String::new(),
        "capsule-seal-1".to_owned(),
        format!("capsule-seal-1:x:{long}:{long}"),
        format!("capsule-seal-1:0:{long}"),
        format!("capsule-seal-1:0:{long}:{long}:0"),
        format!("capsule-seal-1:18446744073709551615:{long}:{long}"),
        format!("capsule-verify-1:{long}"),
    ] {
        assert!(SealingKey::parse(&bad).is_err(), "{bad}");
    }
    assert!(VerificationKey::parse(&format!("capsule-seal-1:{long}")).is_err());
}

#[test]
fn the_file_never_holds_what_a_session_was_sealed_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let (sealing, verification) = generate().unwrap();
    sealing.save_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(sealing.save_new(&path).is_err(), "a key is never written over");
    let first = fs::read_to_string(&path).unwrap();
    let taken = SealingKey::take_from(&path, &id("a")).unwrap();
    let second = fs::read_to_string(&path).unwrap();
    assert_ne!(first, second);
    assert_eq!((taken.epoch, SealingKey::take_from(&path, &id("b")).unwrap().epoch), (0, 1));
    // With what is left in the file, the first session's key cannot be had.
    let mut left = SealingKey::parse(&second).unwrap();
    let sealed_with = verification.session(0, &id("a")).unwrap().interval.mac(&[]);
    for _ in 0..10 {
        assert_ne!(left.take(&id("a")).interval.mac(&[]), sealed_with);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    generate().unwrap().0.save_new(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(SealingKey::take_from(&path, &id("a")), Err(StoreError::KeyExposed { mode: 0o640, .. })));
}
