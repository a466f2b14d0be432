//! Faults from outside, on the whole crate: recorders killed at any moment, disks that fill up, power that goes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use capsule_core::{ProcessTree, SessionStatus, StreamName, Timestamp};

use crate::fixture::{Home, Note, metadata};
use crate::key::SealingKey;
use crate::{Bus, Overall, Store, VerifyOptions, WhenFull, record, verify};

/// Records `records` records in each stream through the bus and seals. Says on stdout how many were flushed for sure.
fn record_a_session(home: &Path, second: u64, records: u64) -> Result<(), crate::StoreError> {
    let store = Store::at(home);
    let started = Timestamp(1_705_329_000_000_000_000 + second * 1_000_000_000);
    let mut metadata = metadata(store.new_id(started)?, started);
    let mut session = store.create(&metadata)?;
    let key = SealingKey::take_from(&home.join("key"), session.id())?;
    session.seal_with_key(key, Duration::from_millis(1), &metadata)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ends, failed) = runtime.block_on(async {
        let mut bus = Bus::new("notes", 64);
        let mut tasks = Vec::new();
        for stream in StreamName::ALL {
            let writer = session.stream(stream)?;
            tasks.push((stream, tokio::spawn(record(bus.subscribe(WhenFull::Block), writer))));
        }
        let mut publisher = bus.into_publisher();
        for seq in 1..=records {
            publisher.send(vec![Note { seq, text: "x".repeat(200) }]).await;
            tokio::task::yield_now().await;
        }
        drop(publisher);
        let (mut ends, mut failed) = (Vec::new(), None);
        for (stream, task) in tasks {
            let (end, error) = task.await.unwrap();
            ends.push((stream, end));
            failed = failed.or(error);
        }
        Ok::<_, crate::StoreError>((ends, failed))
    })?;
    if let Some(error) = failed {
        metadata.status = SessionStatus::Failed { stage: "record".to_owned(), reason: error.to_string() };
        session.abandon(&metadata)?;
        return Err(error);
    }
    metadata.status = SessionStatus::Complete;
    session.seal(metadata, ends, &ProcessTree::default())?;
    Ok(())
}

fn child(home: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "faults::child_records_sessions", "--ignored", "--nocapture"]);
    command.env("CAPSULE_TEST_HOME", home).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
#[ignore = "run by the tests below in a process of its own"]
fn child_records_sessions() {
    let Ok(home) = std::env::var("CAPSULE_TEST_HOME") else { return };
    for second in 0..1_000 {
        record_a_session(Path::new(&home), second, 40).unwrap();
    }
}

#[test]
fn killed_at_any_moment_leaves_sessions_that_read_and_are_never_called_tampered() {
    let home = Home::new();
    home.store.prepare().unwrap();
    let (sealing, verification) = crate::key::generate().unwrap();
    sealing.save_new(&home.store.home().join("key")).unwrap();
    let rounds = std::env::var("CAPSULE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    for round in 0..rounds {
        let begun = home.store.ids().unwrap().len();
        let mut recorder = child(home.store.home()).spawn().unwrap();
        // Once its first or second session is done, anywhere in the next one.
        for _ in 0..20_000 {
            if home.store.ids().unwrap().len() > begun + 1 + round % 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(round as u64 * 373 % 15_000));
        recorder.kill().unwrap();
        recorder.wait().unwrap();
    }
    let mut whole = 0;
    let options = VerifyOptions::in_store(&home.store).with_key(&verification);
    for id in home.store.ids().unwrap() {
        let session = home.store.session(&id).unwrap();
        let plain = home.verdict(&id);
        assert_ne!(plain.overall, Overall::Tampered, "{plain:#?}");
        whole += usize::from(plain.overall == Overall::Whole);
        // A kill before the first keyed seal leaves a session that the key says nothing about.
        if plain.keyed != crate::KeyedFact::None {
            let keyed = verify(&session, &options).unwrap();
            assert_ne!(keyed.overall, Overall::Tampered, "{keyed:#?}");
        }
        // A kill in the very beginning leaves a directory without all its files.
        for stream in plain.streams.iter().filter(|stream| home.stream(&id, stream.stream).exists()) {
            assert_eq!(home.lines(&id, stream.stream).len() as u64, stream.records + u64::from(stream.torn.is_some()));
        }
    }
    assert_eq!(home.store.ledger().unwrap().damage, None);
    assert!(whole >= rounds, "{whole} sessions were sealed before the {rounds} kills");
    // The store is as good as before.
    record_a_session(home.store.home(), 5_000, 3).unwrap();
    assert_eq!(home.verdict(&home.store.resolve("latest").unwrap()).overall, Overall::Whole);
}

