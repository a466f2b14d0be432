//! Each attack gets its own verdict; nothing that a crash leaves behind is called an attack.

use std::fs;
use std::os::unix::fs::symlink;

use capsule_core::{SessionId, exit};

use super::*;
use crate::chain::{CHAIN_FIELD, Chain, STREAM_DOMAIN, push_field_hash, split_line};
use crate::fixture::Home;
use crate::layout::{LEDGER, METADATA};

const STREAM: StreamName = StreamName::Events;
const RECORDS: u64 = 6;

fn sealed() -> (Home, SessionId) {
    let home = Home::new();
    let id = home.sealed(1, RECORDS);
    assert_eq!(home.verdict(&id).overall, Overall::Whole);
    (home, id)
}

fn unsealed() -> (Home, SessionId) {
    let home = Home::new();
    let id = home.unsealed(1, RECORDS);
    assert_eq!(home.verdict(&id).overall, Overall::Unsealed);
    (home, id)
}

/// The same attack on a sealed and on an unsealed session: `record` is the first that does not fit, with this damage.
fn attack(record: u64, damage: &Damage, edit: impl Fn(&mut Vec<Vec<u8>>)) {
    for (home, id) in [sealed(), unsealed()] {
        home.edit(&id, STREAM, &edit);
        expect(&home, &id, "events.jsonl", Some(record), damage);
    }
}

fn expect(home: &Home, id: &SessionId, file: &str, record: Option<u64>, damage: &Damage) {
    let verdict = home.verdict(id);
    let first = verdict.first().unwrap();
    assert_eq!((first.file.as_str(), first.record, &first.damage), (file, record, damage), "{verdict:#?}");
    let code = if damage.is_tampering() { exit::TAMPERED } else { exit::UNSEALED };
    assert_eq!(verdict.exit_code(), code);
}

/// Computes the chain of `lines` anew, as somebody who knows the format would.
pub(super) fn rechain(id: &SessionId, stream: StreamName, lines: &mut [Vec<u8>]) {
    let chain = Chain::new(STREAM_DOMAIN, id.as_str(), stream.name());
    let mut head = chain.start();
    for (line, seq) in lines.iter_mut().zip(1..) {
        let whole = line.strip_suffix(b"\n").unwrap();
        let record = split_line(whole).map_or(whole, |(record, _)| record).to_vec();
        head = chain.link(seq, head, &record);
        *line = record;
        push_field_hash(line, CHAIN_FIELD, head);
        line.push(b'\n');
    }
}

fn replace(line: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(line.clone()).unwrap();
    assert!(text.contains(from), "{text}");
    *line = text.replace(from, to).into_bytes();
}

#[test]
fn flipping_any_bit_of_a_record_names_it() {
    let (home, id) = sealed();
    let good = home.lines(&id, STREAM);
    for (index, line) in good.iter().enumerate() {
        for at in 0..line.len() {
            let mut edited = good.clone();
            edited[index][at] ^= 1 << (at % 8);
            fs::write(home.stream(&id, STREAM), edited.concat()).unwrap();
            let verdict = home.verdict(&id);
            let first = verdict.first().unwrap();
            assert_eq!(verdict.overall, Overall::Tampered, "record {} byte {at}", index + 1);
            assert_eq!(first.record, Some(index as u64 + 1), "record {} byte {at}: {first}", index + 1);
        }
    }
}

#[test]
fn an_altered_record_is_altered() {
    for record in 1..=RECORDS {
        attack(record, &Damage::Altered, |lines| replace(&mut lines[record as usize - 1], "says", "said"));
    }
}

#[test]
fn an_altered_chain_value_or_number_is_an_altered_record() {
    attack(3, &Damage::Altered, |lines| {
        let at = lines[2].len() - 10;
        lines[2][at] = if lines[2][at] == b'0' { b'1' } else { b'0' };
    });
    attack(3, &Damage::Altered, |lines| replace(&mut lines[2], "\"seq\":3", "\"seq\":9"));
    attack(3, &Damage::Altered, |lines| lines[2] = b"\n".to_vec());
}

