use super::*;

fn spawn(pid: u32) -> CaptureBody {
    CaptureBody::Spawn { parent: None, child: Pid(pid), how: SpawnKind::Fork }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

async fn drain(receiver: &mut RawReceiver) -> Vec<RawRecord> {
    let mut all = Vec::new();
    while let Some(batch) = receiver.recv().await {
        assert!(!batch.is_empty());
        all.extend(batch);
    }
    all
}

#[test]
fn a_tiny_queue_and_a_slow_receiver_lose_nothing() {
    let (sink, mut receiver) = channel(1, Redactor::off());
    let tracer = std::thread::spawn(move || (0..5000).for_each(|pid| sink.push(Timestamp(1), spawn(pid))));
    let records = runtime().block_on(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drain(&mut receiver).await
    });
    tracer.join().unwrap();
    assert_eq!(records.len(), 5000);
    assert!(records.iter().enumerate().all(|(n, record)| record.seq == Seq(n as u64 + 1)));
}

#[test]
fn a_receiver_that_went_away_frees_a_waiting_tracer() {
    let (sink, receiver) = channel(1, Redactor::off());
    let tracer = std::thread::spawn(move || {
        (0..10).for_each(|pid| sink.push(Timestamp(1), spawn(pid)));
        sink.is_closed()
    });
    drop(receiver);
    assert!(tracer.join().unwrap());
}

#[test]
fn the_end_comes_after_the_last_clone_only() {
    let (sink, mut receiver) = channel(DEFAULT_BUFFER_BYTES, Redactor::off());
    let second = sink.clone();
    drop(sink);
    let tracer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        second.push(Timestamp(1), spawn(1));
    });
    assert_eq!(runtime().block_on(drain(&mut receiver)).len(), 1);
    tracer.join().unwrap();
}

#[test]
fn loss_is_counted_and_recorded() {
    let (sink, mut receiver) = channel(DEFAULT_BUFFER_BYTES, Redactor::off());
    sink.loss(Timestamp(5), 3, Some(Timestamp(2)), "ring full");
    assert_eq!(sink.lost(), 3);
    drop(sink);
    let records = runtime().block_on(drain(&mut receiver));
    assert!(matches!(&records[0].body, RawBody::Loss { count: 3, reason, .. } if reason == "ring full"));
}

#[test]
fn an_exec_leaves_without_its_secrets() {
    let (sink, mut receiver) = channel(DEFAULT_BUFFER_BYTES, Redactor::new([7; 32]));
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let capture = ExecCapture {
        pid: Pid(7),
        from_tid: None,
        filename: Some(b"/usr/bin/curl".to_vec()),
        argv: Argv::from_iter(["curl", "-H", &format!("Authorization: Bearer {secret}")]),
        env: Some(Arc::from(format!("GITHUB_TOKEN={secret}\0HOME=/root\0").as_bytes())),
        snapshot: Some(Snapshot::empty(capsule_core::Origin::Stopped)),
    };
    sink.push(Timestamp(1), CaptureBody::Exec(Box::new(capture)));
    drop(sink);
    let records = runtime().block_on(drain(&mut receiver));
    let json = serde_json::to_string(&records).unwrap();
    assert!(!json.contains(secret), "{json}");
    assert!(json.contains("GITHUB_TOKEN") && json.contains("/root"), "{json}");
}
