use std::fs;

use super::*;
use crate::fixture::Home;
use crate::{LedgerFact, Overall};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

fn five() -> (Home, Vec<SessionId>) {
    let home = Home::new();
    let ids = (1..=5).map(|second| home.sealed(second, 2)).collect();
    (home, ids)
}

fn planned(home: &Home, retention: Retention) -> Vec<(SessionId, Reason)> {
    let plan = home.store.plan_prune(&retention).unwrap();
    plan.remove.into_iter().map(|candidate| (candidate.session, candidate.reason)).collect()
}

#[test]
fn nothing_goes_without_a_limit() {
    let (home, _) = five();
    assert!(planned(&home, Retention::default()).is_empty());
}

#[test]
fn each_limit_takes_the_oldest_and_the_newest_stay() {
    let (home, ids) = five();
    let before = home.store.session(&ids[2]).unwrap().metadata().unwrap().started;
    let old = planned(&home, Retention { before: Some(before), ..Retention::default() });
    assert_eq!(old, [(ids[0].clone(), Reason::Old), (ids[1].clone(), Reason::Old)]);
    let count = planned(&home, Retention { count: Some(1), keep: 3, ..Retention::default() });
    assert_eq!(count, [(ids[0].clone(), Reason::Count), (ids[1].clone(), Reason::Count)]);
    let one = size(home.store.session(&ids[0]).unwrap().path());
    let large = planned(&home, Retention { bytes: Some(one * 4 + one / 2), ..Retention::default() });
    assert_eq!(large, [(ids[0].clone(), Reason::Size)]);
}

#[test]
fn a_plan_changes_nothing_and_the_deed_leaves_an_entry_behind() {
    let (home, ids) = five();
    let seal = home.verdict(&ids[0]).seal;
    let plan = home.store.plan_prune(&Retention { count: Some(4), ..Retention::default() }).unwrap();
    assert!(plan.freed() > 0);
    assert_eq!(home.store.ids().unwrap().len(), 5);
    let done = home.store.prune(&plan, NOW).unwrap();
    assert!(done.iter().all(|pruned| pruned.failed.is_none()), "{done:?}");
    assert_eq!(home.store.ids().unwrap(), ids[1..]);
    assert_eq!(fs::read_dir(home.store.home().join("runs")).unwrap().count(), 4);
    let ledger = home.store.ledger().unwrap();
    assert_eq!(ledger.damage, None);
    assert_eq!(ledger.find(&ids[0], LedgerKind::Prune).unwrap().seal, seal);
    assert!(home.store.vanished().unwrap().is_empty());
    let verdict = home.verdict(&ids[4]);
    assert_eq!((verdict.overall, verdict.ledger), (Overall::Whole, LedgerFact::Known));
}

#[test]
fn a_session_deleted_by_somebody_else_has_vanished() {
    let (home, ids) = five();
    fs::remove_dir_all(home.path(&ids[3], "")).unwrap();
    assert_eq!(home.store.vanished().unwrap(), [ids[3].clone()]);
}

#[test]
fn a_running_session_stays_even_when_it_began_to_run_after_the_plan() {
    let home = Home::new();
    let (session, _) = home.begin(1);
    assert!(planned(&home, Retention { count: Some(0), ..Retention::default() }).is_empty());
    let id = session.id().clone();
    let candidate = Candidate { session: id, bytes: 0, state: SessionState::Unsealed, reason: Reason::Count };
    let plan = PrunePlan { remove: vec![candidate], ..PrunePlan::default() };
    let done = home.store.prune(&plan, NOW).unwrap();
    assert!(matches!(done[0].failed, Some(StoreError::StillRunning { .. })));
    assert!(session.path().join(METADATA).exists());
}

#[test]
fn links_are_removed_and_not_followed_and_strange_directories_stay() {
    let (home, ids) = five();
    let precious = home.outside().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    std::os::unix::fs::symlink(&precious, home.path(&ids[0], "link")).unwrap();
    fs::create_dir(home.path(&ids[1], "strange")).unwrap();
    let plan = home.store.plan_prune(&Retention { count: Some(3), ..Retention::default() }).unwrap();
    let done = home.store.prune(&plan, NOW).unwrap();
    assert!(done[0].failed.is_none() && done[1].failed.is_some(), "{done:?}");
    assert!(precious.join("file").exists());
    assert_eq!(home.verdict(&ids[1]).overall, Overall::Whole);
}
