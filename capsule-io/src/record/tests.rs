use std::time::Duration;

use capsule_core::StreamName;

use crate::bus::{Bus, WhenFull};
use crate::fixture::{Home, Note};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn note(seq: u64) -> Note {
    Note { seq, text: "said".to_owned() }
}

#[test]
fn a_running_session_can_be_read_while_nothing_more_comes() {
    runtime().block_on(async {
        let home = Home::new();
        let (session, _) = home.begin(1);
        let path = home.stream(session.id(), StreamName::Raw);
        let mut bus = Bus::new("raw", 64);
        let task =
            tokio::spawn(super::record(bus.subscribe(WhenFull::Block), session.stream(StreamName::Raw).unwrap()));
        let mut publisher = bus.into_publisher();
        publisher.send(vec![note(1), note(2)]).await;
        let mut lines = 0;
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            lines = std::fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count();
            if lines == 2 {
                break;
            }
        }
        assert_eq!(lines, 2, "two records wait, and nobody writes them");
        drop(publisher);
        assert_eq!(task.await.unwrap().0.records, 2);
    });
}

#[test]
fn a_full_disk_is_reported_at_the_end_and_never_blocks_the_bus() {
    runtime().block_on(async {
        let file = std::sync::Arc::new(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let id = capsule_core::SessionId::parse("x").unwrap();
        let writer = crate::fixture::writer(file, "/dev/full".into(), &id);
        let mut bus = Bus::new("raw", 8);
        let task = tokio::spawn(super::record(bus.subscribe(WhenFull::Block), writer));
        let mut publisher = bus.into_publisher();
        for seq in 1..=5_000 {
            tokio::time::timeout(Duration::from_secs(20), publisher.send(vec![note(seq)])).await.unwrap();
        }
        drop(publisher);
        let (seal, failed) = task.await.unwrap();
        assert_eq!(seal.records, 0);
        assert_eq!(failed.unwrap().io_kind(), Some(std::io::ErrorKind::StorageFull));
    });
}
