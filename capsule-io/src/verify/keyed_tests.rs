//! Attacks by somebody who knows the format, owns the disk and the ledger, and came after the key had evolved.

use std::fs;
use std::time::Duration;

use capsule_core::{ProcessTree, SessionId, StreamSeal, exit};

use super::tests::{forge_to, rechain};
use super::*;
use crate::fixture::{Home, Note};
use crate::key::{SealingKey, generate};
use crate::layout::{METADATA, SEALS};

const STREAM: StreamName = StreamName::Events;

struct Keyed {
    home: Home,
    id: SessionId,
    key: VerificationKey,
    sealing: SealingKey,
}

/// A session with 4 records in each stream, sealed by the key after every one; `end` says whether to seal its end.
fn keyed(end: bool) -> Keyed {
    let home = Home::new();
    let (mut sealing, key) = generate().unwrap();
    let id = add(&home, &mut sealing, 1, end);
    Keyed { home, id, key, sealing }
}

fn add(home: &Home, sealing: &mut SealingKey, second: u64, end: bool) -> SessionId {
    let (mut session, metadata) = home.begin(second);
    let id = session.id().clone();
    session.seal_with_key(sealing.take(&id), Duration::from_millis(1), &metadata).unwrap();
    let mut writers = StreamName::ALL.map(|stream| session.stream(stream).unwrap());
    for seq in 1..=4 {
        for writer in &mut writers {
            writer.append(&Note { seq, text: format!("{seq} in {id}") }).unwrap();
            writer.flush().unwrap();
        }
        let lines = || fs::read(home.path(&id, SEALS)).unwrap().iter().filter(|byte| **byte == b'\n').count();
        while lines() <= usize::try_from(seq).unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let ends: Vec<(StreamName, StreamSeal)> =
        writers.into_iter().map(|writer| (writer.stream(), writer.finish().0)).collect();
    if end {
        session.seal(metadata, ends, &ProcessTree::default()).unwrap();
    }
    id
}

impl Keyed {
    fn verdict(&self) -> Verdict {
        let reader = self.home.store.session(&self.id).unwrap();
        verify(&reader, &VerifyOptions::in_store(&self.home.store).with_key(&self.key)).unwrap()
    }

    fn expect(&self, file: &str, record: Option<u64>, damage: &Damage) {
        let verdict = self.verdict();
        assert_eq!(verdict.overall, Overall::Tampered, "{verdict:#?}");
        let found = verdict.problems.iter().any(|p| (p.file.as_str(), p.record, &p.damage) == (file, record, damage));
        assert!(found, "{:#?}", verdict.problems);
    }

    fn edit_seals(&self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let bytes = fs::read(self.home.path(&self.id, SEALS)).unwrap();
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        edit(&mut lines);
        fs::write(self.home.path(&self.id, SEALS), lines.concat()).unwrap();
    }

    /// Replaces a record, computes every hash anew, and puts the new seal into a new ledger, as root could.
    fn rewrite(&self, record: usize) {
        self.home.edit(&self.id, STREAM, |lines| {
            lines[record - 1] = format!("{{\"seq\":{record},\"text\":\"never\"}}\n").into_bytes();
            rechain(&self.id, STREAM, lines);
        });
        forge_to(&self.home, &self.id);
    }
}

#[test]
fn an_honest_session_fits_with_and_without_the_key() {
    let session = keyed(true);
    let verdict = session.verdict();
    assert_eq!(verdict.overall, Overall::Whole, "{verdict:#?}");
    assert!(matches!(verdict.keyed, KeyedFact::Checked { epoch: 0, ended: true, intervals: 6.., .. }), "{verdict:#?}");
    let without = session.home.verdict(&session.id);
    assert_eq!((without.overall, without.keyed), (Overall::Whole, KeyedFact::NotChecked));
}

#[test]
fn a_chain_computed_anew_without_the_key_is_named_at_its_interval() {
    let session = keyed(true);
    session.rewrite(3);
    assert_eq!(session.home.verdict(&session.id).overall, Overall::Whole, "the forger did everything but the key");
    session.expect("events.jsonl", Some(3), &Damage::Rechained);
    session.expect(METADATA, None, &Damage::MetadataAltered);
}

#[test]
fn records_cut_off_an_unsealed_session_are_missed_with_the_key() {
    let session = keyed(false);
    assert_eq!(session.verdict().overall, Overall::Unsealed);
    session.home.edit(&session.id, STREAM, |lines| lines.truncate(2));
    assert_eq!(session.home.verdict(&session.id).overall, Overall::Unsealed, "without the key it looks like a crash");
    session.expect("events.jsonl", Some(3), &Damage::Truncated);
}

#[test]
fn seals_edited_removed_moved_or_cut_are_named() {
    for (edit, line, damage) in [
        ((|lines| lines[2][40] ^= 1) as fn(&mut Vec<Vec<u8>>), 3, Damage::Altered),
        (|lines| drop(lines.remove(2)), 3, Damage::Removed),
        (|lines| lines.swap(2, 3), 3, Damage::Removed),
        (|lines| lines.insert(3, lines[2].clone()), 4, Damage::Altered),
        (|lines| lines.truncate(3), 4, Damage::Truncated),
        (|lines| lines.push(lines[0].clone()), 7, Damage::Inserted),
    ] {
        let session = keyed(true);
        let count = fs::read(session.home.path(&session.id, SEALS)).unwrap();
        let count = count.iter().filter(|byte| **byte == b'\n').count() as u64;
        session.edit_seals(edit);
        let line = if damage == Damage::Inserted { count + 1 } else { line };
        session.expect(SEALS, Some(line), &damage);
    }
}

#[test]
fn flipping_any_bit_of_the_seals_is_found() {
    let session = keyed(true);
    let good = fs::read(session.home.path(&session.id, SEALS)).unwrap();
    for at in 0..good.len() {
        let mut edited = good.clone();
        edited[at] ^= 1 << (at % 7);
        fs::write(session.home.path(&session.id, SEALS), &edited).unwrap();
        assert_eq!(session.verdict().overall, Overall::Tampered, "byte {at}");
    }
}

#[test]
fn seals_taken_away_are_missing() {
    let session = keyed(true);
    fs::remove_file(session.home.path(&session.id, SEALS)).unwrap();
    session.expect(SEALS, None, &Damage::FileMissing);
    assert_eq!(session.home.verdict(&session.id).exit_code(), exit::TAMPERED, "the metadata says that there were some");
}

#[test]
fn another_key_is_said_to_be_another_key() {
    let mut session = keyed(true);
    session.key = generate().unwrap().1;
    session.expect(SEALS, None, &Damage::OtherKey);
    assert_eq!(session.verdict().problems.len(), 1);
}

#[test]
fn the_seal_of_the_end_taken_off_everywhere_is_missed_with_the_key() {
    let session = keyed(true);
    let mut metadata = session.home.store.session(&session.id).unwrap().metadata().unwrap();
    metadata.streams.clear();
    metadata.tree = None;
    fs::write(session.home.path(&session.id, METADATA), serde_json::to_vec(&metadata).unwrap()).unwrap();
    fs::remove_file(session.home.store.home().join(crate::layout::LEDGER)).unwrap();
    assert_eq!(session.home.verdict(&session.id).overall, Overall::Unsealed);
    session.expect(METADATA, None, &Damage::MetadataAltered);
}

#[test]
fn a_crash_between_the_last_keyed_seal_and_the_ledger_is_no_attack() {
    let session = keyed(true);
    let (home, id) = (&session.home, &session.id);
    let ledger = home.store.home().join(crate::layout::LEDGER);
    let entries = fs::read(&ledger).unwrap();
    let begin = entries.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&ledger, entries.split_at(begin).0).unwrap();
    let mut metadata = home.metadata(1);
    metadata.keyed = home.store.session(id).unwrap().metadata().unwrap().keyed;
    fs::rename(home.path(id, METADATA), home.path(id, ".pending-0000000000000001")).unwrap();
    fs::write(home.path(id, METADATA), serde_json::to_vec(&metadata).unwrap()).unwrap();
    assert_eq!(session.verdict().overall, Overall::Whole, "the key vouches for what was about to be entered");
    assert_eq!(home.verdict(id).overall, Overall::Unsealed);
}

