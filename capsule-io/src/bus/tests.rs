use std::time::Duration;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

async fn collect(mut from: Subscription<u64>, pause: Duration) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(batch) = from.recv().await {
        assert_eq!(batch.missed(), 0);
        all.extend(batch.iter().copied());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    all
}

#[test]
fn nothing_is_lost_under_a_receiver_that_sleeps() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 16);
        let (slow, fast) = (bus.subscribe(WhenFull::Block), bus.subscribe(WhenFull::Block));
        let monitor = bus.monitor();
        let mut publisher = bus.into_publisher();
        let slow = tokio::spawn(collect(slow, Duration::from_micros(200)));
        let fast = tokio::spawn(collect(fast, Duration::ZERO));
        for chunk in (0..2_000_u64).collect::<Vec<_>>().chunks(5) {
            publisher.send(chunk.to_vec()).await;
        }
        drop(publisher);
        let expected: Vec<u64> = (0..2_000).collect();
        assert_eq!(slow.await.unwrap(), expected);
        assert_eq!(fast.await.unwrap(), expected);
        let stats = monitor.stats();
        assert_eq!((stats.lagged, stats.dropped, stats.records, stats.depth), (0, 0, 2_000, 0));
        assert!(stats.waits > 0, "the slow receiver never held up the publisher");
        assert!((1..=16).contains(&stats.high_water), "{stats:?}");
    });
}

#[test]
fn a_batch_larger_than_the_capacity_goes_through_and_alone() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 4);
        let mut subscription = bus.subscribe(WhenFull::Block);
        let mut publisher = bus.into_publisher();
        publisher.send((0..100).collect()).await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), publisher.send(vec![100])).await;
        assert!(waiting.is_err(), "the credits of the large batch are not all taken");
        assert_eq!(subscription.recv().await.unwrap().len(), 100);
        publisher.send(vec![101]).await;
        assert_eq!(subscription.recv().await.unwrap().to_vec(), [101]);
        drop(publisher);
        assert!(subscription.recv().await.is_none());
    });
}

#[test]
fn credits_come_back_only_when_the_batch_is_dropped() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 1);
        let mut subscription = bus.subscribe(WhenFull::Block);
        let mut publisher = bus.into_publisher();
        publisher.send(vec![1_u64]).await;
        let held = subscription.recv().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), publisher.send(vec![2])).await.is_err());
        drop(held);
        publisher.send(vec![3]).await;
        assert_eq!(subscription.recv().await.unwrap().to_vec(), [3]);
    });
}

#[test]
fn a_subscriber_that_is_dropped_while_the_publisher_waits_for_it_lets_it_go() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 2);
        let (gone, stays) = (bus.subscribe(WhenFull::Block), bus.subscribe(WhenFull::Block));
        let mut publisher = bus.into_publisher();
        let stays = tokio::spawn(collect(stays, Duration::ZERO));
        publisher.send(vec![1, 2]).await;
        let sending = tokio::spawn(async move {
            for n in 3..100_u64 {
                publisher.send(vec![n]).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(!sending.is_finished());
        drop(gone);
        tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap().unwrap();
        assert_eq!(stays.await.unwrap(), (1..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_panicking_subscriber_does_not_hang_the_publisher() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 1);
        let mut subscription = bus.subscribe(WhenFull::Block);
        let mut publisher = bus.into_publisher();
        let stage = tokio::spawn(async move {
            let _batch = subscription.recv().await;
            panic!("on purpose");
        });
        for n in 0..50_u64 {
            tokio::time::timeout(Duration::from_secs(20), publisher.send(vec![n])).await.unwrap();
        }
        assert!(stage.await.is_err());
    });
}

#[test]
fn a_view_misses_records_rather_than_holding_anybody_up_and_is_told_how_many() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 4);
        let mut view = bus.subscribe(WhenFull::DropNewest);
        let recorder = bus.subscribe(WhenFull::Block);
        let monitor = bus.monitor();
        let mut publisher = bus.into_publisher();
        let recorder = tokio::spawn(collect(recorder, Duration::ZERO));
        for n in 0..10_u64 {
            publisher.send(vec![n]).await;
        }
        let seen: Vec<u64> = (0..4)
            .map(|_| view.try_recv())
            .map(|poll| match poll {
                Poll::Ready(batch) => batch[0],
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, [0, 1, 2, 3]);
        publisher.send(vec![10]).await;
        let next = view.recv().await.unwrap();
        assert_eq!((next.missed(), next.to_vec()), (6, vec![10]));
        drop(publisher);
        assert!(view.recv().await.is_none());
        assert_eq!(recorder.await.unwrap(), (0..=10).collect::<Vec<_>>());
        assert_eq!(monitor.stats().dropped, 6);
    });
}

#[test]
fn what_was_sent_before_the_end_arrives_before_the_end() {
    runtime().block_on(async {
        let mut bus = Bus::new("test", 8);
        let mut subscription = bus.subscribe(WhenFull::Block);
        let mut publisher = bus.into_publisher();
        assert!(matches!(subscription.try_recv(), Poll::Empty));
        publisher.send(Vec::new()).await;
        publisher.send(vec![1_u64, 2]).await;
        drop(publisher);
        assert_eq!(subscription.recv().await.unwrap().to_vec(), [1, 2]);
        assert!(matches!(subscription.try_recv(), Poll::Closed));
        assert!(subscription.recv().await.is_none());
    });
}

#[test]
fn a_bus_without_subscribers_takes_records() {
    runtime().block_on(async {
        let mut publisher = Bus::new("test", 1).into_publisher();
        for n in 0..10_u64 {
            publisher.send(vec![n]).await;
        }
        assert_eq!(publisher.monitor().stats().records, 10);
    });
}
