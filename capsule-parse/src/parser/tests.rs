//! Real recordings and what they must say, and odd ones made by hand.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use capsule_core::{
    Argv, EventKind, ExitStatus, OpenFile, Origin, Pid, ResourceUsage, Snapshot, SpawnKind, Tid, escape_terminal,
    run_to_end,
};
use proptest::prelude::*;

use super::*;

const START: u64 = 1_700_000_000_000_000_000;

fn lines(source: Backend, text: &[u8]) -> Vec<RawRecord> {
    let bare = text.strip_suffix(b"\n").unwrap_or(text);
    bare.split(|b| *b == b'\n')
        .zip(1..)
        .map(|(line, seq)| RawRecord {
            seq: Seq(seq),
            timestamp: Timestamp(START + seq),
            // `# root PID`: the tracer's own record of what it started.
            body: match line.strip_prefix(b"# root ") {
                Some(pid) => {
                    let child = Pid(String::from_utf8_lossy(pid).parse().unwrap());
                    RawBody::Spawn { parent: None, child, how: SpawnKind::Root }
                }
                None => RawBody::Line { source, text: ByteString::from(line) },
            },
        })
        .collect()
}

fn strace(text: &str) -> Vec<ProcessEvent> {
    run_to_end(&mut Parser::new(), &lines(Backend::Strace, text.as_bytes()))
}

/// One line an event, so that a reader sees what changed.
fn render(events: &[ProcessEvent]) -> String {
    let mut out = String::new();
    for event in events {
        let parent = event.ppid.map_or("-".to_owned(), |ppid| ppid.to_string());
        write!(out, "{} {} {parent} {}", event.raw, event.pid, event.kind.name()).unwrap();
        match &event.kind {
            EventKind::Spawn(how) => write!(out, " {how:?}").unwrap(),
            EventKind::Exec(exec) => {
                let name = exec.filename.as_ref().map_or("-".to_owned(), ToString::to_string);
                write!(out, " {name} {}", shown(&exec.argv)).unwrap();
                if let Some(cwd) = &exec.cwd {
                    write!(out, " cwd={cwd}").unwrap();
                }
                if let Some(tid) = exec.from_tid {
                    write!(out, " from={tid}").unwrap();
                }
            }
            EventKind::ExecFailed { filename, argv, errno } => {
                let name = filename.as_ref().map_or("-".to_owned(), ToString::to_string);
                write!(out, " {name} {} errno={errno}", shown(argv)).unwrap();
            }
            EventKind::Exit { status, .. } => write!(out, " {status:?}").unwrap(),
            EventKind::Gap { count, reason, .. } => write!(out, " {count} {reason}").unwrap(),
            EventKind::Diagnostic { reason } => write!(out, " {reason}").unwrap(),
            EventKind::Effect(effect) => {
                let text = |value: &Option<ByteString>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
                write!(out, " {} {} {}", effect.call, text(&effect.path), text(&effect.to)).unwrap();
                if let Some(end) = &effect.endpoint {
                    write!(out, " {} {} {:?}", end.protocol, end.host, end.port).unwrap();
                }
                let detail = effect.detail.as_deref().unwrap_or_default();
                write!(out, " [{detail}] {:?}", effect.errno).unwrap();
            }
            EventKind::LeftRunning => {}
        }
        out.push('\n');
    }
    out
}

