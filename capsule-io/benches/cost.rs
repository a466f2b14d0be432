//! What keeping costs: a link of the chain by the record's size, a record through a chained stream to disk, and the bus.
//!
//! `cargo bench -p capsule-io`
#![expect(clippy::unwrap_used, reason = "a benchmark without its surroundings has no result")]

use std::path::Path;

use capsule_core::{
    Argv, ByteString, Origin, Pid, RawBody, RawRecord, Seq, SessionId, Snapshot, SpawnKind, StreamName, Timestamp,
};
use capsule_io::chain::{Chain, STREAM_DOMAIN};
use capsule_io::{Bus, Store, WhenFull};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Records a round.
const RECORDS: u64 = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 300, 1000, 10_000])]
fn link(bencher: Bencher<'_, '_>, bytes: usize) {
    let chain = Chain::new(STREAM_DOMAIN, "2024-01-15T14:30:00Z-abc123", "raw");
    let (start, line) = (chain.start(), vec![b'x'; bytes]);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| chain.link(black_box(1), start, black_box(&line)));
}

fn record(seq: u64) -> RawRecord {
    let argv: Argv = ["git", "status", "--porcelain"].iter().collect();
    let body = if seq.is_multiple_of(2) {
        RawBody::Spawn { parent: Some(Pid(1)), child: Pid(2), how: SpawnKind::Vfork }
    } else {
        let snapshot = Snapshot { cwd: Some(ByteString::from("/home/user")), ..Snapshot::empty(Origin::Stopped) };
        let filename = Some(ByteString::from("/usr/bin/git"));
        RawBody::Exec { pid: Pid(2), from_tid: None, filename, argv, snapshot: Some(snapshot) }
    };
    RawRecord { seq: Seq(seq), timestamp: Timestamp(1 << 60), body }
}

/// JSON, hashing and writing, as a recorder does it.
#[divan::bench(sample_count = 20)]
fn stream(bencher: Bencher<'_, '_>) {
    let home = tempfile::tempdir().unwrap();
    let records: Vec<RawRecord> = (1..=RECORDS).map(record).collect();
    let frozen = Store::at(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1.0"));
    let mut metadata = frozen.find("latest").unwrap().metadata().unwrap();
    let mut number = 0;
    bencher
        .counter(ItemsCount::new(RECORDS))
        .with_inputs(|| {
            number += 1;
            metadata.id = SessionId::new(metadata.started, number);
            let session = Store::at(home.path()).create(&metadata).unwrap();
            let writer = session.stream(StreamName::Raw).unwrap();
            (session, writer)
        })
        .bench_local_values(|(session, mut writer)| {
            records.iter().for_each(|record| writer.append(record).unwrap());
            (session, writer.finish())
        });
}

/// Batches of so many records to four subscribers on one thread.
#[divan::bench(args = [1, 16, 256])]
fn bus(bencher: Bencher<'_, '_>, batch: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        runtime.block_on(async {
            let mut bus = Bus::new("measured", 2048);
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let mut subscription = bus.subscribe(WhenFull::Block);
                    tokio::spawn(async move {
                        let mut sum = 0_u64;
                        while let Some(batch) = subscription.recv().await {
                            sum += batch.iter().sum::<u64>();
                        }
                        sum
                    })
                })
                .collect();
            let mut publisher = bus.into_publisher();
            let mut next = 0;
            while next < RECORDS {
                let end = (next + batch).min(RECORDS);
                publisher.send((next..end).collect()).await;
                next = end;
            }
            drop(publisher);
            for reader in readers {
                assert_eq!(reader.await.unwrap(), RECORDS * (RECORDS - 1) / 2);
            }
        });
    });
}
