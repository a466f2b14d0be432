//! The recorded program reaches the session's files while they are written.

use std::fs;
use std::os::unix::fs::symlink;

use capsule_core::{ProcessTree, StreamName};

use super::*;
use crate::fixture::{Home, Note};
use crate::layout::METADATA;
use crate::{Overall, SessionWriter, Unsealed};

/// Records, lets `attack` at the files in the middle, records on, and seals.
fn attacked(attack: impl FnOnce(&Home, &SessionWriter<Unsealed>)) -> (Home, capsule_core::SessionId, Vec<Disturbance>) {
    let home = Home::new();
    let (session, metadata) = home.begin(1);
    let id = session.id().clone();
    let mut writers = StreamName::ALL.map(|stream| session.stream(stream).unwrap());
    let note = |seq| Note { seq, text: "said".to_owned() };
    for writer in &mut writers {
        (1..=3).for_each(|seq| writer.append(&note(seq)).unwrap());
        writer.flush().unwrap();
    }
    attack(&home, &session);
    for writer in &mut writers {
        (4..=6).for_each(|seq| writer.append(&note(seq)).unwrap());
    }
    let ends = writers.into_iter().map(|writer| (writer.stream(), writer.finish().0)).collect();
    let sealed = session.seal(metadata, ends, &ProcessTree::default()).unwrap();
    let disturbances = sealed.disturbances().to_vec();
    (home, id, disturbances)
}

fn whole(home: &Home, id: &capsule_core::SessionId) {
    let verdict = home.verdict(id);
    assert_eq!(verdict.overall, Overall::Whole, "{verdict:#?}");
    assert!(verdict.streams.iter().all(|stream| stream.records == 6));
}

#[test]
fn an_undisturbed_session_says_nothing() {
    let (home, id, disturbances) = attacked(|_, session| assert!(session.disturbances().is_empty()));
    whole(&home, &id);
    assert!(disturbances.is_empty());
}

#[test]
fn a_deleted_file_is_restored_from_the_open_one_and_flagged() {
    let (home, id, disturbances) = attacked(|home, session| {
        fs::remove_file(home.stream(session.id(), StreamName::Raw)).unwrap();
        assert_eq!(session.disturbances().len(), 1);
    });
    whole(&home, &id);
    assert_eq!(disturbances, [Disturbance { file: "raw.jsonl".to_owned(), what: Interference::Deleted }]);
    let said = home.store.session(&id).unwrap().metadata().unwrap().disturbances;
    assert_eq!(said, ["raw.jsonl was deleted or moved away"]);
}

#[test]
fn a_file_replaced_by_a_link_is_restored_and_the_link_kept() {
    let (home, id, disturbances) = attacked(|home, session| {
        let path = home.stream(session.id(), StreamName::Risks);
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", path).unwrap();
    });
    whole(&home, &id);
    assert_eq!(disturbances, [Disturbance { file: "risks.jsonl".to_owned(), what: Interference::Replaced }]);
    let kept = fs::read_dir(home.path(&id, ""))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(ASIDE));
    assert_eq!(kept.count(), 1);
}

#[test]
fn a_directory_that_is_deleted_is_made_anew() {
    let (home, id, disturbances) = attacked(|home, session| fs::remove_dir_all(home.path(session.id(), "")).unwrap());
    whole(&home, &id);
    assert_eq!(disturbances, [Disturbance { file: String::new(), what: Interference::Deleted }]);
}

#[test]
fn a_directory_that_is_swapped_is_put_aside() {
    let (home, id, disturbances) = attacked(|home, session| {
        let path = home.store.home().join("runs").join(session.id().as_str());
        fs::rename(&path, home.outside().join("stolen")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join(METADATA), "{\"everything\":\"is fine\"}").unwrap();
    });
    whole(&home, &id);
    assert_eq!(disturbances, [Disturbance { file: String::new(), what: Interference::Replaced }]);
    let names: Vec<String> = fs::read_dir(home.store.home().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_whole_home_deleted_is_made_anew() {
    let (home, id, disturbances) = attacked(|home, _| fs::remove_dir_all(home.store.home()).unwrap());
    whole(&home, &id);
    let what: Vec<&str> = disturbances.iter().map(|disturbance| disturbance.file.as_str()).collect();
    assert_eq!(what, ["", LEDGER]);
}

#[test]
fn an_emptied_file_is_flagged_and_the_chain_shows_it() {
    let (home, id, disturbances) = attacked(|home, session| {
        fs::File::options().write(true).open(home.stream(session.id(), StreamName::Raw)).unwrap().set_len(10).unwrap();
        assert_eq!(session.disturbances()[0].what, Interference::Shortened);
    });
    // Our writes went on behind the hole, so the length is right again at the end; the chain is not.
    assert!(disturbances.is_empty());
    assert_eq!(home.verdict(&id).first().unwrap().record, Some(1));
    assert_eq!(home.verdict(&id).overall, Overall::Tampered);
}

#[test]
fn lines_appended_by_somebody_else_are_flagged_and_shown() {
    let (home, id, disturbances) = attacked(|home, session| {
        use std::io::Write as _;
        let path = home.stream(session.id(), StreamName::Raw);
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(&[b'x'; 4096]).unwrap();
    });
    assert_eq!(disturbances, [Disturbance { file: "raw.jsonl".to_owned(), what: Interference::Lengthened }]);
    assert_eq!(home.verdict(&id).overall, Overall::Tampered);
}
