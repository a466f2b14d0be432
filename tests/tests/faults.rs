//! Faults around Capsule: disks that are full, broken, slow or not to be written, a clock that is stepped, two runs at once.
//!
//! In each the command's own result is what it would be without Capsule, or the command never ran and Capsule says so.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::preload::Fault;
use tests::{Home, eventually, skipped, stderr, stdout};

use crate::evidence::{sessions, verify};

/// A small file system of its own, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays is the directory's trouble, not the test's.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

const MANY: &str = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; echo done; exit 9";

#[test]
fn a_full_disk_changes_nothing_for_the_command() {
    let Some(disk) = SmallDisk::new("size=192k") else {
        return skipped("a_full_disk_changes_nothing_for_the_command", "tmpfs cannot be mounted");
    };
    let home = Home::new();
    let store = disk.0.path().join("home");
    let output = home
        .command(["run", "--linger", "wait", "sh", "-c", MANY])
        .env("CAPSULE_HOME", &store)
        .output()
        .expect("capsule starts");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not whole") || stderr(&output).contains("space"), "{}", stderr(&output));
    let output = home.command(["verify"]).env("CAPSULE_HOME", &store).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
}

#[test]
fn a_disk_that_answers_eio_changes_nothing_for_the_command() {
    const NAME: &str = "a_disk_that_answers_eio_changes_nothing_for_the_command";
    let home = Home::new();
    let Some(shim) = Fault::Eio.library(NAME, home.path()) else { return };
    let store = home.path().join("store");
    let mut command = home.command(["run", "--linger", "wait", "sh", "-c", MANY]);
    let output = command.env("CAPSULE_HOME", &store).env("LD_PRELOAD", &shim).output().expect("capsule starts");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not whole"), "{}", stderr(&output));
    let output = home.command(["verify"]).env("CAPSULE_HOME", &store).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
}

#[test]
fn a_home_that_cannot_be_written_stops_the_run_before_the_command() {
    let home = Home::new();
    let mark = home.path().join("ran");
    let readonly = SmallDisk::new("size=64k,ro");
    let mut places = vec![PathBuf::from("/proc/capsule-cannot-be-here")];
    places.extend(readonly.iter().map(|disk| disk.0.path().join("home")));
    for place in places {
        let mut command = home.command(["run", "--linger", "wait", "touch"]);
        let output = command.arg(&mark).env("CAPSULE_HOME", &place).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
        assert!(!mark.exists(), "{}", place.display());
    }
}

#[test]
fn two_runs_at_once_make_two_whole_sessions_and_one_ledger() {
    let home = Home::new();
    let start = || {
        home.command(["run", "--linger", "wait", "-q", "sh", "-c", "/bin/true; /bin/true"])
            .spawn()
            .expect("capsule starts")
    };
    let mut both = [start(), start()];
    assert!(both.iter_mut().all(|child| child.wait().is_ok_and(|status| status.success())));
    let found = sessions(home.path());
    assert_eq!(found.len(), 2);
    for session in found {
        let id = session.file_name().expect("a name").to_string_lossy().into_owned();
        let (code, verdict) = verify(&home, &[&id]);
        assert_eq!((code, &verdict["ledger_damage"]), (Some(0), &Value::Null), "{verdict}");
    }
}

const SIXTY: &str = "i=0; while [ $i -lt 60 ]; do /bin/true; i=$((i+1)); done; echo done; exit 9";

fn execs_of_true(home: &Home) -> usize {
    home.stream("events").iter().filter(|event| event["command_line"][0] == "/bin/true").count()
}

#[test]
fn a_slow_disk_changes_nothing_and_loses_nothing() {
    let library_home = Home::new();
    let name = "a_slow_disk_changes_nothing_and_loses_nothing";
    let Some(library) = Fault::Slow.library(name, library_home.path()) else { return };
    for tracer in ["ptrace", "auto"] {
        let home = Home::new();
        let mut command = home.command(["run", "--linger", "wait", "--tracer", tracer, "sh", "-c", SIXTY]);
        let output = command.env("LD_PRELOAD", &library).output().expect("capsule starts");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
        assert_eq!(verify(&home, &[]).0, Some(0), "{tracer}");
        assert_eq!(execs_of_true(&home), 60, "{tracer}");
    }
}

