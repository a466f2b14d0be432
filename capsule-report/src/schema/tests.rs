use capsule_core::{
    Backend, ByteString, Context, Effect, EffectKind, Endpoint, EnvTable, EventKind, ExitStatus, Fact, FileKind,
    FileState, Ids, Origin, Pid, RawBody, RawRecord, ResourceUsage, Seq, Snapshot, SpawnKind, Timestamp,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{SCHEMAS, schema};
use crate::{Options, Report, support};

/// A validator that also refuses fields which the schema does not know: then the mirror has fallen behind.
fn strict(name: &str) -> jsonschema::Validator {
    fn close(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(close);
                let closed = fields.contains_key("properties") && !fields.contains_key("additionalProperties");
                if closed && !fields.contains_key("oneOf") {
                    fields.insert("additionalProperties".to_owned(), json!(false));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            _ => {}
        }
    }
    let mut schema = schema(name).unwrap();
    close(&mut schema);
    jsonschema::draft202012::new(&schema).unwrap()
}

fn check(name: &str, instance: &impl Serialize) {
    let value = serde_json::to_value(instance).unwrap();
    let problems: Vec<String> =
        strict(name).iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{name}: {problems:#?}");
}

fn snapshot() -> Snapshot {
    let values = [("HOME".to_owned(), ByteString::from("/root"))].into();
    Snapshot {
        exe: Some(ByteString::new(b"/bin/\xff")),
        cwd: Some("/".into()),
        ids: Some(Ids { uid: 0, euid: 0, gid: 0, egid: 0 }),
        tty: Some("/dev/pts/1".into()),
        sid: Some(1),
        pgid: Some(1),
        cgroup: Some("/x".into()),
        env: Some(EnvTable::default().intern(1, vec!["HOME".into()], values)),
        fds: Some(vec![capsule_core::OpenFile { fd: 0, target: "pipe:[1]".into() }]),
        ns_pid: Some(2),
        ..Snapshot::empty(Origin::Stopped)
    }
}

#[test]
fn every_name_has_a_schema_and_nothing_else_has() {
    for name in SCHEMAS {
        let schema = schema(name).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
        assert!(schema.get("title").is_some());
    }
    assert!(schema("nonsense").is_none());
}

#[test]
fn records_of_every_kind_fit_their_schemas() {
    let pid = Pid(1);
    let effect = Effect {
        kind: EffectKind::NetConnect,
        call: "connect".to_owned(),
        path: Some("/a".into()),
        to: Some("/b".into()),
        endpoint: Some(Endpoint { protocol: "tcp".to_owned(), host: "h".into(), port: Some(1) }),
        detail: Some("d".to_owned()),
        errno: Some(2),
        before: Some(Box::new(FileState {
            mode: Some(0o644),
            uid: Some(0),
            gid: Some(0),
            size: Some(1),
            content: Some("0".repeat(64)),
            target: Some("t".into()),
            not_kept: Some("why".to_owned()),
            ..FileState::of(FileKind::File)
        })),
    };
    let argv: capsule_core::Argv = [b"a".as_slice(), b"\xff"].into_iter().collect();
    let signaled = ExitStatus::Signaled { signal: 9, core_dumped: true };
    let usage = Some(ResourceUsage::default());
    let bodies = [
        RawBody::Spawn { parent: Some(pid), child: pid, how: SpawnKind::Vfork },
        RawBody::Thread { pid, tid: capsule_core::Tid(8) },
        RawBody::Exec { pid, from_tid: None, filename: None, argv: argv.clone(), snapshot: Some(snapshot()) },
        RawBody::ExecFailed { pid, filename: Some("x".into()), argv: argv.clone(), errno: 2 },
        RawBody::Exit { pid, status: signaled, rusage: usage },
        RawBody::LeftRunning { pid },
        RawBody::Effect { pid, effect: effect.clone() },
        RawBody::Line { source: Backend::Strace, text: "x".into() },
        RawBody::Loss { count: 3, since: Some(Timestamp(1)), reason: "r".to_owned() },
    ];
    for body in bodies {
        check("raw", &RawRecord { seq: Seq(1), timestamp: Timestamp(1), body });
    }
    let mut made = support::rich();
    let proc = capsule_core::ProcId(1);
    made.gap(1, 2, "x");
    made.push(None, 1, EventKind::Diagnostic { reason: "x".to_owned() }, None);
    made.push(Some(proc), 1, EventKind::ExecFailed { filename: None, argv, errno: 2 }, None);
    made.push(Some(proc), 1, EventKind::Effect(effect.into()), None);
    made.push(Some(proc), 1, EventKind::Exit { status: signaled, rusage: usage }, None);
    let snapshot = snapshot();
    let absent = || Fact::Absent("gone".into());
    let context = Context {
        exe: Fact::Known("/bin/x".into(), Origin::Kernel),
        cwd: Fact::Absent("gone".into()),
        ids: Fact::Known(snapshot.ids.unwrap(), Origin::Procfs),
        tty: Fact::Known("".into(), Origin::Procfs),
        sid: absent(),
        pgid: absent(),
        cgroup: Fact::Absent("gone".into()),
        env: Fact::Known(snapshot.env.unwrap(), Origin::Stopped),
        fds: Fact::Known(snapshot.fds.unwrap(), Origin::Trace),
        user: Some("u".to_owned()),
        group: Some("g".to_owned()),
        container: Some("c".to_owned()),
        ns_pid: Some(1),
    };
    made.push(Some(proc), 1, EventKind::Spawn(SpawnKind::Attached), Some(context));
    for tracked in &made.events {
        check("event", &tracked.enriched.event);
        check("enriched", &tracked.enriched);
    }
    made.actions.iter().for_each(|action| check("action", action));
    made.risks.iter().for_each(|risk| check("risk", risk));
}

#[test]
fn a_chained_line_fits_and_a_broken_one_does_not() {
    let mut line = serde_json::to_value(&support::sample().actions[0]).unwrap();
    line["chain"] = json!("0".repeat(64));
    check("action", &line);
    line["chain"] = json!("0");
    assert!(!strict("action").is_valid(&line));
    line["chain"] = json!("0".repeat(64));
    line["label"] = json!("Robot");
    assert!(!strict("action").is_valid(&line));
}

#[test]
fn files_and_outputs_fit_their_schemas() {
    for (made, at) in [(support::sample(), 5000), (support::rich(), 50_000)] {
        let mut view = made.view(at);
        check("tree", &view.tree);
        view.metadata.git_start = Some(capsule_core::GitState { commit: None, branch: Some("main".to_owned()) });
        view.metadata.left_running =
            vec![capsule_core::LeftRunning { proc: capsule_core::ProcId(1), pid: Pid(1), summary: "x".into() }];
        let seal = capsule_core::StreamSeal { records: 1, bytes: 2, head: "0".repeat(64) };
        view.metadata.streams.insert(capsule_core::StreamName::Raw, seal);
        check("metadata", &view.metadata);
        for status in [
            capsule_core::SessionStatus::Interrupted { signal: 2 },
            capsule_core::SessionStatus::Failed { stage: "s".to_owned(), reason: "r".to_owned() },
        ] {
            check("metadata", &capsule_core::SessionMetadata { status, ..view.metadata.clone() });
        }
        let options =
            Options { baseline: Some(crate::Baseline { sessions: 1, ..Default::default() }), ..Options::default() };
        let report = Report::assemble(&view, &options);
        let mut json = Vec::new();
        crate::json(&report, &mut json).unwrap();
        check("report", &serde_json::from_slice::<Value>(&json).unwrap());
        let mut ai = Vec::new();
        crate::ai(&report, &options, &mut ai).unwrap();
        check("ai", &serde_json::from_slice::<Value>(&ai).unwrap());
        check("diff", &crate::Diff::between(&view, &view, &options));
    }
}
