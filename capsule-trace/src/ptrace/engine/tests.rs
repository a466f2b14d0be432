//! The tracer against real programs.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use capsule_core::redact::Redactor;
use capsule_core::{Argv, Backend, EffectKind, ExitStatus, Pid, RawBody, RawRecord, SpawnKind};

use crate::command::Launch;
use crate::error::TraceError;
use crate::tracer::{Control, EffectLevel, Linger, Outcome, TraceOptions, Watch};

struct Recorded {
    outcome: Outcome,
    records: Vec<RawRecord>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn record_with(
    options: TraceOptions,
    launch: Launch,
    meanwhile: impl AsyncFnOnce(Watch),
) -> Result<Recorded, TraceError> {
    let (sink, mut receiver) = crate::sink::channel(crate::sink::DEFAULT_BUFFER_BYTES, Redactor::off());
    let (control, watch) = Control::new();
    let tracer = crate::backend::open(Backend::Ptrace, options).unwrap();
    runtime().block_on(async {
        let running = tracer.run(launch, sink, control);
        let reading = async {
            let mut records = Vec::new();
            while let Some(batch) = receiver.recv().await {
                records.extend(batch);
            }
            records
        };
        let all = async { tokio::join!(running, reading, meanwhile(watch)) };
        let (outcome, records, ()) = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
        outcome.map(|outcome| Recorded { outcome, records })
    })
}

fn record(argv: &[&str]) -> Recorded {
    record_with(TraceOptions::default(), Launch::new(argv), async |_| ()).unwrap()
}

fn shell(script: &str) -> Recorded {
    record(&["/bin/sh", "-c", script])
}

impl Recorded {
    fn execs(&self) -> Vec<(Pid, &Argv)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Exec { pid, argv, .. } => Some((*pid, argv)),
                _ => None,
            })
            .collect()
    }

    fn spawns(&self) -> Vec<(Option<Pid>, Pid, SpawnKind)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Spawn { parent, child, how } => Some((*parent, *child, *how)),
                _ => None,
            })
            .collect()
    }

    fn exits(&self) -> Vec<(Pid, ExitStatus)> {
        self.records
            .iter()
            .filter_map(|record| match &record.body {
                RawBody::Exit { pid, status, .. } => Some((*pid, *status)),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_simple_command_is_born_executes_and_ends() {
    let recorded = record(&["true", "", "a\nb"]);
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(0)));
    let spawns = recorded.spawns();
    let [(None, root, SpawnKind::Root)] = spawns[..] else { panic!("{spawns:?}") };
    assert_eq!(recorded.execs(), [(root, &Argv::from_iter(["true", "", "a\nb"]))]);
    assert_eq!(recorded.exits(), [(root, ExitStatus::Exited(0))]);
    let RawBody::Exec { snapshot: Some(snapshot), filename, .. } = &recorded.records[1].body else { panic!() };
    assert!(filename.as_ref().unwrap().as_bytes().ends_with(b"/true"));
    assert!(snapshot.exe.is_some() && snapshot.cwd.is_some() && snapshot.ids.is_some() && snapshot.env.is_some());
    assert!(snapshot.fds.as_ref().unwrap().len() >= 3, "{snapshot:?}");
}

#[test]
fn arguments_that_are_not_utf8_come_back() {
    let mut launch = Launch::new(["/bin/true"]);
    launch.argv.push(OsString::from_vec(vec![0xff, 0xfe, b'\n']));
    let recorded = record_with(TraceOptions::default(), launch, async |_| ()).unwrap();
    assert_eq!(recorded.execs()[0].1.get(1), Some(&[0xff, 0xfe, b'\n'][..]));
}

#[test]
fn arguments_of_128_kib_and_a_megabyte_in_all_are_whole() {
    let large = "x".repeat(131_071);
    let argv: Vec<&str> = std::iter::once("/bin/true").chain(std::iter::repeat_n(large.as_str(), 10)).collect();
    let recorded = record(&argv);
    assert_eq!(*recorded.execs()[0].1, Argv::from_iter(&argv));
}

#[test]
fn children_of_a_shell_are_named_before_they_act() {
    let recorded = shell("/bin/true; (exit 3); /bin/sh -c 'kill -9 $$'; exit 4");
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(4)));
    let exits: Vec<_> = recorded.exits().into_iter().map(|(_, status)| status).collect();
    let killed = ExitStatus::Signaled { signal: 9, core_dumped: false };
    assert_eq!(exits, [ExitStatus::Exited(0), ExitStatus::Exited(3), killed, ExitStatus::Exited(4)]);
    let mut known = Vec::new();
    for record in &recorded.records {
        match &record.body {
            RawBody::Spawn { parent, child, .. } => {
                assert!(parent.is_none_or(|parent| known.contains(&parent)));
                known.push(*child);
            }
            RawBody::Exec { pid, .. } | RawBody::Exit { pid, .. } => assert!(known.contains(pid)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_command_that_is_not_there_is_127_and_leaves_no_record() {
    let error = |argv: &[&str]| record_with(TraceOptions::default(), Launch::new(argv), async |_| ()).err().unwrap();
    assert_eq!(error(&["/nonexistent/x"]).exit_code(), 127);
    assert_eq!(error(&["no-such-program-anywhere"]).exit_code(), 127);
    assert_eq!(error(&["/etc/passwd"]).exit_code(), 126);
    assert_eq!(error(&["/tmp"]).exit_code(), 126);
    let mut launch = Launch::new(["true"]);
    launch.cwd = Some("/nonexistent".into());
    assert!(matches!(record_with(TraceOptions::default(), launch, async |_| ()), Err(TraceError::Directory { .. })));
}

#[test]
fn a_process_that_outlives_the_root_is_let_go_and_lives() {
    let recorded = shell("sleep 30 </dev/null >/dev/null 2>&1 & echo $! >/dev/null");
    let [left] = recorded.outcome.left_running[..] else { panic!("{:?}", recorded.outcome) };
    std::thread::sleep(Duration::from_millis(50));
    let status = std::fs::read_to_string(format!("/proc/{left}/status")).unwrap();
    assert!(status.contains("TracerPid:\t0"), "{status}");
    assert!(status.contains("State:\tS"), "{status}");
    crate::root::sys::kill(left.0, libc::SIGKILL);
}

#[test]
fn lingering_processes_are_waited_for_or_killed_as_asked() {
    let script = "sleep 0.6 </dev/null >/dev/null 2>&1 & true";
    let with = |linger| {
        let options = TraceOptions { linger, grace: Duration::from_millis(10), ..TraceOptions::default() };
        record_with(options, Launch::new(["/bin/sh", "-c", script]), async |_| ()).unwrap()
    };
    let waited = with(Linger::Wait);
    assert_eq!(waited.exits().last().unwrap().1, ExitStatus::Exited(0));
    let killed = with(Linger::Kill);
    assert_eq!(killed.exits().last().unwrap().1, ExitStatus::Signaled { signal: 9, core_dumped: false });
    assert!(waited.outcome.left_running.is_empty() && killed.outcome.left_running.is_empty());
}

#[test]
fn cancelling_kills_the_tree_and_records_its_end() {
    let launch = Launch::new(["/bin/sh", "-c", "sleep 50 & sleep 50 & wait"]);
    let recorded = record_with(TraceOptions::default(), launch, async |watch| {
        watch.started.await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        watch.cancel.cancel();
    })
    .unwrap();
    assert_eq!(recorded.exits().len(), 3);
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Signaled { signal: 9, core_dumped: false }));
}

/// What this test binary does when a test traces it.
const TRACEE: &str = "CAPSULE_TEST_TRACEE";

fn tracee(act: &str) -> Launch {
    let this = std::env::current_exe().unwrap();
    let mut launch = Launch::new([this.as_os_str()]);
    launch.argv.extend(["--exact", "--ignored", "--test-threads=1", "--nocapture"].map(OsString::from));
    launch.argv.push("ptrace::engine::tests::acts_as_a_tracee".into());
    launch.env = Some(vec![(TRACEE.into(), act.into()), ("PATH".into(), "/usr/bin:/bin".into())]);
    launch
}

#[test]
#[ignore = "a program for the other tests"]
fn acts_as_a_tracee() {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    match std::env::var(TRACEE).unwrap().as_str() {
        "exec in thread" => {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| std::thread::sleep(Duration::from_secs(20)));
                }
                std::thread::sleep(Duration::from_millis(20));
                scope.spawn(|| panic!("{}", Command::new("/bin/true").arg0("from-a-thread").exec()));
            });
        }
        "empty argv" => {
            nix::unistd::execve::<&std::ffi::CStr, &std::ffi::CStr>(c"/bin/true", &[], &[]).unwrap();
        }
        "threads" => {
            for _ in 0..20 {
                let threads: Vec<_> = (0..100).map(|_| std::thread::spawn(std::thread::yield_now)).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            }
        }
        "spawn" => assert!(Command::new("/bin/true").status().unwrap().success()),
        "die with threads" => {
            for _ in 0..50 {
                std::thread::spawn(|| std::thread::sleep(Duration::from_secs(20)));
            }
            crate::root::sys::kill(std::process::id(), libc::SIGKILL);
        }
        "trace and wait" => {
            let script = "echo $$ > $OUT; while [ ! -e $OUT.end ]; do sleep 0.02; done; echo whole > $OUT.end";
            let mut launch = Launch::new(["/bin/sh", "-c", script]);
            launch.env = Some(vec![("OUT".into(), std::env::var_os("OUT").unwrap())]);
            drop(record_with(TraceOptions::default(), launch, async |_| ()));
        }
        "network" => {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", listener.local_addr().unwrap()).unwrap();
            drop(std::os::unix::net::UnixListener::bind("sock").unwrap());
        }
        other => panic!("no such act: {other}"),
    }
}