#[test]
fn a_stream_that_is_passed_over_is_walked_where_its_size_is_not_the_sealed_one() {
    let passing_over = |home: &Home, id: &SessionId| {
        let options = VerifyOptions::in_store(&home.store).passing_over(&[STREAM]);
        let verdict = verify(&home.store.session(id).unwrap(), &options).unwrap();
        let walked = verdict.streams.iter().any(|walked| walked.stream == STREAM);
        (verdict.overall, walked)
    };
    let (home, id) = sealed();
    assert_eq!(passing_over(&home, &id), (Overall::Whole, false));
    home.edit(&id, STREAM, |lines| drop(lines.pop()));
    assert_eq!(passing_over(&home, &id), (Overall::Tampered, true));
    let (home, id) = unsealed();
    assert_eq!(passing_over(&home, &id), (Overall::Unsealed, true));
}

#[test]
fn a_removed_record_is_named() {
    for record in 1..RECORDS {
        attack(record, &Damage::Removed, |lines| drop(lines.remove(record as usize - 1)));
    }
    attack(2, &Damage::Removed, |lines| drop(lines.drain(1..4)));
}

#[test]
fn a_duplicated_record_is_named() {
    for record in 1..=RECORDS {
        // A copy right behind a record stands where the next one should; behind the last, nothing should.
        let damage = if record == RECORDS { Damage::Inserted } else { Damage::Duplicated };
        let (home, id) = sealed();
        home.edit(&id, STREAM, |lines| lines.insert(record as usize, lines[record as usize - 1].clone()));
        expect(&home, &id, "events.jsonl", Some(record + 1), &damage);
        let (home, id) = unsealed();
        home.edit(&id, STREAM, |lines| lines.insert(record as usize, lines[record as usize - 1].clone()));
        expect(&home, &id, "events.jsonl", Some(record + 1), &Damage::Duplicated);
    }
    attack(2, &Damage::Duplicated, |lines| lines.insert(1, lines[4].clone()));
}

#[test]
fn a_record_replaced_by_a_copy_of_another_is_a_duplicate() {
    attack(4, &Damage::Duplicated, |lines| lines[3] = lines[1].clone());
}

#[test]
fn swapped_and_moved_records_are_reordered() {
    for record in 1..RECORDS {
        attack(record, &Damage::Reordered, |lines| lines.swap(record as usize - 1, record as usize));
    }
    attack(2, &Damage::Reordered, |lines| {
        let moved = lines.remove(1);
        lines.insert(4, moved);
    });
    attack(1, &Damage::Reordered, |lines| lines.reverse());
}

#[test]
fn an_inserted_record_is_named() {
    let made_up = b"{\"seq\":3,\"text\":\"never happened\"}\n".to_vec();
    attack(3, &Damage::Inserted, |lines| lines.insert(2, made_up.clone()));
    attack(1, &Damage::Inserted, |lines| lines.insert(0, made_up.clone()));
    attack(4, &Damage::Inserted, |lines| lines.insert(3, b"\n".to_vec()));
    let (_, id) = sealed();
    // A made-up record that links to the one before it: the one behind it does not link to it.
    attack(4, &Damage::Altered, |lines| {
        lines.insert(2, made_up.clone());
        rechain(&id, STREAM, &mut lines[..3]);
    });
}

#[test]
fn records_behind_the_sealed_end_are_inserted() {
    let (home, id) = sealed();
    home.edit(&id, STREAM, |lines| {
        lines.push(b"{\"seq\":7,\"text\":\"afterwards\"}\n".to_vec());
        rechain(&id, STREAM, lines);
    });
    expect(&home, &id, "events.jsonl", Some(7), &Damage::Inserted);
    home.edit(&id, STREAM, |lines| *lines.last_mut().unwrap() = b"garbage".to_vec());
    expect(&home, &id, "events.jsonl", Some(7), &Damage::Inserted);
}

