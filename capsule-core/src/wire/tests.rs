//! What is written reads back as what it was: for any record, whatever bytes it holds.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::context::{Fact, Ids, OpenFile, Origin};
use crate::environ::{EnvRef, Environment};

fn bytes() -> impl Strategy<Value = ByteString> {
    prop_oneof![any::<String>().prop_map(ByteString::from), any::<Vec<u8>>().prop_map(ByteString::from)]
}

fn argv() -> impl Strategy<Value = Argv> {
    proptest::collection::vec(bytes(), 0..4).prop_map(|args| args.iter().map(ByteString::as_bytes).collect())
}

fn pid() -> impl Strategy<Value = Pid> {
    any::<u32>().prop_map(Pid)
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Stopped),
        Just(Origin::Kernel),
        Just(Origin::Trace),
        Just(Origin::Procfs),
        Just(Origin::Inherited)
    ]
}

fn environment() -> impl Strategy<Value = EnvRef> {
    let values = proptest::collection::btree_map(any::<String>(), bytes(), 0..3);
    (any::<u32>(), any::<bool>(), proptest::collection::vec(bytes(), 0..4), values).prop_map(
        |(id, whole, names, values)| {
            let environment =
                if whole { Environment { id, names, values } } else { Environment { id, ..Environment::default() } };
            EnvRef { environment: Arc::new(environment), whole }
        },
    )
}

fn ids() -> impl Strategy<Value = Ids> {
    any::<[u32; 4]>().prop_map(|[uid, euid, gid, egid]| Ids { uid, euid, gid, egid })
}

fn files() -> impl Strategy<Value = Vec<OpenFile>> {
    let file = (any::<u32>(), bytes()).prop_map(|(fd, target)| OpenFile { fd, target });
    proptest::collection::vec(file, 0..3)
}

prop_compose! {
    fn snapshot()(
        (origin, exe, cwd, ids, tty) in (origin(), option::of(bytes()), option::of(bytes()), option::of(ids()), option::of(bytes())),
        (sid, pgid, cgroup) in (any::<Option<u32>>(), any::<Option<u32>>(), option::of(bytes())),
        (env, fds, ns_pid) in (option::of(environment()), option::of(files()), any::<Option<u32>>()),
    ) -> Snapshot {
        Snapshot { origin, exe, cwd, ids, tty, sid, pgid, cgroup, env, fds, ns_pid }
    }
}

fn how() -> impl Strategy<Value = SpawnKind> {
    prop_oneof![
        Just(SpawnKind::Root),
        Just(SpawnKind::Fork),
        Just(SpawnKind::Vfork),
        Just(SpawnKind::Clone),
        Just(SpawnKind::Attached)
    ]
}

fn status() -> impl Strategy<Value = ExitStatus> {
    prop_oneof![
        any::<i32>().prop_map(ExitStatus::Exited),
        any::<(i32, bool)>().prop_map(|(signal, core_dumped)| ExitStatus::Signaled { signal, core_dumped })
    ]
}

fn usage() -> impl Strategy<Value = Option<ResourceUsage>> {
    option::of(any::<[u64; 6]>().prop_map(|[user_us, system_us, max_rss_kib, major_faults, blocks_in, blocks_out]| {
        ResourceUsage { user_us, system_us, max_rss_kib, major_faults, blocks_in, blocks_out }
    }))
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any::<String>(), bytes(), any::<Option<u16>>()).prop_map(|(protocol, host, port)| Endpoint {
        protocol,
        host,
        port,
    })
}

prop_compose! {
    fn effect()(
        index in 0..EffectKind::ALL.len(),
        call: String,
        (path, to, endpoint) in (option::of(bytes()), option::of(bytes()), option::of(endpoint())),
        (detail, errno) in any::<(Option<String>, Option<i32>)>(),
    ) -> Effect {
        let before = errno.map(|errno| {
            let target = path.clone();
            Box::new(crate::FileState { size: Some(errno.unsigned_abs().into()), target, ..crate::FileState::absent() })
        });
        Effect { kind: EffectKind::ALL[index].0, call, path, to, endpoint, detail, errno, before }
    }
}