/// The most memory that the process `pid` held, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_disk_that_stands_still_slows_the_program_down_before_memory_grows() {
    let library_home = Home::new();
    let name = "a_disk_that_stands_still_slows_the_program_down_before_memory_grows";
    let Some(library) = Fault::Stall.library(name, library_home.path()) else { return };
    let home = Home::new();
    let [stalled, progress, stop] = ["stalled", "progress", "stop"].map(|name| library_home.path().join(name));
    std::fs::write(&stalled, "").expect("a file");
    let script = "until test -e \"$2\"; do /bin/true; echo >>\"$1\"; done; exit 9";
    let mut command =
        home.command(["run", "-q", "--linger", "wait", "--tracer", "ptrace", "--buffer", "1", "sh", "-c"]);
    command.args([script, "sh"]).args([&progress, &stop]);
    command.env("LD_PRELOAD", &library).env("CAPSULE_TEST_STALLED", &stalled);
    let mut child = command.spawn().expect("capsule starts");
    let done = || std::fs::metadata(&progress).map_or(0, |file| file.len());
    eventually("the program begins", || done() > 0);
    let before = peak(child.id()).expect("it runs");
    let mut last = 0;
    eventually("the program waits for the disk", || {
        std::thread::sleep(Duration::from_secs(1));
        std::mem::replace(&mut last, done()) == done()
    });
    let grown = peak(child.id()).expect("it runs").saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB more for a buffer of one MiB, after {last} processes");
    std::fs::remove_file(&stalled).expect("it is there");
    eventually("the program goes on", || done() > last + 10);
    std::fs::write(&stop, "").expect("a file");
    assert_eq!(child.wait().expect("it ends").code(), Some(9));
    assert_eq!(verify(&home, &[]).0, Some(0));
    assert_eq!(execs_of_true(&home) as u64, done());
}

#[test]
fn whichever_call_the_disk_refuses_the_command_ends_as_it_would_and_nothing_looks_tampered_with() {
    let library_home = Home::new();
    let name = "whichever_call_the_disk_refuses_the_command_ends_as_it_would_and_nothing_looks_tampered_with";
    let Some(library) = Fault::Fail.library(name, library_home.path()) else { return };
    let (mut ran, mut whole) = (0, 0);
    for call in 1..=56 {
        for (on, own) in [(false, 7), (true, 7), (false, 0), (true, 0)] {
            let home = Home::new();
            let (mark, store) = (home.path().join("ran"), home.path().join("store"));
            let (sealing, verification) = (home.path().join("seal.key"), home.path().join("verify.key"));
            let text = |path: &std::path::Path| path.display().to_string();
            assert!(home.capsule(["key", "new", &text(&sealing), &text(&verification)]).status.success());
            let script = format!("echo >{}; /bin/true; exit {own}", mark.display());
            let mut command = home.command(["run", "-q", "--linger", "wait", "--tracer", "ptrace"]);
            if call % 2 == 0 {
                command.args(["--key", &text(&sealing)]);
            }
            command.args(["sh", "-c", &script]).env("CAPSULE_HOME", &store).env("LD_PRELOAD", &library);
            command.env("CAPSULE_TEST_FAIL_AT", call.to_string());
            if on {
                command.env("CAPSULE_TEST_FAIL_ON", "1");
            }
            let output = command.output().expect("capsule starts");
            let (code, what) = (output.status.code(), format!("call {call}, and on: {on}: {}", stderr(&output)));
            let checked =
                home.command(["verify", "--json"]).env("CAPSULE_HOME", &store).output().expect("capsule starts");
            let verdict = checked.status.code();
            assert!(matches!(verdict, Some(0 | 1 | 4)), "{what}: {}", stdout(&checked));
            if mark.exists() {
                ran += 1;
                let expected: &[i32] = if own == 7 { &[7] } else { &[0, 125] };
                assert!(code.is_some_and(|code| expected.contains(&code)), "{what}: {code:?}");
                assert!(
                    code != Some(0) || verdict == Some(0),
                    "{what}: success without a record: {}",
                    stdout(&checked)
                );
            } else {
                assert_eq!(code, Some(125), "{what}");
            }
            whole += usize::from(verdict == Some(0));
        }
    }
    assert!(ran > 50 && whole > 10, "the calls are those of a whole run: {ran} ran, {whole} whole");
}

#[test]
fn a_clock_that_is_stepped_breaks_neither_chain_nor_seal_nor_report() {
    let library_home = Home::new();
    let name = "a_clock_that_is_stepped_breaks_neither_chain_nor_seal_nor_report";
    let Some(library) = Fault::Clock.library(name, library_home.path()) else { return };
    for tracer in ["ptrace", "auto"] {
        let home = Home::new();
        let (sealing, verification) = (home.path().join("seal.key"), home.path().join("verify.key"));
        let text = |path: &std::path::Path| path.display().to_string();
        assert!(home.capsule(["key", "new", &text(&sealing), &text(&verification)]).status.success());
        let key = text(&sealing);
        let mut command =
            home.command(["run", "--linger", "wait", "--tracer", tracer, "--key", &key, "sh", "-c", SIXTY]);
        let output = command.env("LD_PRELOAD", &library).output().expect("capsule starts");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
        assert_eq!(verify(&home, &["--key", &text(&verification)]).0, Some(0), "{tracer}");
        assert_eq!(execs_of_true(&home), 60, "{tracer}");
        for format in ["human", "json", "ai", "html"] {
            let report = home.capsule(["report", "latest", "--format", format]);
            assert!(report.status.success(), "{tracer} {format}: {}", stderr(&report));
        }
    }
}