#[test]
fn a_sealed_session_that_loses_its_tail_is_truncated_at_every_byte() {
    let (home, id) = sealed();
    let good = fs::read(home.stream(&id, STREAM)).unwrap();
    for length in 0..good.len() {
        let left = good.split_at(length).0;
        fs::write(home.stream(&id, STREAM), left).unwrap();
        let whole = left.iter().filter(|byte| **byte == b'\n').count() as u64;
        expect(&home, &id, "events.jsonl", Some(whole + 1), &Damage::Truncated);
    }
}

#[test]
fn an_unsealed_session_that_loses_its_tail_is_torn_or_unsealed_at_every_byte() {
    let (home, id) = unsealed();
    let good = fs::read(home.stream(&id, STREAM)).unwrap();
    for length in 0..good.len() {
        let left = good.split_at(length).0;
        fs::write(home.stream(&id, STREAM), left).unwrap();
        let verdict = home.verdict(&id);
        let half = left.last().is_some_and(|byte| *byte != b'\n');
        assert_eq!(verdict.overall, if half { Overall::Torn } else { Overall::Unsealed }, "{length}");
        assert_eq!(verdict.exit_code(), exit::UNSEALED);
        let whole = left.iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(verdict.streams[1].records, whole);
    }
}

#[test]
fn zeros_at_the_end_after_a_power_cut_are_torn() {
    let (home, id) = unsealed();
    let mut bytes = fs::read(home.stream(&id, STREAM)).unwrap();
    bytes.extend([0; 4096]);
    fs::write(home.stream(&id, STREAM), &bytes).unwrap();
    assert_eq!(home.verdict(&id).overall, Overall::Torn);
}

#[test]
fn streams_that_change_places_are_spliced() {
    let (home, id) = sealed();
    let (one, other) = (home.stream(&id, StreamName::Raw), home.stream(&id, STREAM));
    let (a, b) = (fs::read(&one).unwrap(), fs::read(&other).unwrap());
    fs::write(&one, b).unwrap();
    fs::write(&other, a).unwrap();
    let spliced = Damage::Spliced { from: "`events.jsonl` of this session".to_owned() };
    expect(&home, &id, "raw.jsonl", Some(1), &spliced);
}

#[test]
fn records_of_another_session_are_spliced_and_it_is_named() {
    let (home, id) = sealed();
    let other = home.sealed(2, RECORDS + 2);
    let foreign = home.lines(&other, STREAM);
    let spliced = Damage::Spliced { from: format!("`events.jsonl` of session {other}") };
    let good = home.lines(&id, STREAM);
    for edit in [
        |lines: &mut Vec<Vec<u8>>, foreign: &[Vec<u8>]| {
            lines.splice(3.., foreign.iter().skip(3).cloned()).for_each(drop)
        },
        |lines: &mut Vec<Vec<u8>>, foreign: &[Vec<u8>]| lines.insert(3, foreign[5].clone()),
        |lines: &mut Vec<Vec<u8>>, foreign: &[Vec<u8>]| lines[3] = foreign[3].clone(),
    ] {
        let mut lines = good.clone();
        edit(&mut lines, &foreign);
        fs::write(home.stream(&id, STREAM), lines.concat()).unwrap();
        expect(&home, &id, "events.jsonl", Some(4), &spliced);
    }
}

#[test]
fn a_chain_computed_anew_does_not_reach_the_seal() {
    let (home, id) = sealed();
    home.edit(&id, STREAM, |lines| {
        replace(&mut lines[2], "says", "said");
        rechain(&id, STREAM, lines);
    });
    expect(&home, &id, "events.jsonl", None, &Damage::Rechained);
    home.edit(&id, STREAM, |lines| lines.truncate(4));
    expect(&home, &id, "events.jsonl", Some(5), &Damage::Truncated);
}