fn record_tracee(act: &str) -> Recorded {
    record_with(TraceOptions::default(), tracee(act), async |_| ()).unwrap()
}

#[test]
fn an_exec_from_a_thread_is_its_process_s() {
    let recorded = record_tracee("exec in thread");
    let execs = recorded.execs();
    let [(root, _), (pid, argv)] = execs[..] else { panic!("{execs:?}") };
    assert_eq!((pid, argv.get(0)), (root, Some(&b"from-a-thread"[..])));
    let former = recorded.records.iter().rev().find_map(|record| match &record.body {
        RawBody::Exec { from_tid, .. } => *from_tid,
        _ => None,
    });
    assert_ne!(former.unwrap().as_leader(), root);
    assert_eq!((recorded.spawns().len(), recorded.exits()), (1, vec![(root, ExitStatus::Exited(0))]));
}

#[test]
fn an_empty_argument_vector_is_what_the_kernel_made_of_it() {
    let recorded = record_tracee("empty argv");
    // Since Linux 5.18 the new program gets one empty argument, before it gets none.
    let argv = recorded.execs()[1].1.clone();
    assert!(argv.is_empty() || argv == Argv::from_iter([""]), "{argv:?}");
}

#[test]
fn threads_are_no_processes() {
    let recorded = record_tracee("threads");
    assert_eq!(recorded.spawns().len(), 1);
    assert_eq!(recorded.exits().len(), 1);
    assert_eq!(recorded.outcome.coverage.lost, 0);
}