#[test]
fn power_cut_at_any_step_of_sealing_is_never_called_tampering() {
    // What is durable is durable in this order: streams and tree, sealed metadata under a random name, ledger, metadata.
    let home = Home::new();
    let id = home.sealed(1, 4);
    let ledger = home.store.home().join(crate::layout::LEDGER);
    let sealed = fs::read(home.path(&id, "metadata.json")).unwrap();
    let entries = fs::read(&ledger).unwrap();
    let begin = entries.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut incomplete = serde_json::to_vec(&home.metadata(1)).unwrap();
    incomplete.push(b'\n');
    let verdict = |pending: Option<&[u8]>, ledger_bytes: &[u8], metadata: &[u8]| {
        let path = home.path(&id, ".pending-0000000000000001");
        match pending {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => drop(fs::remove_file(&path)),
        }
        fs::write(&ledger, ledger_bytes).unwrap();
        fs::write(home.path(&id, "metadata.json"), metadata).unwrap();
        home.verdict(&id).overall
    };
    for length in 0..=sealed.len() {
        let part = sealed.split_at(length).0;
        assert_eq!(verdict(Some(part), entries.split_at(begin).0, &incomplete), Overall::Unsealed, "pending {length}");
    }
    for length in begin..entries.len() {
        let part = entries.split_at(length).0;
        let expected = if length + 1 == entries.len() { Overall::Whole } else { Overall::Unsealed };
        assert_eq!(verdict(Some(&sealed), part, &incomplete), expected, "ledger {length}");
    }
    assert_eq!(verdict(Some(&sealed), &entries, &incomplete), Overall::Whole);
    assert_eq!(verdict(None, &entries, &sealed), Overall::Whole);
}

/// A small file system of its own, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg("-l").arg(self.0.path()).status().is_ok());
    }
}

#[test]
fn a_disk_that_fills_up_leaves_a_readable_session_and_is_reported() {
    let Some(disk) = SmallDisk::new() else { return };
    let home = disk.0.path().join("home");
    let store = Store::at(&home);
    store.prepare().unwrap();
    crate::key::generate().unwrap().0.save_new(&home.join("key")).unwrap();
    let error = record_a_session(&home, 1, 3_000).unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::StorageFull), "{error}");
    let session = store.find("latest").unwrap();
    let verdict = verify(&session, &VerifyOptions::in_store(&store)).unwrap();
    assert!(matches!(verdict.overall, Overall::Unsealed | Overall::Torn), "{verdict:#?}");
    assert!(verdict.streams.iter().any(|stream| stream.records > 0));
}

#[test]
fn a_home_that_cannot_be_written_says_so_and_makes_nothing() {
    let home = Home::new();
    // A file in the way of the home's parent: as root, rights alone would stop nobody.
    fs::write(home.outside().join("home"), "").unwrap();
    let error = home.store.create(&home.metadata(1)).unwrap_err();
    assert!(error.to_string().contains("is a file, not a directory"), "{error}");
    assert!(Store::at("/proc/capsule-cannot-be-here").prepare().is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Files of any content: nothing panics, nothing is whole, and readers come to the end.
    #[test]
    fn hostile_bytes_in_every_file_are_read_to_the_end(
        files in proptest::collection::vec(proptest::collection::vec(
            proptest::prop_oneof![
                proptest::strategy::Just(b"{\"seq\":1,".to_vec()),
                proptest::strategy::Just(b"\n".to_vec()),
                proptest::strategy::Just(format!(",\"chain\":\"{}\"}}\n", "0".repeat(64)).into_bytes()),
                proptest::strategy::Just(format!(",\"mac\":\"{}\"}}\n", "f".repeat(64)).into_bytes()),
                proptest::strategy::Just(format!(",\"seal\":\"{}\"}}\n", "0".repeat(64)).into_bytes()),
                proptest::strategy::Just(b"{\"seq\":18446744073709551615,\"x\":{\"a\":[[[[".to_vec()),
                proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            ],
            0..12,
        ), 9)
    ) {
        let home = Home::new();
        let id = home.unsealed(1, 2);
        let (_, key) = crate::key::generate().unwrap();
        let signer = crate::SigningKey::generate().unwrap().public();
        let names = ["raw.jsonl", "events.jsonl", "enriched.jsonl", "risks.jsonl", "actions.jsonl", "metadata.json",
            "tree.json", "seals.jsonl", "statement.dsse.json"];
        for (name, pieces) in names.into_iter().zip(&files) {
            fs::write(home.path(&id, name), pieces.concat()).unwrap();
        }
        fs::write(home.store.home().join("ledger.jsonl"), files.concat().concat()).unwrap();
        let session = home.store.session(&id).unwrap();
        let options = VerifyOptions::in_store(&home.store).with_key(&key).signed_by(&signer);
        if let Ok(verdict) = verify(&session, &options) {
            proptest::prop_assert_ne!(verdict.overall, Overall::Whole);
        }
        session.raw().unwrap().for_each(drop);
        session.enriched().unwrap().for_each(drop);
        session.actions().unwrap().for_each(drop);
        drop(session.tree());
        proptest::prop_assert_eq!(home.store.list().unwrap().len(), 1);
        home.sealed(2, 1);
    }
}
