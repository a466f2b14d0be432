//! Where facts come from, with a made-up system to ask.

use std::sync::{Arc, Mutex};

use capsule_core::{ExitStatus, Ids, Seq, Timestamp, run_to_end};

use super::*;

/// A system with one answer to everything, that counts how often it was asked.
#[derive(Default)]
struct Fake {
    snapshot: Option<Snapshot>,
    arguments: Option<Argv>,
    environment: Option<Vec<u8>>,
    asked: Arc<Mutex<Vec<Pid>>>,
}

impl ProcSource for Fake {
    fn snapshot(&mut self, pid: Pid) -> Option<Snapshot> {
        self.asked.lock().unwrap().push(pid);
        self.snapshot.clone()
    }

    fn command_line(&mut self, _pid: Pid) -> Option<Argv> {
        self.arguments.clone()
    }

    fn environment(&mut self, _pid: Pid) -> Option<Vec<u8>> {
        self.environment.clone()
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        (uid == 7).then(|| "seven".to_owned())
    }

    fn group_name(&mut self, _gid: u32) -> Option<String> {
        None
    }
}

fn full(origin: Origin, mark: &str) -> Snapshot {
    Snapshot {
        exe: Some(ByteString::from(format!("/bin/{mark}"))),
        cwd: Some(ByteString::from(format!("/{mark}"))),
        ids: Some(Ids { uid: 1, euid: 7, gid: 1, egid: 1 }),
        tty: Some(ByteString::from("/dev/pts/1")),
        sid: Some(10),
        pgid: Some(11),
        cgroup: Some(ByteString::from(format!("/docker/{}", "0123456789abcdef".repeat(4)))),
        fds: Some(vec![OpenFile { fd: 0, target: ByteString::from("/dev/null") }]),
        ..Snapshot::empty(origin)
    }
}

fn event(pid: u32, ppid: Option<u32>, kind: EventKind) -> ProcessEvent {
    ProcessEvent { seq: Seq(1), raw: Seq(1), timestamp: Timestamp(1), pid: Pid(pid), ppid: ppid.map(Pid), kind }
}

fn exec(pid: u32, argv: &[&str], snapshot: Option<Snapshot>) -> ProcessEvent {
    let filename = argv.first().map(|name| ByteString::from(*name));
    let argv = argv.iter().collect();
    let info = ExecInfo { filename, argv, exe: None, cwd: None, from_tid: None, snapshot };
    event(pid, None, EventKind::Exec(Arc::new(info)))
}

fn contexts(fake: Fake, events: &[ProcessEvent]) -> Vec<Arc<Context>> {
    let mut enricher = Enricher::new(Box::new(fake)).redacting(Redactor::new([3; 32]));
    run_to_end(&mut enricher, events).into_iter().filter_map(|event| event.context).collect()
}

#[test]
fn a_whole_snapshot_asks_nobody() {
    let fake = Fake { snapshot: Some(full(Origin::Procfs, "late")), ..Fake::default() };
    let asked = Arc::clone(&fake.asked);
    let context = contexts(fake, &[exec(5, &["a"], Some(full(Origin::Stopped, "early")))]).remove(0);
    assert_eq!(asked.lock().unwrap().len(), 0);
    assert_eq!(context.cwd, Fact::Known(ByteString::from("/early"), Origin::Stopped));
    assert_eq!(context.user.as_deref(), Some("seven"));
    assert_eq!(context.container, Some("0123456789abcdef".repeat(4)));
}

#[test]
fn a_terminal_and_a_cgroup_are_passed_on_and_said_to_be() {
    let fake = Fake { snapshot: Some(full(Origin::Procfs, "late")), ..Fake::default() };
    let asked = Arc::clone(&fake.asked);
    let bare = || Snapshot { tty: None, cgroup: None, ..full(Origin::Stopped, "early") };
    let contexts = contexts(
        fake,
        &[
            event(5, None, EventKind::Spawn(SpawnKind::Root)),
            exec(5, &["a"], Some(bare())),
            event(6, Some(5), EventKind::Spawn(SpawnKind::Fork)),
            exec(6, &["b"], Some(bare())),
            exec(6, &["c"], Some(bare())),
        ],
    );
    let origins = |context: &Context| match (&context.tty, &context.cgroup) {
        (Fact::Known(_, tty), Fact::Known(_, cgroup)) => (*tty, *cgroup),
        other => panic!("{other:?}"),
    };
    assert_eq!(origins(&contexts[0]), (Origin::Procfs, Origin::Procfs));
    assert_eq!(origins(&contexts[1]), (Origin::Inherited, Origin::Inherited));
    // Its first program could have moved it to another cgroup.
    assert_eq!(origins(&contexts[2]), (Origin::Inherited, Origin::Procfs));
    assert_eq!(*asked.lock().unwrap(), [Pid(5), Pid(6)]);
    assert_eq!(contexts[1].cwd, Fact::Known(ByteString::from("/early"), Origin::Stopped));
}