#[test]
fn a_vfork_is_told_from_a_fork() {
    let kinds: Vec<_> = record_tracee("spawn").spawns().into_iter().map(|(_, _, how)| how).collect();
    assert_eq!(kinds, [SpawnKind::Root, SpawnKind::Vfork]);
}

#[test]
fn a_process_killed_with_all_its_threads_ends_once() {
    let recorded = record_tracee("die with threads");
    let killed = ExitStatus::Signaled { signal: 9, core_dumped: false };
    assert_eq!(recorded.exits().into_iter().map(|(_, status)| status).collect::<Vec<_>>(), [killed]);
    assert_eq!(recorded.spawns().len(), 1);
}

#[test]
fn a_stopped_process_stays_stopped_until_it_is_continued() {
    let script = "p=$$; (sleep 0.3; grep State /proc/$p/status >&2; kill -CONT $p) & kill -STOP $p; exit 5";
    let begun = std::time::Instant::now();
    let recorded = shell(script);
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(5)));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_stopped_process_that_is_let_go_stays_stopped() {
    let recorded = shell("sh -c 'kill -STOP $$; exit 1' </dev/null >/dev/null 2>&1 & sleep 0.1");
    let [left] = recorded.outcome.left_running[..] else { panic!("{:?}", recorded.outcome) };
    std::thread::sleep(Duration::from_millis(50));
    let status = std::fs::read_to_string(format!("/proc/{left}/status")).unwrap();
    assert!(status.contains("TracerPid:\t0") && status.contains("State:\tT"), "{status}");
    crate::root::sys::kill(left.0, libc::SIGKILL);
}