fn body() -> impl Strategy<Value = RawBody> {
    let text = bytes;
    prop_oneof![
        (option::of(pid()), pid(), how()).prop_map(|(parent, child, how)| RawBody::Spawn { parent, child, how }),
        (pid(), any::<u32>()).prop_map(|(pid, tid)| RawBody::Thread { pid, tid: Tid(tid) }),
        (pid(), any::<Option<u32>>(), option::of(text()), argv(), option::of(snapshot())).prop_map(
            |(pid, tid, filename, argv, snapshot)| RawBody::Exec {
                pid,
                from_tid: tid.map(Tid),
                filename,
                argv,
                snapshot
            }
        ),
        (pid(), option::of(text()), argv(), any::<i32>())
            .prop_map(|(pid, filename, argv, errno)| RawBody::ExecFailed { pid, filename, argv, errno }),
        (pid(), status(), usage()).prop_map(|(pid, status, rusage)| RawBody::Exit { pid, status, rusage }),
        pid().prop_map(|pid| RawBody::LeftRunning { pid }),
        (pid(), effect()).prop_map(|(pid, effect)| RawBody::Effect { pid, effect }),
        (0..Backend::ALL.len(), text()).prop_map(|(at, text)| RawBody::Line { source: Backend::ALL[at].0, text }),
        (any::<u64>(), any::<Option<u64>>(), any::<String>()).prop_map(|(count, since, reason)| RawBody::Loss {
            count,
            since: since.map(Timestamp),
            reason
        }),
    ]
}

fn kind() -> impl Strategy<Value = EventKind> {
    let exec = (option::of(bytes()), argv(), option::of(bytes()), option::of(bytes()), any::<Option<u32>>()).prop_map(
        |(filename, argv, exe, cwd, tid)| ExecInfo { filename, argv, exe, cwd, from_tid: tid.map(Tid), snapshot: None },
    );
    prop_oneof![
        how().prop_map(EventKind::Spawn),
        exec.prop_map(|exec| EventKind::Exec(Arc::new(exec))),
        (option::of(bytes()), argv(), any::<i32>()).prop_map(|(filename, argv, errno)| EventKind::ExecFailed {
            filename,
            argv,
            errno
        }),
        (status(), usage()).prop_map(|(status, rusage)| EventKind::Exit { status, rusage }),
        Just(EventKind::LeftRunning),
        effect().prop_map(|effect| EventKind::Effect(Arc::new(effect))),
        (any::<u64>(), any::<Option<u64>>(), any::<String>()).prop_map(|(count, since, reason)| EventKind::Gap {
            count,
            since: since.map(Timestamp),
            reason
        }),
        any::<String>().prop_map(|reason| EventKind::Diagnostic { reason }),
    ]
}

fn event() -> impl Strategy<Value = ProcessEvent> {
    (any::<u64>(), any::<u64>(), any::<u64>(), pid(), option::of(pid()), kind()).prop_map(
        |(seq, raw, timestamp, pid, ppid, kind)| ProcessEvent {
            seq: Seq(seq),
            raw: Seq(raw),
            timestamp: Timestamp(timestamp),
            pid,
            ppid,
            kind,
        },
    )
}

fn fact<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Fact<T>> {
    prop_oneof![
        (value, origin()).prop_map(|(value, origin)| Fact::Known(value, origin)),
        any::<String>().prop_map(|why| Fact::Absent(Cow::Owned(why))),
    ]
}