fn shown(argv: &Argv) -> String {
    let words = argv.iter().map(|arg| match arg.len() {
        0..=200 => format!("`{}`", escape_terminal(arg)),
        length => format!("`…`*{length}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn testdata() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|end| end == "in"));
    cases.sort();
    cases
}

/// Recordings made with real programs. `WRITE_GOLDEN=1` rewrites what is expected: read the difference.
#[test]
fn recordings_say_what_they_said_when_they_were_made() {
    let cases = testdata();
    assert!(cases.len() >= 12);
    for path in cases {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Backend::ALL.iter().find(|(_, backend)| name.starts_with(backend)).unwrap().0;
        let mut parser = Parser::new().starting_in(ByteString::from("/start"));
        let events = run_to_end(&mut parser, &lines(source, &std::fs::read(&path).unwrap()));
        let rendered = render(&events);
        let expected = path.with_extension("expect");
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            std::fs::write(&expected, &rendered).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(rendered == expected, "{name} differs:\n{rendered}");
        assert!(parser.is_at_rest(source), "{name}: something is still open");
        let seqs: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>(), "{name}");
    }
}

/// Every recording again, as strace could have cut it: at any line.
#[test]
fn a_recording_that_stops_anywhere_is_taken() {
    for path in testdata() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Backend::ALL.iter().find(|(_, backend)| name.starts_with(backend)).unwrap().0;
        let records = lines(source, &std::fs::read(&path).unwrap());
        for cut in 0..records.len().min(120) {
            run_to_end(&mut Parser::new(), &records[..cut]);
            run_to_end(&mut Parser::new(), &records[cut..]);
        }
    }
}

#[track_caller]
fn says(text: &str, expect: &str) {
    let rendered = render(&strace(text));
    let bare: String = rendered.lines().map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n").collect();
    assert_eq!(bare.trim_end(), expect.trim_end());
}

#[test]
fn a_child_that_speaks_before_its_parent_returns_is_that_parents_child() {
    says(
        "1 execve(\"/bin/a\", [\"a\"], 0x7 /* 1 var */) = 0
1 fork( <unfinished ...>
2 execve(\"/bin/b\", [\"b\"], 0x7 /* 1 var */) = 0
2 exit_group(0) = ?
2 +++ exited with 0 +++
1 <... fork resumed>) = 2
1 +++ exited with 0 +++",
        "1 - spawn Root
1 - exec /bin/a `a`
2 1 spawn Fork
2 1 exec /bin/b `b`
2 1 exit Exited(0)
1 - exit Exited(0)",
    );
}

#[test]
fn with_two_open_forks_a_new_process_waits_for_the_returns() {
    says(
        "1 fork() = 2
1 fork( <unfinished ...>
2 fork( <unfinished ...>
4 execve(\"/bin/d\", [\"d\"], 0x7) = 0
3 execve(\"/bin/c\", [\"c\"], 0x7) = 0
1 <... fork resumed>) = 3
2 <... fork resumed>) = 4
4 +++ exited with 0 +++
3 +++ exited with 0 +++",
        "1 - spawn Root
2 1 spawn Fork
3 1 spawn Fork
3 1 exec /bin/c `c`
4 2 spawn Fork
4 2 exec /bin/d `d`
4 2 exit Exited(0)
3 1 exit Exited(0)",
    );
}

#[test]
fn events_of_a_process_that_waited_keep_their_record_and_time() {
    let events = strace(
        "1 fork() = 2
1 fork( <unfinished ...>
2 fork( <unfinished ...>
3 execve(\"/bin/c\", [\"c\"], 0x7) = 0
1 <... fork resumed>) = 3",
    );
    let exec = events.iter().find(|event| event.pid == Pid(3) && event.kind.name() == "exec").unwrap();
    assert_eq!((exec.raw, exec.timestamp), (Seq(4), Timestamp(START + 4)));
}

#[test]
fn a_child_in_another_pid_namespace_keeps_the_number_of_its_lines() {
    says(
        "1 clone(child_stack=NULL, flags=CLONE_NEWPID|SIGCHLD <unfinished ...>
30 execve(\"/bin/b\", [\"b\"], 0x7) = 0
1 <... clone resumed>) = 2
30 +++ exited with 0 +++
1 clone(child_stack=NULL, flags=SIGCHLD) = 3 /* 31 in strace's PID NS */
31 +++ exited with 0 +++",
        "1 - spawn Root
30 1 spawn Clone
30 1 exec /bin/b `b`
30 1 exit Exited(0)
31 1 spawn Fork
31 1 exit Exited(0)",
    );
}

#[test]
fn pids_are_reused() {
    says(
        "1 fork() = 2
2 +++ exited with 1 +++
1 vfork() = 2
2 +++ killed by SIGKILL +++",
        "1 - spawn Root
2 1 spawn Fork
2 1 exit Exited(1)
2 1 spawn Vfork
2 1 exit Signaled { signal: 9, core_dumped: false }",
    );
}

#[test]
fn directories_follow_chdir_and_forget_what_they_cannot_know() {
    says(
        "1 chdir(\"/srv\") = 0
1 fork() = 2
2 chdir(\"sub\") = 0
2 chdir(\"missing\") = -1 ENOENT (No such file or directory)
2 execve(\"/b\", [], 0x7) = 0
1 execve(\"/a\", [], 0x7) = 0
1 fchdir(3</var/tmp>) = 0
1 execve(\"/a\", [], 0x7) = 0
1 fchdir(3) = 0
1 execve(\"/a\", [], 0x7) = 0
1 clone(flags=CLONE_FS|SIGCHLD) = 3
3 chdir(\"/shared\") = 0
1 execve(\"/a\", [], 0x7) = 0",
        "1 - spawn Root
2 1 spawn Fork
2 1 exec /b  cwd=/srv/sub
1 - exec /a  cwd=/srv
1 - exec /a  cwd=/var/tmp
1 - exec /a 
3 1 spawn Clone
1 - exec /a  cwd=/shared",
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    says(
        "1 execve(\"/a\", [\"b\", \"c\"..., ...], 0x7) = 0
1 execve(\"/a\", [\"b
garbage
1 <... execve resumed>) = 0
9 +++ killed by SIGWHAT +++",
        "1 - spawn Root
0 - diagnostic strace printed only a part of the arguments of process 1
1 - exec /a `b` `c`
0 - diagnostic `execve` without a result: `(\\\"/a\\\", [\\\"b`
0 - diagnostic not a line of strace: `garbage`
0 - diagnostic `execve` returned in thread 1 but was not seen to begin
9 - spawn Attached
0 - diagnostic unknown signal `SIGWHAT`
9 - exit Signaled { signal: 0, core_dumped: false }",
    );
}

#[test]
fn a_process_that_strace_let_go_is_left_running_once() {
    let mut records = lines(Backend::Strace, b"5 execve(\"/a\", [\"a\"], 0x7) = 0\n5 <detached ...>\nx");
    records[2].body = RawBody::LeftRunning { pid: Pid(5) };
    let events = run_to_end(&mut Parser::new(), &records);
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::LeftRunning).count(), 1);
}

#[test]
fn a_root_that_the_tracer_reported_is_not_reported_twice() {
    let mut records = lines(Backend::Strace, b"x\n5 execve(\"/a\", [\"a\"], 0x7) = 0");
    records[0].body = RawBody::Spawn { parent: None, child: Pid(5), how: SpawnKind::Root };
    let events = run_to_end(&mut Parser::new().starting_in(ByteString::from("/w")), &records);
    let names: Vec<&str> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["spawn", "exec"]);
    let EventKind::Exec(exec) = &events[1].kind else { panic!("{events:?}") };
    assert_eq!(exec.cwd, Some(ByteString::from("/w")));
}

fn native(bodies: Vec<RawBody>) -> Vec<ProcessEvent> {
    let records =
        bodies.into_iter().zip(1..).map(|(body, seq)| RawRecord { seq: Seq(seq), timestamp: Timestamp(seq), body });
    run_to_end(&mut Parser::new(), &records.collect::<Vec<_>>())
}

#[test]
fn structured_bodies_keep_everything_and_gain_their_parent() {
    let mut snapshot = Snapshot::empty(Origin::Stopped);
    snapshot.exe = Some(ByteString::from("/bin/b"));
    snapshot.cwd = Some(ByteString::from("/w"));
    snapshot.fds = Some(vec![OpenFile { fd: 0, target: ByteString::from("/dev/null") }]);
    let argv: Argv = ["b", "c"].iter().collect();
    let events = native(vec![
        RawBody::Spawn { parent: None, child: Pid(1), how: SpawnKind::Root },
        RawBody::Spawn { parent: Some(Pid(1)), child: Pid(2), how: SpawnKind::Vfork },
        RawBody::Exec {
            pid: Pid(2),
            from_tid: Some(Tid(7)),
            filename: Some(ByteString::from("b")),
            argv: argv.clone(),
            snapshot: Some(snapshot.clone()),
        },
        RawBody::ExecFailed { pid: Pid(2), filename: None, argv, errno: 2 },
        RawBody::Loss { count: 3, since: None, reason: "full".to_owned() },
        RawBody::Exit { pid: Pid(2), status: ExitStatus::Exited(1), rusage: Some(ResourceUsage::default()) },
        RawBody::LeftRunning { pid: Pid(1) },
    ]);
    let parents: Vec<Option<u32>> = events.iter().map(|event| event.ppid.map(|pid| pid.0)).collect();
    assert_eq!(parents, [None, Some(1), Some(1), Some(1), None, Some(1), None]);
    let EventKind::Exec(exec) = &events[2].kind else { panic!("{events:?}") };
    assert_eq!((exec.exe.clone(), exec.cwd.clone()), (snapshot.exe.clone(), snapshot.cwd.clone()));
    assert_eq!(exec.snapshot.as_ref(), Some(&snapshot));
    assert_eq!(events[4].kind.name(), "gap");
}

#[test]
fn memory_follows_the_live_processes() {
    let mut parser = Parser::new();
    let mut out = Vec::new();
    let mut feed = |body, parser: &mut Parser| {
        out.clear();
        parser.feed(&RawRecord { seq: Seq(1), timestamp: Timestamp(1), body }, &mut out);
    };
    feed(RawBody::Spawn { parent: None, child: Pid(1), how: SpawnKind::Root }, &mut parser);
    for pid in 2..50_000 {
        feed(RawBody::Spawn { parent: Some(Pid(1)), child: Pid(pid), how: SpawnKind::Fork }, &mut parser);
        feed(RawBody::Exit { pid: Pid(pid), status: ExitStatus::Exited(0), rusage: None }, &mut parser);
    }
    feed(RawBody::Exit { pid: Pid(1), status: ExitStatus::Exited(0), rusage: None }, &mut parser);
    assert_eq!(parser.lineage.len(), 0);
    assert_eq!(parser.strace.known(), 1, "a root that strace's parser was told of and saw no line of");
}

proptest! {
    /// Pieces of real lines in any order: the parser takes them, and what it counts stays in order.
    #[test]
    fn any_order_of_plausible_lines_is_taken(pieces in proptest::collection::vec((1_u32..6, prop_oneof![
        Just("fork() = 3"), Just("fork( <unfinished ...>"), Just("<... fork resumed>) = 2"), Just("<... fork resumed>) = 4"),
        Just("vfork() = 2"), Just("clone(flags=CLONE_THREAD|CLONE_FS) = 5"), Just("execve(\"/a\", [\"a\"], 0x1) = 0"),
        Just("clone3({flags=CLONE_THREAD <unfinished ...>"), Just("<... clone3 resumed>}, 88) = 3"),
        Just("execve(\"/a\", [\"a\"], 0x1 <unfinished ...>"), Just("<... execve resumed>) = 0"), Just("+++ exited with 0 +++"),
        Just("+++ superseded by execve in pid 3 +++"), Just("+++ killed by SIGSEGV (core dumped) +++"), Just("chdir(\"x\") = 0"),
        Just("--- SIGCHLD {} ---"), Just("<detached ...>"), Just("fchdir(3</x>) = 0"), Just("strace: Process 4 attached"),
        Just("fork(strace: Process 4 attached"),
    ]), 0..60)) {
        let text: String = pieces.iter().map(|(tid, piece)| format!("{tid} {piece}\n")).collect();
        let events = strace(&text);
        for (event, seq) in events.iter().zip(1..) {
            prop_assert_eq!(event.seq.0, seq);
            prop_assert_ne!(event.ppid, Some(event.pid));
        }
    }

    /// A recording with damage: the parser takes it, and whoever ended is not heard of again without a new beginning.
    #[test]
    fn damaged_recordings_are_taken(index: proptest::sample::Index, damage in proptest::collection::vec(any::<(u16, u8)>(), 1..40)) {
        let cases = testdata();
        let path = &cases[index.index(cases.len())];
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let source = Backend::ALL.iter().find(|(_, backend)| name.starts_with(backend)).unwrap().0;
        let mut text = std::fs::read(path).unwrap();
        text.truncate(20_000);
        for (at, byte) in damage {
            let at = usize::from(at) % text.len();
            // The first bytes may be the test's own mark of the root.
            if at > 12 {
                text[at] = byte;
            }
        }
        let events = run_to_end(&mut Parser::new(), &lines(source, &text));
        let mut live = std::collections::HashSet::new();
        for event in &events {
            match &event.kind {
                EventKind::Spawn(_) => drop(live.insert(event.pid)),
                EventKind::Exit { .. } | EventKind::LeftRunning => prop_assert!(live.remove(&event.pid), "{name} {event:?}"),
                EventKind::Exec(_) | EventKind::ExecFailed { .. } => prop_assert!(live.contains(&event.pid), "{name} {event:?}"),
                _ => {}
            }
        }
    }

    #[test]
    fn any_bytes_are_taken(lines_of in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
        let mut text = lines_of.join(&b'\n');
        text.push(b'x');
        for (source, _) in Backend::ALL {
            run_to_end(&mut Parser::new(), &lines(source, &text));
        }
    }
}