#[test]
fn signals_reach_their_handlers() {
    let recorded = shell("trap 'exit 7' USR1; kill -USR1 $$; sleep 1");
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(7)));
    let recorded = shell("kill -TERM $$; sleep 1");
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Signaled { signal: 15, core_dumped: false }));
}

#[test]
fn a_daemon_that_forks_twice_keeps_its_origin() {
    let options = TraceOptions { linger: Linger::Wait, ..TraceOptions::default() };
    let script = "(setsid /bin/sh -c 'sleep 0.2; exit 9' </dev/null >/dev/null 2>&1 &); exit 0";
    let recorded = record_with(options, Launch::new(["/bin/sh", "-c", script]), async |_| ()).unwrap();
    assert!(recorded.exits().iter().any(|(_, status)| *status == ExitStatus::Exited(9)));
    let spawns = recorded.spawns();
    assert!(spawns.iter().skip(1).all(|(parent, _, _)| spawns.iter().any(|(_, child, _)| Some(*child) == *parent)));
}

#[test]
fn the_command_inherits_what_capsule_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("status");
    let mut launch =
        Launch::new(["/bin/sh", "-c", "cat /proc/self/status > status; ls /proc/self/fd > fds; umask > umask"]);
    launch.cwd = Some(dir.path().to_owned());
    record_with(TraceOptions::default(), launch, async |_| ()).unwrap();
    let status = std::fs::read_to_string(out).unwrap();
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        u64::from_str_radix(value, 16).unwrap()
    };
    let inherited = crate::command::Inherited::get();
    // Signals 32 and 33 are the C library's own.
    let others = !(0b11 << 31);
    assert_eq!(field("SigIgn:") & others, inherited.ignored & others, "{status}");
    assert_eq!(field("SigBlk:") & others, inherited.blocked & others, "{status}");
    assert_eq!(field("SigCgt:") & others, 0, "{status}");
    // Rust ignores SIGPIPE; whoever runs the tests does not.
    assert_eq!(inherited.ignored & (1 << (libc::SIGPIPE - 1)), 0);
    let fds = std::fs::read_to_string(dir.path().join("fds")).unwrap();
    let ours = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let fd: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        (flags & libc::O_CLOEXEC == 0).then_some(fd)
    });
    // And the one that `ls` reads with.
    assert_eq!(fds.lines().count(), ours.count() + 1, "{fds}");
}