/// Seals a forged stream with a seal of its own, as somebody who knows everything but the ledger would.
fn forge(home: &Home, id: &SessionId) {
    home.edit(id, STREAM, |lines| {
        replace(&mut lines[2], "says", "said");
        rechain(id, STREAM, lines);
    });
    let path = home.path(id, METADATA);
    let mut metadata = home.store.session(id).unwrap().metadata().unwrap();
    let bytes = fs::read(home.stream(id, STREAM)).unwrap();
    let last = home.lines(id, STREAM).pop().unwrap();
    let head = split_line(last.strip_suffix(b"\n").unwrap()).unwrap().1.to_hex();
    metadata.streams.insert(STREAM, capsule_core::StreamSeal { records: RECORDS, bytes: bytes.len() as u64, head });
    let mut bytes = serde_json::to_vec(&metadata).unwrap();
    bytes.pop();
    let seal = crate::chain::seal(id.as_str(), &bytes);
    push_field_hash(&mut bytes, crate::chain::SEAL_FIELD, seal);
    bytes.push(b'\n');
    fs::write(path, bytes).unwrap();
}

/// Gives a session with rewritten streams a seal of its own, and the ledger an entry for it, as root could.
pub(super) fn forge_to(home: &Home, id: &SessionId) {
    let mut metadata = home.store.session(id).unwrap().metadata().unwrap();
    let lines = home.lines(id, STREAM);
    let head = split_line(lines.last().unwrap().strip_suffix(b"\n").unwrap()).unwrap().1.to_hex();
    let bytes = lines.concat().len() as u64;
    metadata.streams.insert(STREAM, capsule_core::StreamSeal { records: lines.len() as u64, bytes, head });
    let mut bytes = serde_json::to_vec(&metadata).unwrap();
    bytes.pop();
    let seal = crate::chain::seal(id.as_str(), &bytes);
    push_field_hash(&mut bytes, crate::chain::SEAL_FIELD, seal);
    bytes.push(b'\n');
    fs::write(home.path(id, METADATA), bytes).unwrap();
    fs::remove_file(home.store.home().join(LEDGER)).unwrap();
    let dir = Dir::open(home.store.home()).unwrap();
    let now = metadata.started;
    crate::ledger::append(&dir, LedgerKind::Begin, id, None, now, false).unwrap();
    crate::ledger::append(&dir, LedgerKind::Seal, id, Some(seal), now, false).unwrap();
}

#[test]
fn a_session_resealed_by_somebody_else_does_not_fit_the_ledger() {
    let (home, id) = sealed();
    forge(&home, &id);
    expect(&home, &id, LEDGER, None, &Damage::LedgerAltered);
    assert_eq!(home.verdict(&id).ledger, LedgerFact::OtherSeal);
    // Alone, away from its ledger, it looks whole: this is why there is a ledger, and keyed seals.
    let alone = verify(&home.store.session(&id).unwrap(), &VerifyOptions::default()).unwrap();
    assert_eq!((alone.overall, alone.ledger), (Overall::Whole, LedgerFact::NotChecked));
}

#[test]
fn a_session_resealed_together_with_its_ledger_entry_breaks_the_ledger() {
    let (home, id) = sealed();
    home.sealed(2, 1);
    let before = home.verdict(&id).seal.unwrap();
    forge(&home, &id);
    let forged = fs::read_to_string(home.path(&id, METADATA)).unwrap();
    let after = forged.split("\"seal\":\"").last().unwrap().trim_end_matches("\"}\n").to_owned();
    let ledger = home.store.home().join(LEDGER);
    let text = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, text.replace(&before, &after)).unwrap();
    expect(&home, &id, LEDGER, None, &Damage::LedgerAltered);
    assert_eq!(home.verdict(&id).ledger, LedgerFact::NotTrusted);
}

#[test]
fn a_ledger_that_is_gone_or_never_heard_of_the_session_is_missing() {
    let (home, id) = sealed();
    let ledger = home.store.home().join(LEDGER);
    let good = fs::read(&ledger).unwrap();
    fs::remove_file(&ledger).unwrap();
    expect(&home, &id, LEDGER, None, &Damage::LedgerMissing);
    let first = good.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    fs::write(&ledger, first).unwrap();
    expect(&home, &id, LEDGER, None, &Damage::LedgerMissing);
}