#[test]
fn another_session_has_its_own_terminal() {
    let fake = Fake { snapshot: Some(full(Origin::Procfs, "late")), ..Fake::default() };
    let bare = |sid| Snapshot { tty: None, sid: Some(sid), ..full(Origin::Stopped, "early") };
    let contexts = contexts(fake, &[exec(5, &["a"], Some(bare(10))), exec(6, &["a"], Some(bare(12)))]);
    assert!(matches!(contexts[1].tty, Fact::Known(_, Origin::Procfs)));
}

#[test]
fn a_process_that_is_another_by_now_tells_nothing() {
    let other = || Fake {
        snapshot: Some(full(Origin::Procfs, "late")),
        arguments: Some(["other"].iter().collect()),
        ..Fake::default()
    };
    let context = contexts(other(), &[exec(5, &["a"], None)]).remove(0);
    assert_eq!(context.cwd, Fact::Absent(Cow::Borrowed(GONE)));
    assert_eq!(context.ids, Fact::Absent(Cow::Borrowed(GONE)));
    let same = Fake { arguments: Some(["a"].iter().collect()), ..other() };
    let context = contexts(same, &[exec(5, &["a"], None)]).remove(0);
    assert_eq!(context.cwd, Fact::Known(ByteString::from("/late"), Origin::Procfs));
}

#[test]
fn late_environments_and_paths_are_redacted() {
    let mut snapshot = full(Origin::Procfs, "late");
    snapshot.fds = Some(vec![OpenFile { fd: 3, target: ByteString::from("/tmp/token=abcdef123456") }]);
    let environment = Some(b"HOME=/root\0SECRET=abc\0PATH=https://u:hunter2@h/\0".to_vec());
    let fake = Fake { snapshot: Some(snapshot), environment, ..Fake::default() };
    let context = contexts(fake, &[exec(5, &["a"], None)]).remove(0);
    let text = format!("{context:?}");
    assert!(!text.contains("hunter2") && !text.contains("abcdef123456"), "{text}");
    assert_eq!(context.env.value().unwrap().environment.names.len(), 3);
}

#[test]
fn without_a_redactor_nothing_that_could_hold_a_secret_is_read() {
    let fake = Fake {
        snapshot: Some(Snapshot { fds: None, ..full(Origin::Procfs, "late") }),
        environment: Some(b"PATH=https://u:hunter2@h/\0".to_vec()),
        ..Fake::default()
    };
    let mut enricher = Enricher::new(Box::new(fake));
    let context = run_to_end(&mut enricher, &[exec(5, &["a"], None)]).remove(0).context.unwrap();
    assert!(context.env.value().is_none() && context.fds.value().is_none());
}

#[test]
fn a_recording_is_not_asked() {
    let mut enricher = Enricher::new(Box::new(capsule_core::NoProc));
    let context = run_to_end(&mut enricher, &[exec(5, &["a"], None)]).remove(0).context.unwrap();
    assert_eq!(context.cwd, Fact::Absent(Cow::Borrowed(NOT_RECORDED)));
}

#[test]
fn what_the_trace_tells_is_kept_and_named() {
    let told = event(
        5,
        None,
        EventKind::Exec(Arc::new(ExecInfo {
            filename: None,
            argv: ["a"].iter().collect(),
            exe: None,
            cwd: Some(ByteString::from("/told")),
            from_tid: None,
            snapshot: None,
        })),
    );
    let fake = Fake { snapshot: Some(full(Origin::Procfs, "late")), ..Fake::default() };
    let context = contexts(fake, &[told]).remove(0);
    assert_eq!(context.cwd, Fact::Known(ByteString::from("/told"), Origin::Trace));
    assert_eq!(context.exe, Fact::Known(ByteString::from("/bin/late"), Origin::Procfs));
}

#[test]
fn a_process_that_was_running_before_is_described_at_first_sight() {
    let fake = Fake { snapshot: Some(full(Origin::Procfs, "late")), ..Fake::default() };
    let contexts = contexts(fake, &[event(5, None, EventKind::Spawn(SpawnKind::Attached))]);
    assert_eq!(contexts[0].exe, Fact::Known(ByteString::from("/bin/late"), Origin::Procfs));
}

#[test]
fn memory_follows_the_live_processes() {
    let mut enricher = Enricher::new(Box::new(capsule_core::NoProc));
    let mut out = Vec::new();
    for pid in 1..20_000 {
        enricher.feed(&event(pid, Some(1), EventKind::Spawn(SpawnKind::Fork)), &mut out);
        enricher.feed(&exec(pid, &["a"], None), &mut out);
        let exit = EventKind::Exit { status: ExitStatus::Exited(0), rusage: None };
        enricher.feed(&event(pid, Some(1), exit), &mut out);
        out.clear();
    }
    assert_eq!(enricher.families.len(), 0);
}