#[test]
fn when_the_tracer_is_killed_the_traced_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("pid");
    let launch = tracee("trace and wait");
    let mut tracer = std::process::Command::new(&launch.argv[0])
        .args(&launch.argv[1..])
        .envs(launch.env.unwrap())
        .env("OUT", &out)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = |what: &dyn Fn() -> bool| {
        for _ in 0..500 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not happen");
    };
    wait_for(&|| std::fs::read_to_string(&out).is_ok_and(|pid| pid.ends_with('\n')));
    std::thread::sleep(Duration::from_millis(50));
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    let end = dir.path().join("pid.end");
    std::fs::write(&end, "").unwrap();
    wait_for(&|| std::fs::read_to_string(&end).is_ok_and(|text| text == "whole\n"));
}

/// Kind, call, path and second path, error.
type Told = (EffectKind, String, String, Option<String>, Option<i32>);

fn effects_of(mut launch: Launch, dir: &std::path::Path, effects: EffectLevel) -> Option<(Recorded, Vec<Told>)> {
    launch.cwd = Some(dir.to_owned());
    let options = TraceOptions { effects, failed_execs: Some(true), ..TraceOptions::default() };
    super::super::filter::plan(&options).filter.as_ref()?;
    let recorded = record_with(options, launch, async |_| ()).unwrap();
    let root = format!("{}/", dir.canonicalize().unwrap().display());
    let short = |path: &capsule_core::ByteString| path.to_lossy().replace(&root, "");
    let told = recorded.records.iter().filter_map(|record| match &record.body {
        RawBody::Effect { effect, .. } => Some((
            effect.kind,
            effect.call.clone(),
            effect.path.as_ref().map(short).or_else(|| effect.detail.clone()).unwrap_or_default(),
            effect.to.as_ref().map(short),
            effect.errno,
        )),
        _ => None,
    });
    let told = told.collect();
    Some((recorded, told))
}

#[test]
fn every_change_to_a_file_is_told_with_its_result() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo a > new; echo b >> new; mkdir d; cd d; mv ../new ./renamed; ln renamed ../hard; ln -s target sym
        chmod 600 ../d/renamed; chown 0:0 renamed 2>/dev/null; rm ../hard; cd ..; rmdir missing 2>/dev/null
        (: > no/such/x) 2>/dev/null; cat d/renamed > /dev/null; truncate -s 1 d/renamed; rm -r d";
    let Some((_, told)) = effects_of(Launch::new(["/bin/sh", "-c", script]), dir.path(), EffectLevel::Writes) else {
        return;
    };
    let has = |kind: EffectKind, path: &str, to: Option<&str>, errno: Option<i32>| {
        let found = told.iter().any(|(k, _, p, t, e)| *k == kind && p == path && t.as_deref() == to && *e == errno);
        assert!(found, "{kind:?} {path} {to:?} {errno:?} in {told:#?}");
    };
    has(EffectKind::FileCreate, "new", None, None);
    has(EffectKind::FileWrite, "new", None, None);
    has(EffectKind::FileCreate, "d", None, None);
    has(EffectKind::FileRename, "new", Some("d/renamed"), None);
    has(EffectKind::FileCreate, "hard", Some("d/renamed"), None);
    has(EffectKind::FileCreate, "d/sym", Some("target"), None);
    has(EffectKind::FileMode, "d/renamed", None, None);
    has(EffectKind::FileDelete, "hard", None, None);
    has(EffectKind::FileDelete, "missing", None, Some(libc::ENOENT));
    has(EffectKind::FileWrite, "no/such/x", None, Some(libc::ENOENT));
    has(EffectKind::FileDelete, "d/renamed", None, None);
    has(EffectKind::FileDelete, "d", None, None);
    assert!(!told.iter().any(|(kind, ..)| *kind == EffectKind::FileRead), "{told:#?}");
    assert!(!told.iter().any(|(_, _, path, ..)| path == "/dev/null"), "{told:#?}");
}

