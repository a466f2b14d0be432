//! A session of every format version that was ever released, as it was written then: it still reads and still verifies.
//!
//! `testdata/v<major>.<minor>/` is a home. A new version gets a new one from `freeze`; the old ones are never written again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use capsule_core::{
    ActionEvent, ActionPhase, ByteString, Context, Coverage, EnrichedEvent, EnvRef, Environment, EventKind, Evidence,
    ExecInfo, ExitStatus, FORMAT_VERSION, Fact, Ids, Label, Origin, Pid, ProcId, ProcessEvent, ProcessTree, RawBody,
    RawRecord, RiskEvent, Role, Seq, SessionId, SessionMetadata, SessionStatus, Severity, Snapshot, SpawnKind,
    StreamName, StreamSeal, Timestamp, Workflow,
};
use serde::Serialize;

use crate::key::VerificationKey;
use crate::{Overall, SessionWriter, Store, Unsealed, VerifyOptions, verify};

const START: u64 = 1_705_329_000_000_000_000;
const KEY: &str = "capsule-verify-1:1111111111111111111111111111111111111111111111111111111111111111";

fn testdata(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(version)
}

fn env(whole: bool) -> EnvRef {
    let names = ["HOME", "API_TOKEN"].map(ByteString::from).to_vec();
    let values = BTreeMap::from([("HOME".to_owned(), ByteString::from("/home/user"))]);
    EnvRef { environment: Arc::new(Environment { id: 1, names, values }), whole }
}

fn at(seq: u64) -> Timestamp {
    Timestamp(START + seq * 1_000_000)
}

/// Raw records of every shape, as they were written.
fn raw() -> Vec<RawRecord> {
    let exec = |pid, whole| RawBody::Exec {
        pid: Pid(pid),
        from_tid: None,
        filename: Some(ByteString::from("/usr/bin/printf")),
        argv: [b"printf".as_slice(), b"", b"a\nb\xff\x00c", "naïve \u{202e}".as_bytes()].iter().collect(),
        snapshot: Some(Snapshot {
            cwd: Some(ByteString::new(b"/tmp/\xc3\x28")),
            ids: Some(Ids { uid: 1000, euid: 1000, gid: 1000, egid: 1000 }),
            env: Some(env(whole)),
            ..Snapshot::empty(Origin::Stopped)
        }),
    };
    let bodies = [
        RawBody::Spawn { parent: None, child: Pid(100), how: SpawnKind::Root },
        exec(100, true),
        RawBody::Spawn { parent: Some(Pid(100)), child: Pid(101), how: SpawnKind::Vfork },
        exec(101, false),
        RawBody::ExecFailed { pid: Pid(101), filename: None, argv: ["x"].iter().collect(), errno: 2 },
        RawBody::Loss { count: 3, since: Some(at(4)), reason: "a full buffer".to_owned() },
        RawBody::Exit { pid: Pid(101), status: ExitStatus::Signaled { signal: 9, core_dumped: true }, rusage: None },
        RawBody::LeftRunning { pid: Pid(100) },
    ];
    bodies.into_iter().zip(1..).map(|(body, seq)| RawRecord { seq: Seq(seq), timestamp: at(seq), body }).collect()
}

fn events() -> Vec<ProcessEvent> {
    let exec = ExecInfo {
        filename: Some(ByteString::from("/usr/bin/printf")),
        argv: ["printf", "x"].iter().collect(),
        exe: Some(ByteString::from("/usr/bin/printf")),
        cwd: Some(ByteString::from("/tmp")),
        from_tid: None,
        snapshot: None,
    };
    let kinds = [
        EventKind::Spawn(SpawnKind::Root),
        EventKind::Exec(Arc::new(exec.clone())),
        EventKind::Exec(Arc::new(exec)),
        EventKind::Gap { count: 3, since: None, reason: "a full buffer".to_owned() },
        EventKind::Exit { status: ExitStatus::Exited(3), rusage: None },
    ];
    let event = |(kind, seq)| ProcessEvent {
        seq: Seq(seq),
        raw: Seq(seq),
        timestamp: at(seq),
        pid: Pid(if seq == 4 { 0 } else { 100 }),
        ppid: None,
        kind,
    };
    kinds.into_iter().zip(1..).map(event).collect()
}

fn enriched() -> Vec<EnrichedEvent> {
    let context = |whole| Context {
        exe: Fact::Known(ByteString::from("/usr/bin/printf"), Origin::Stopped),
        cwd: Fact::Known(ByteString::from("/tmp"), Origin::Procfs),
        ids: Fact::Absent("the process had ended".into()),
        tty: Fact::Known(ByteString::from(""), Origin::Stopped),
        sid: Fact::Known(7, Origin::Stopped),
        pgid: Fact::Known(7, Origin::Stopped),
        cgroup: Fact::Absent("not recorded".into()),
        env: Fact::Known(env(whole), Origin::Stopped),
        fds: Fact::Absent("not recorded".into()),
        user: None,
        group: None,
        container: None,
        ns_pid: None,
    };
    let with = |event: ProcessEvent| EnrichedEvent {
        context: matches!(event.kind, EventKind::Exec(_)).then(|| Arc::new(context(event.seq == Seq(2)))),
        event,
    };
    events().into_iter().map(with).collect()
}