#[test]
fn a_session_forged_in_a_later_epoch_conflicts_with_honest_ones() {
    let mut session = keyed(true);
    let honest = add(&session.home, &mut session.sealing, 2, true);
    assert_eq!(session.verdict().overall, Overall::Whole);
    // The thief has the key as it is now, and gives the first session a new, well-sealed body.
    let first = session.id.clone();
    let thief = Home::new();
    let forged = add(&thief, &mut session.sealing, 1, true);
    assert_eq!(forged, first);
    let (from, to) = (thief.path(&first, ""), session.home.path(&first, ""));
    fs::remove_dir_all(&to).unwrap();
    fs::create_dir(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    session.expect(SEALS, None, &Damage::EpochConflict);
    let honest = session.home.store.session(&honest).unwrap();
    let options = VerifyOptions::in_store(&session.home.store).with_key(&session.key);
    assert!(verify(&honest, &options).unwrap().problems.iter().any(|problem| problem.damage == Damage::EpochConflict));
}

#[test]
fn a_crash_at_any_byte_of_the_seals_is_no_attack() {
    let mut session = keyed(false);
    // Another session in another epoch: a first line that cannot be read must not count as epoch 0.
    drop(session.sealing.take(&session.id));
    add(&session.home, &mut session.sealing, 2, true);
    let good = fs::read(session.home.path(&session.id, SEALS)).unwrap();
    for length in 0..good.len() {
        fs::write(session.home.path(&session.id, SEALS), good.split_at(length).0).unwrap();
        let verdict = session.verdict();
        assert_ne!(verdict.overall, Overall::Tampered, "{length}: {:#?}", verdict.problems);
    }
}