#[test]
fn reads_are_told_where_all_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "x").unwrap();
    let Some((_, told)) = effects_of(Launch::new(["cat", "secret"]), dir.path(), EffectLevel::All) else { return };
    assert!(told.iter().any(|(kind, _, path, ..)| *kind == EffectKind::FileRead && path == "secret"), "{told:#?}");
}

#[test]
fn a_failed_exec_is_told_and_a_good_one_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let script = "PATH=/nonexistent:/usr/bin:/bin; ./missing one 'two 2' 2>/dev/null; ls >/dev/null; exit 0";
    let launch = Launch::new(["/bin/sh", "-c", script]);
    let Some((recorded, _)) = effects_of(launch, dir.path(), EffectLevel::Off) else { return };
    let failed = recorded.records.iter().filter_map(|record| match &record.body {
        RawBody::ExecFailed { filename, argv, errno, .. } => {
            Some((filename.as_ref().unwrap().to_lossy().into_owned(), argv.clone(), *errno))
        }
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    assert!(
        failed.contains(&("./missing".into(), Argv::from_iter(["./missing", "one", "two 2"]), libc::ENOENT)),
        "{failed:?}"
    );
    assert_eq!(recorded.execs().len(), 2);
}

#[test]
fn connections_are_told_with_their_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut launch = tracee("network");
    launch.cwd = Some(dir.path().to_owned());
    let Some((recorded, told)) = effects_of(launch, dir.path(), EffectLevel::Writes) else { return };
    let ends: Vec<_> = recorded
        .records
        .iter()
        .filter_map(|record| match &record.body {
            RawBody::Effect { effect, .. } => {
                let end = effect.endpoint.as_ref()?;
                Some((effect.kind, end.protocol.clone(), end.host.to_lossy().into_owned(), end.port.is_some()))
            }
            _ => None,
        })
        .collect();
    for (kind, protocol, host) in [
        (EffectKind::NetListen, "tcp", "127.0.0.1"),
        (EffectKind::NetConnect, "tcp", "127.0.0.1"),
        (EffectKind::NetConnect, "udp", "127.0.0.1"),
    ] {
        assert!(ends.contains(&(kind, protocol.to_owned(), host.to_owned(), true)), "{kind:?} {protocol} in {ends:?}");
    }
    assert!(
        told.iter().any(|(kind, call, path, ..)| *kind == EffectKind::FileCreate && call == "bind" && path == "sock")
    );
}

#[test]
fn another_user_is_who_the_command_runs_as() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut launch = Launch::new(["/bin/sh", "-c", "exit $(($(id -u) - 65534 + $(id -G | wc -w)))"]);
    launch.user = Some(crate::command::User { uid: 65534, gid: 65534, groups: vec![65534] });
    launch.cwd = Some("/".into());
    let recorded = record_with(TraceOptions::default(), launch, async |_| ()).unwrap();
    assert_eq!(recorded.outcome.root, Some(ExitStatus::Exited(1)));
    let RawBody::Exec { snapshot: Some(snapshot), .. } = &recorded.records[1].body else { panic!() };
    assert_eq!(snapshot.ids.map(|ids| (ids.uid, ids.euid, ids.gid)), Some((65534, 65534, 65534)));
}

#[test]
fn under_a_filter_nobody_is_left_without_a_tracer() {
    let dir = tempfile::tempdir().unwrap();
    // The child outlives the root, and its calls still work afterwards.
    let script = "(sleep 0.7; echo late > late; mkdir made) </dev/null >/dev/null 2>&1 & exit 3";
    let Some((recorded, told)) = effects_of(Launch::new(["/bin/sh", "-c", script]), dir.path(), EffectLevel::Writes)
    else {
        return;
    };
    assert!(dir.path().join("made").is_dir() && recorded.outcome.left_running.is_empty());
    assert!(told.iter().any(|(kind, _, path, ..)| *kind == EffectKind::FileCreate && path == "late"), "{told:#?}");
}