fn actions() -> Vec<ActionEvent> {
    vec![ActionEvent {
        seq: Seq(1),
        timestamp: at(2),
        proc: ProcId(1),
        pid: Pid(100),
        event: Seq(2),
        phase: ActionPhase::Final,
        label: Label::Tool,
        workflow: Some(Workflow::CodeGeneration),
        role: Role::Asked,
        tool: ByteString::from("printf"),
        summary: ByteString::from("printf x"),
        resources: Vec::new(),
        duration: Some(3_000_000),
        success: Some(false),
        rule: "printf".to_owned(),
    }]
}

fn risks() -> Vec<RiskEvent> {
    vec![RiskEvent {
        seq: Seq(1),
        timestamp: at(2),
        proc: ProcId(1),
        pid: Pid(100),
        severity: Severity::Low,
        category: "execution".to_owned(),
        rule: "a-rule".to_owned(),
        title: "A title".to_owned(),
        why: "For a reason.".to_owned(),
        attack: vec!["T1059".to_owned()],
        evidence: Evidence { procs: vec![ProcId(1)], events: vec![Seq(2)] },
        innocent: None,
        adjusted: None,
        corrects: None,
    }]
}

fn metadata() -> SessionMetadata {
    let started = Timestamp(START);
    let mut metadata = crate::fixture::metadata(SessionId::new(started, 7), started);
    metadata.command = ["printf", "x"].iter().collect();
    metadata.coverage = Some(Coverage {
        backend: metadata.tracer.backend,
        hooks: vec!["exec".to_owned()],
        lost: 3,
        not_seen: vec!["io_uring".to_owned()],
    });
    metadata
}

#[test]
#[ignore = "writes testdata for a new format version, once"]
fn freeze() {
    fn put<T: Serialize>(
        session: &SessionWriter<Unsealed>,
        stream: StreamName,
        records: &[T],
    ) -> (StreamName, StreamSeal) {
        let mut writer = session.stream(stream).unwrap();
        records.iter().for_each(|record| writer.append(record).unwrap());
        let (end, failed) = writer.finish();
        assert!(failed.is_none());
        (stream, end)
    }
    let home = testdata(&format!("v{FORMAT_VERSION}"));
    assert!(!home.exists(), "frozen already: a version is written once");
    let mut metadata = metadata();
    let mut session = Store::at(&home).create(&metadata).unwrap();
    let key = VerificationKey::parse(KEY).unwrap().sealing_key().take(session.id());
    session.seal_with_key(key, Duration::from_millis(5), &metadata).unwrap();
    let mut ends = vec![put(&session, StreamName::Raw, &raw()), put(&session, StreamName::Events, &events())];
    std::thread::sleep(Duration::from_millis(50));
    ends.push(put(&session, StreamName::Enriched, &enriched()));
    ends.push(put(&session, StreamName::Risks, &risks()));
    ends.push(put(&session, StreamName::Actions, &actions()));
    metadata.status = SessionStatus::Complete;
    metadata.ended = Some(at(9));
    session.seal(metadata, ends, &ProcessTree::default()).unwrap();
}

/// A copy that tests may touch, with the rights that a version control system does not keep.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(fs::copy(entry.path(), target))
        }
    }
}

#[test]
fn the_session_of_version_1_0_reads_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    copy(&testdata("v1.0"), &home);
    let store = Store::at(&home);
    let session = store.find("latest").unwrap();
    let key = VerificationKey::parse(KEY).unwrap();
    let verdict = verify(&session, &VerifyOptions::in_store(&store).with_key(&key)).unwrap();
    assert_eq!(verdict.overall, Overall::Whole, "{verdict:#?}");
    let read = session.metadata().unwrap();
    assert_eq!((read.status, read.coverage), (SessionStatus::Complete, metadata().coverage));

    // Environments that were written by number come back with their names.
    assert_eq!(session.raw().unwrap().map(Result::unwrap).collect::<Vec<_>>(), raw());
    assert_eq!(session.enriched().unwrap().map(Result::unwrap).collect::<Vec<_>>(), enriched());
    assert_eq!(session.actions().unwrap().map(Result::unwrap).collect::<Vec<_>>(), actions());
    assert_eq!(session.risks().unwrap().map(Result::unwrap).collect::<Vec<_>>(), risks());
    assert_eq!(session.events().unwrap().map(Result::unwrap).collect::<Vec<_>>(), events());
}

#[test]
fn the_version_that_is_written_is_frozen() {
    assert!(testdata(&format!("v{FORMAT_VERSION}")).exists(), "run `freeze` once for the new version");
}