#[test]
fn any_bit_of_the_metadata_is_under_the_seal() {
    let (home, id) = sealed();
    let path = home.path(&id, METADATA);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut edited = good.clone();
        edited[at] ^= 1;
        fs::write(&path, &edited).unwrap();
        let reader = home.store.session(&id).unwrap();
        match verify(&reader, &VerifyOptions::in_store(&home.store)) {
            Ok(verdict) => {
                let first = verdict.first().unwrap();
                assert_eq!((first.file.as_str(), &first.damage), (METADATA, &Damage::MetadataAltered), "byte {at}");
            }
            // The flip hit the format's version: what a newer version means cannot be checked.
            Err(error) => assert!(matches!(error, StoreError::Version { .. }), "byte {at}: {error}"),
        }
    }
}

#[test]
fn a_seal_that_is_taken_off_is_missed() {
    let (home, id) = sealed();
    let path = home.path(&id, METADATA);
    let mut metadata = home.store.session(&id).unwrap().metadata().unwrap();
    metadata.status = capsule_core::SessionStatus::Incomplete;
    fs::write(&path, serde_json::to_vec(&metadata).unwrap()).unwrap();
    expect(&home, &id, METADATA, None, &Damage::MetadataAltered);
    // Made to look as if it had never been sealed: the ledger knows better.
    metadata.streams.clear();
    metadata.tree = None;
    fs::write(&path, serde_json::to_vec(&metadata).unwrap()).unwrap();
    expect(&home, &id, METADATA, None, &Damage::MetadataAltered);
    fs::remove_file(&path).unwrap();
    expect(&home, &id, METADATA, None, &Damage::FileMissing);
}

#[test]
fn an_edited_tree_is_altered() {
    let (home, id) = sealed();
    let path = home.path(&id, TREE);
    fs::write(&path, "{\"nodes\":[] }").unwrap();
    expect(&home, &id, TREE, None, &Damage::TreeAltered);
    fs::remove_file(&path).unwrap();
    expect(&home, &id, TREE, None, &Damage::FileMissing);
}

#[test]
fn links_and_fifos_in_place_of_files_are_not_followed() {
    for name in ["events.jsonl", TREE, METADATA] {
        let (home, id) = sealed();
        let path = home.path(&id, name);
        let away = home.outside().join("away");
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        expect(&home, &id, name, None, &Damage::FileReplaced);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        expect(&home, &id, name, None, &Damage::FileReplaced);
    }
}

#[test]
fn a_missing_stream_is_missing_once_something_was_sealed() {
    // Before that, power that goes takes names that were not durable.
    for ((home, id), damage) in [(sealed(), Damage::FileMissing), (unsealed(), Damage::Torn)] {
        fs::remove_file(home.stream(&id, StreamName::Events)).unwrap();
        expect(&home, &id, "events.jsonl", None, &damage);
    }
}

#[test]
fn what_a_verdict_quotes_of_a_session_cannot_write_to_a_terminal() {
    let (home, id) = unsealed();
    let path = home.path(&id, METADATA);
    let text = fs::read_to_string(&path).unwrap().replace("\"backend\":\"", "\"backend\":\"\\u001b]0;x\\u0007");
    fs::write(path, text).unwrap();
    let verdict = home.verdict(&id);
    let said = verdict.first().unwrap().to_string();
    assert!(said.contains("\\e]0;x") && !said.chars().any(char::is_control), "{said:?}");
}

