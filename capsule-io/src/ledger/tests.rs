use std::fs;

use super::*;
use crate::fixture::Home;

fn whole() -> (Home, std::path::PathBuf) {
    let home = Home::new();
    home.sealed(1, 1);
    home.sealed(2, 1);
    let path = home.store.home().join(LEDGER);
    (home, path)
}

fn lines(path: &std::path::Path) -> Vec<Vec<u8>> {
    fs::read(path).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn beginnings_and_seals_stand_in_order() {
    let (home, _) = whole();
    let ledger = home.store.ledger().unwrap();
    let kinds: Vec<LedgerKind> = ledger.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [LedgerKind::Begin, LedgerKind::Seal, LedgerKind::Begin, LedgerKind::Seal]);
    assert_eq!((ledger.damage, ledger.behind.len()), (None, 0));
}

#[test]
fn a_torn_tail_neither_stops_the_next_entry_nor_counts_as_one() {
    let (home, path) = whole();
    let good = fs::read(&path).unwrap();
    let last = lines(&path).pop().unwrap().len();
    for cut in 1..=last {
        fs::write(&path, good.split_at(good.len() - cut).0).unwrap();
        let (session, _) = home.begin(10 + cut as u64);
        let ledger = home.store.ledger().unwrap();
        assert_eq!(ledger.damage, None, "cut {cut}");
        assert!(ledger.find(session.id(), LedgerKind::Begin).is_some(), "cut {cut}");
        // A cut of the newline alone loses nothing: the next entry ends the line.
        assert_eq!(ledger.entries.len(), if cut == 1 { 5 } else { 4 }, "cut {cut}");
    }
}

#[test]
fn every_edit_of_an_entry_is_found_at_its_line() {
    let (home, path) = whole();
    let good = lines(&path);
    let broken = |edit: fn(&mut Vec<Vec<u8>>)| {
        let mut edited = good.clone();
        edit(&mut edited);
        fs::write(&path, edited.concat()).unwrap();
        home.store.ledger().unwrap().damage.map(|damage| damage.line)
    };
    assert_eq!(broken(|_| {}), None);
    assert_eq!(broken(|lines| lines[1][30] ^= 1), Some(2));
    assert_eq!(broken(|lines| drop(lines.remove(1))), Some(2));
    assert_eq!(broken(|lines| lines.swap(1, 2)), Some(2));
    assert_eq!(broken(|lines| lines.insert(2, lines[1].clone())), Some(3));
    assert_eq!(broken(|lines| lines.insert(1, b"{\"seq\":2,\"kind\":\"seal\"}\n".to_vec())), Some(2));
}

#[test]
fn flipping_any_byte_of_the_ledger_is_found() {
    let (home, path) = whole();
    let good = fs::read(&path).unwrap();
    let whole = home.store.ledger().unwrap().entries;
    for at in 0..good.len() {
        let mut edited = good.clone();
        edited[at] ^= 1;
        fs::write(&path, &edited).unwrap();
        let ledger = home.store.ledger().unwrap();
        assert!(ledger.damage.is_some() || ledger.entries != whole, "byte {at}");
    }
}

#[test]
fn two_recorders_at_once_make_one_chain() {
    let home = Home::new();
    home.store.prepare().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let home = &home;
            scope.spawn(move || {
                for n in 0..10 {
                    home.sealed(worker * 100 + n, 1);
                }
            });
        }
    });
    let ledger = home.store.ledger().unwrap();
    assert_eq!((ledger.damage, ledger.entries.len()), (None, 80));
}

#[test]
fn somebody_who_holds_the_lock_does_not_hang_the_recorder() {
    let (home, path) = whole();
    let held = fs::File::open(&path).unwrap();
    held.lock().unwrap();
    let file = fs::File::open(&path).unwrap();
    let refused = lock_within(&file, std::time::Duration::from_millis(20));
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    drop(held);
    assert!(lock_within(&file, std::time::Duration::ZERO).is_ok());
    drop(home);
}
