use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::fixture::Home;

#[test]
fn a_store_that_does_not_exist_is_empty_and_stays_absent() {
    let home = Home::new();
    assert!(home.store.list().unwrap().is_empty());
    assert!(matches!(home.store.find("latest"), Err(StoreError::NotFound { .. })));
    assert!(!home.store.home().exists());
}

#[test]
fn broken_sessions_are_listed_with_the_reason() {
    let home = Home::new();
    let good = home.sealed(1, 1);
    let broken = home.sealed(2, 1);
    fs::write(home.path(&broken, "metadata.json"), "{").unwrap();
    fs::create_dir(home.store.home().join("runs/2024-03-01T00:00:00Z-empty0")).unwrap();
    symlink("/etc", home.store.home().join("runs/2024-03-02T00:00:00Z-link00")).unwrap();
    fs::write(home.store.home().join("runs/2024-03-03T00:00:00Z-file00"), "").unwrap();
    let listed = home.store.list().unwrap();
    let readable: Vec<bool> = listed.iter().map(|session| session.metadata.is_ok()).collect();
    assert_eq!(readable, [true, false, false, false, false]);
    assert_eq!(listed[0].id, good);
    let why = listed[3].metadata.as_ref().unwrap_err().to_string();
    assert!(why.contains("is a symbolic link, not a directory"), "{why}");
}

#[test]
fn rights_are_narrow_whatever_the_umask() {
    for mask in [0o000, 0o777] {
        let home = Home::new();
        // The umask belongs to the whole process, so a child has it.
        let status = std::process::Command::new("/proc/self/exe")
            .args(["--exact", "store::tests::child_makes_a_session", "--ignored"])
            .env("CAPSULE_TEST_HOME", home.outside().join("home"))
            .env("CAPSULE_TEST_UMASK", mask.to_string())
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        let mut seen = 0;
        let mut pending = vec![home.store.home().to_owned()];
        while let Some(path) = pending.pop() {
            let is = fs::symlink_metadata(&path).unwrap();
            let expected = if is.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(is.permissions().mode() & 0o7777, expected, "{}", path.display());
            if is.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            seen += 1;
        }
        assert_eq!(seen, 3 + 1 + 5 + 3, "home, runs, session; ledger; streams; metadata, tree, lock");
    }
}

#[test]
#[ignore = "run by rights_are_narrow_whatever_the_umask in a process of its own"]
fn child_makes_a_session() {
    let (Ok(home), Ok(mask)) = (std::env::var("CAPSULE_TEST_HOME"), std::env::var("CAPSULE_TEST_UMASK")) else {
        return;
    };
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask.parse().unwrap()));
    let store = Store::at(home);
    let started = Timestamp(1_705_329_000_000_000_000);
    let metadata = crate::fixture::metadata(store.new_id(started).unwrap(), started);
    let session = store.create(&metadata).unwrap();
    let ends = crate::fixture::write(&session, 3);
    session.seal(metadata, ends, &capsule_core::ProcessTree::default()).unwrap();
}

#[test]
fn a_session_that_exists_is_never_written_over() {
    let home = Home::new();
    let (_session, metadata) = home.begin(1);
    assert!(home.store.create(&metadata).is_err());
}

#[test]
fn a_home_that_is_a_link_is_refused() {
    let home = Home::new();
    let target = home.outside().join("elsewhere");
    fs::create_dir(&target).unwrap();
    symlink(&target, home.store.home()).unwrap();
    assert!(matches!(home.store.create(&home.metadata(1)), Err(StoreError::WrongKind { .. })));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn links_in_the_place_of_sessions_ledger_or_key_are_refused_and_not_followed() {
    for name in ["runs", "ledger.jsonl", "key"] {
        let home = Home::new();
        home.store.prepare().unwrap();
        let (place, target) = (home.store.home().join(name), home.outside().join("elsewhere"));
        if name == "runs" {
            fs::remove_dir(&place).unwrap();
            fs::create_dir(&target).unwrap();
        } else {
            fs::write(&target, "untouched").unwrap();
        }
        symlink(&target, &place).unwrap();
        let id = home.metadata(1).id;
        let refused = match name {
            "key" => crate::SealingKey::take_from(&place, &id).err(),
            _ => home.store.create(&home.metadata(1)).err(),
        };
        assert!(matches!(refused, Some(StoreError::WrongKind { .. })), "{name}: {refused:?}");
        let kept = if name == "runs" {
            fs::read_dir(&target).unwrap().count() == 0
        } else {
            fs::read(&target).unwrap() == b"untouched"
        };
        assert!(kept, "{name}");
    }
}

#[test]
fn the_names_of_files_that_are_being_written_cannot_be_guessed() {
    let home = Home::new();
    let (session, metadata) = home.begin(1);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let dir = crate::dir::Dir::open(session.path()).unwrap();
        let pending = dir.stage(b"x", false).unwrap();
        let found: Vec<String> =
            dir.names().unwrap().into_iter().filter(|name| name.starts_with(".pending-")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        names.extend(found);
        drop(pending);
    }
    // 64 random bits each, made with O_EXCL, and gone when they do not get to their place.
    assert_eq!(names.len(), 50);
    assert!(names.iter().all(|name| name.len() == ".pending-".len() + 16));
    session.update(&metadata).unwrap();
    assert!(
        fs::read_dir(session.path()).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".pending"))
    );
}

#[test]
fn a_session_whose_recorder_is_gone_is_told_so_and_no_other_is() {
    let home = Home::new();
    let (sealed, left, other) = (home.sealed(1, 2), home.unsealed(2, 2), home.unsealed(3, 2));
    let recorder = home.store.session(&left).unwrap().metadata().unwrap().recorder;
    // Both unsealed ones name the same recorder here: the last one is meant.
    assert_eq!(home.store.recorder_gone(recorder, "killed by signal 9").unwrap(), Some(other.clone()));
    let status = |id| home.store.session(id).unwrap().metadata().unwrap().status;
    let failed = SessionStatus::Failed { stage: "recorder".to_owned(), reason: "killed by signal 9".to_owned() };
    assert_eq!(
        (status(&sealed), status(&left), status(&other)),
        (SessionStatus::Complete, SessionStatus::Incomplete, failed)
    );
    assert_eq!(home.verdict(&other).overall, crate::Overall::Unsealed);
    assert_eq!(home.store.recorder_gone(Pid(recorder.0 + 1), "x").unwrap(), None);
    // A session that is being recorded is not left.
    let (running, _) = home.begin(4);
    assert_eq!(home.store.recorder_gone(recorder, "x").unwrap(), Some(left));
    assert_eq!(home.store.session(running.id()).unwrap().metadata().unwrap().status, SessionStatus::Incomplete);
}

#[test]
fn sessions_of_one_second_are_in_the_order_of_their_start() {
    let home = Home::new();
    let second = 1_705_329_000_000_000_000;
    let mut begun = Vec::new();
    for nanos in [5, 1, 9, 3, 7] {
        let started = Timestamp(second + nanos);
        let metadata = crate::fixture::metadata(home.store.new_id(started).unwrap(), started);
        begun.push((started, metadata.id.clone()));
        drop(home.store.create(&metadata).unwrap());
    }
    begun.sort();
    let expected: Vec<_> = begun.into_iter().map(|(_, id)| id).collect();
    assert_eq!(home.store.ids().unwrap(), expected);
    assert_eq!(home.store.resolve("latest").unwrap(), expected[4]);
}