#[test]
fn metadata_that_a_power_cut_left_half_written_is_torn_and_sealed_metadata_cut_short_is_altered() {
    for length in [1, 10, 100] {
        for tail in [0, 40] {
            let cut = |home: &Home, id: &SessionId| {
                let path = home.path(id, METADATA);
                let mut bytes = fs::read(&path).unwrap();
                bytes.truncate(length);
                bytes.resize(length + tail, 0);
                fs::write(path, bytes).unwrap();
            };
            let (home, id) = unsealed();
            cut(&home, &id);
            expect(&home, &id, METADATA, None, &Damage::Torn);
            let (home, id) = sealed();
            cut(&home, &id);
            expect(&home, &id, METADATA, None, &Damage::MetadataAltered);
        }
    }
}

#[test]
fn a_whole_session_under_the_name_of_another_is_found() {
    let (home, id) = sealed();
    let other = home.sealed(2, RECORDS);
    let runs = home.store.home().join("runs");
    fs::remove_dir_all(runs.join(id.as_str())).unwrap();
    fs::rename(runs.join(other.as_str()), runs.join(id.as_str())).unwrap();
    expect(&home, &id, METADATA, None, &Damage::MetadataAltered);
}

#[test]
fn a_running_session_is_running() {
    let home = Home::new();
    let (session, _) = home.begin(1);
    crate::fixture::write(&session, 3);
    let verdict = home.verdict(session.id());
    assert_eq!((verdict.overall, verdict.exit_code()), (Overall::Running, exit::UNSEALED));
    assert_eq!(verdict.problems.len(), 1);
}

#[test]
fn a_crash_between_the_ledger_and_the_metadata_is_no_attack() {
    let (home, id) = sealed();
    let path = home.path(&id, METADATA);
    let good = fs::read(&path).unwrap();
    let incomplete = serde_json::to_vec(&home.metadata(1)).unwrap();
    fs::write(&path, [incomplete.as_slice(), b"\n"].concat()).unwrap();
    fs::write(home.path(&id, ".pending-0123456789abcdef"), &good).unwrap();
    assert_eq!(home.verdict(&id).overall, Overall::Whole);
    // A forged one does not have the seal that the ledger knows.
    fs::write(home.path(&id, ".pending-0123456789abcdef"), good.split_at(good.len() - 9).0).unwrap();
    expect(&home, &id, METADATA, None, &Damage::MetadataAltered);
}

#[test]
fn a_crash_before_the_first_metadata_is_no_attack() {
    for bytes in [None, Some(vec![]), Some(vec![0; 512])] {
        let (home, id) = unsealed();
        match bytes {
            Some(bytes) => fs::write(home.path(&id, METADATA), bytes).unwrap(),
            None => fs::remove_file(home.path(&id, METADATA)).unwrap(),
        }
        assert_eq!(home.verdict(&id).overall, Overall::Torn);
        fs::remove_file(home.stream(&id, StreamName::Actions)).unwrap();
        assert_eq!(home.verdict(&id).overall, Overall::Torn, "files are made before the metadata");
    }
}

#[test]
fn lines_longer_than_a_block_are_walked() {
    let home = Home::new();
    let (session, metadata) = home.begin(1);
    let mut ends = crate::fixture::write(&session, 0);
    let mut writer = session.stream(STREAM).unwrap();
    for seq in 1..=5_u64 {
        let text = "x".repeat(usize::try_from(seq).unwrap() * 700_000);
        writer.append(&crate::fixture::Note { seq, text }).unwrap();
    }
    ends.push((STREAM, writer.finish().0));
    let id = session.seal(metadata, ends, &capsule_core::ProcessTree::default()).unwrap().id().clone();
    let verdict = home.verdict(&id);
    assert_eq!((verdict.overall, verdict.streams[1].records), (Overall::Whole, 5));
}

#[test]
fn a_verdict_reads_back_from_json() {
    let (home, id) = sealed();
    home.edit(&id, STREAM, |lines| drop(lines.remove(2)));
    let verdict = home.verdict(&id);
    let json = serde_json::to_string(&verdict).unwrap();
    assert!(json.contains("\"damage\":\"removed\""), "{json}");
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    assert_eq!(verdict.first().unwrap().to_string(), "`events.jsonl`: record 3 was removed");
}