prop_compose! {
    fn context()(
        (exe, cwd, ids, tty, sid) in (fact(bytes()), fact(bytes()), fact(ids()), fact(bytes()), fact(any::<u32>())),
        (pgid, cgroup, env, fds) in (fact(any::<u32>()), fact(bytes()), fact(environment()), fact(files())),
        (user, group, container, ns_pid) in any::<(Option<String>, Option<String>, Option<String>, Option<u32>)>(),
    ) -> Context {
        Context { exe, cwd, ids, tty, sid, pgid, cgroup, env, fds, user, group, container, ns_pid }
    }
}

fn back<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn raw_records_round_trip(seq: u64, timestamp: u64, body in body()) {
        let record = RawRecord { seq: Seq(seq), timestamp: Timestamp(timestamp), body };
        prop_assert_eq!(back(&record), record);
    }

    #[test]
    fn events_round_trip(event in event()) {
        prop_assert_eq!(back(&event), event);
    }

    #[test]
    fn enriched_events_round_trip(event in event(), context in option::of(context())) {
        let context = context.map(Arc::new);
        let enriched = EnrichedEvent { event: event.clone(), context: context.clone() };
        let read = back(&enriched);
        // The event's own fields say what the context knows of exe and cwd, so that a reader finds them in one place.
        let mut expect = event;
        if let (EventKind::Exec(exec), Some(context)) = (&expect.kind, &context) {
            let mut exec = ExecInfo::clone(exec);
            exec.exe = exec.exe.or_else(|| context.exe.value().cloned());
            exec.cwd = exec.cwd.or_else(|| context.cwd.value().cloned());
            expect.kind = EventKind::Exec(Arc::new(exec));
        }
        prop_assert_eq!(&read.event, &expect);
        prop_assert_eq!(&read.context, &context);
        prop_assert_eq!(&back(&read), &read);
        let Outlined(outlined) = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        prop_assert_eq!(&outlined.event, &read.event);
        let pipes = |context: &Option<Arc<Context>>| {
            let fds = context.as_ref().and_then(|context| context.fds.value().cloned());
            fds.map(|fds| fds.into_iter().filter(|open| open.fd <= 2 && open.target.as_bytes().starts_with(b"pipe:[")).collect::<Vec<_>>())
        };
        prop_assert_eq!(pipes(&outlined.context), pipes(&read.context));
        prop_assert_eq!(outlined.context.is_some(), read.context.is_some());
    }

    #[test]
    fn lines_are_one_line(body in body()) {
        let record = RawRecord { seq: Seq(1), timestamp: Timestamp(1), body };
        prop_assert!(!serde_json::to_string(&record).unwrap().contains('\n'));
    }

    #[test]
    fn any_json_is_refused_without_a_panic(fields in proptest::collection::btree_map(
        prop_oneof![Just("seq"), Just("timestamp"), Just("kind"), Just("pid"), Just("event_type"), Just("argv"), Just("raw")],
        prop_oneof![Just("1"), Just("-1"), Just("\"exec\""), Just("\"spawn\""), Just("[]"), Just("[\"a\\u0000b\"]"), Just("null"), Just("{}")],
        0..7,
    )) {
        let fields: BTreeMap<&str, &str> = fields;
        let text = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",");
        drop(serde_json::from_str::<RawRecord>(&format!("{{{text}}}")));
        drop(serde_json::from_str::<EnrichedEvent>(&format!("{{{text}}}")));
    }
}

#[test]
fn event_fields_stand_at_the_top_level() {
    let exec = ExecInfo {
        filename: Some(ByteString::from("/bin/true")),
        argv: ["true"].iter().collect(),
        exe: None,
        cwd: Some(ByteString::from("/")),
        from_tid: None,
        snapshot: None,
    };
    let event = ProcessEvent {
        seq: Seq(2),
        raw: Seq(1),
        timestamp: Timestamp(5),
        pid: Pid(7),
        ppid: None,
        kind: EventKind::Exec(Arc::new(exec)),
    };
    let value = serde_json::to_value(&event).unwrap();
    let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["seq", "timestamp", "pid", "ppid", "event_type", "command_line", "working_dir", "exit_code"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(value["event_type"], "exec");
}
