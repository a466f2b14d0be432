//! Capsule is killed: by the command, at any moment, and before any call that changes a file of the session.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::preload::Fault;
use tests::{Home, eventually, installed, skipped, stderr, stdout};

use crate::evidence::{is_critical, only, program, risks, run, run_with_effects, sessions, verify, with_effects};

#[test]
fn the_command_that_kills_capsule_leaves_a_session_that_reads() {
    let home = Home::new();
    // The recorder's own pid is in the metadata.
    let script = "sleep 0.3; pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); kill -9 $pid; sleep 0.2";
    let output = run(&home, script);
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    let (code, verdict) = verify(&home, &[]);
    assert_eq!(code, Some(4), "{verdict}");
    assert!(home.capsule(["report", "latest"]).status.success());
}

#[test]
fn the_terminal_is_told_that_capsule_was_killed_and_the_command_lives_on() {
    let home = Home::new();
    let end = home.path().join("end");
    let script = format!(
        "sleep 0.3; pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); kill -9 $pid; sleep 0.2; echo >{}",
        end.display()
    );
    let output = home.capsule(["run", "-q", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    assert!(stderr(&output).contains("Capsule itself was killed by signal 9"), "{}", stderr(&output));
    let reason = home.metadata()["status"]["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.starts_with("killed by signal 9")), "{reason}");
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(stdout(&home.capsule(["report", "latest"])).contains("killed by signal 9"));
    let begun = Instant::now();
    while !end.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(end.exists(), "the command came to its end");
}

#[test]
fn killing_the_recorder_by_its_pid_or_name_is_critical() {
    let home = Home::new();
    // A signal that does nothing, sent with the program and not the shell's own `kill`.
    let output = run(
        &home,
        "pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); /bin/kill -CONT $pid",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
}

#[test]
fn whoever_kills_capsule_is_named_by_what_capsule_wrote_last() {
    const NAME: &str = "whoever_kills_capsule_is_named_by_what_capsule_wrote_last";
    if !installed("pgrep") {
        return skipped(NAME, "needs pgrep");
    }
    let home = Home::new();
    // The words are read when the shell starts, long before the kill is sent.
    let script = "true; for p in $(pgrep -x capsule); do sleep 1; grep -qzx \"CAPSULE_HOME=$CAPSULE_HOME\" /proc/$p/environ && kill -9 $p; done; sleep 0.1";
    let output = run(&home, script);
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
    if with_effects(NAME).is_empty() {
        return;
    }
    // Under ptrace even the one signal that nobody survives is told before it is sent.
    let home = Home::new();
    let output = run_with_effects(&home, "ptrace", &program(&home, SILENT_KILL));
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
}

/// Sends the signal without a word of it in its arguments.
const SILENT_KILL: &str =
    "print(os.getpid(), flush=True)\ntime.sleep(1)\nos.kill(recorder, signal.SIGKILL)\ntime.sleep(1)";

#[test]
fn whoever_kills_capsule_without_a_word_is_named_by_what_the_kernel_recorded_last() {
    const NAME: &str = "whoever_kills_capsule_without_a_word_is_named_by_what_the_kernel_recorded_last";
    if !with_effects(NAME).contains(&"ebpf") {
        return skipped(NAME, "ebpf is not usable here");
    }
    let home = Home::new();
    let output = home.capsule(["run", "-q", "--tracer", "ebpf", "python3", &program(&home, SILENT_KILL)]);
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    let killer = stdout(&output);
    let named = format!("killed by signal 9 of process {} (", killer.trim());
    let reason = home.metadata()["status"]["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.starts_with(&named)), "{named}: {reason}");
    assert!(stderr(&output).contains(&named), "{}", stderr(&output));
    assert!(stdout(&home.capsule(["report", "--width", "200"])).contains(&named));
    assert_eq!(verify(&home, &[]).0, Some(4));
    // Somebody else's signal is nobody's of the tree.
    let home = Home::new();
    let mut command = home.command(["run", "-q", "--tracer", "ebpf", "sh", "-c", "read line"]);
    let capsule = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("capsule starts");
    let runs = home.path().join("runs");
    let begun = || runs.read_dir().is_ok_and(|mut runs| runs.next().is_some());
    eventually("the first records", || begun() && !home.stream("enriched").is_empty());
    let recorder = home.metadata()["recorder"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(recorder), nix::sys::signal::Signal::SIGKILL).expect("killed");
    capsule.wait_with_output().expect("it ends");
    assert_eq!(home.metadata()["status"]["reason"], "killed by signal 9");
}

/// The time of the last whole record of a stream.
fn last_record(path: &Path) -> Option<Duration> {
    let bytes = fs::read(path).ok()?;
    let whole = bytes.len() - bytes.iter().rev().position(|byte| *byte == b'\n')?;
    let line = bytes.get(..whole)?.split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty())?;
    serde_json::from_slice::<Value>(line).ok()?["timestamp"].as_u64().map(Duration::from_nanos)
}

/// `CAPSULE_TEST_KILLS` says how often; the fate of each moment is not the test's to choose, so no run is like another.
/// It says on stderr how long before the kills the last records were made: how much a kill loses.
#[test]
fn capsule_killed_at_any_moment_leaves_a_session_that_reads_and_is_never_called_tampered() {
    let kills: u32 = std::env::var("CAPSULE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut lost = Vec::new();
    for round in 0..kills {
        let home = Home::new();
        let mut child = home
            .command(["run", "--linger", "wait", "-q", "sh", "-c", "while :; do /bin/true; done"])
            .spawn()
            .expect("starts");
        let begun = Instant::now();
        while sessions(home.path()).is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let session = only(&home);
        // From the first moment on in one half, in the middle of the storm in the other.
        let recorded = || fs::metadata(session.join("raw.jsonl")).is_ok_and(|raw| raw.len() > 0);
        while round % 2 == 1 && !recorded() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 7_919 % 400_000));
        let recorder = fs::read(session.join("metadata.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|metadata| metadata["recorder"].as_i64());
        let recorder = recorder.and_then(|pid| i32::try_from(pid).ok()).map(nix::unistd::Pid::from_raw);
        // Before the first metadata there is only the process that we started.
        let own = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let group: Vec<nix::unistd::Pid> = processes_with(home.path());
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        nix::sys::signal::kill(recorder.unwrap_or(own), nix::sys::signal::Signal::SIGKILL).expect("killed");
        child.kill().expect("killed");
        child.wait().expect("waited for");
        for pid in group.into_iter().chain(processes_with(home.path())) {
            // It may be gone already.
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap_or(());
        }
        let begun = Instant::now();
        while !processes_with(home.path()).is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (code, verdict) = verify(&home, &[]);
        assert_eq!(code, Some(4), "round {round}: {verdict}");
        lost.extend(last_record(&session.join("raw.jsonl")).map(|last| moment.saturating_sub(last).as_millis()));
        let report = home.capsule(["report", "latest", "--format", "json"]);
        let metadata = session.join("metadata.json").exists();
        assert!(report.status.success() || !metadata, "round {round}: {}", stderr(&report));
    }
    lost.sort_unstable();
    let at = |part: usize| lost.get(lost.len() * part / 100).or(lost.last());
    let said =
        format!("last record before the kill, ms: median {:?}, 95% {:?}, most {:?}", at(50), at(95), lost.last());
    writeln!(std::io::stderr(), "{said} (of {})", lost.len()).expect("stderr");
}

/// The processes of this test: those that have its home in their environment.
fn processes_with(home: &Path) -> Vec<nix::unistd::Pid> {
    let wanted = format!("CAPSULE_HOME={}", home.display());
    let holds = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
    };
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let pids = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| holds(*pid)).map(nix::unistd::Pid::from_raw).collect()
}

#[test]
fn killed_before_any_call_that_changes_a_file_it_leaves_a_session_that_reads() {
    let library_home = Home::new();
    let name = "killed_before_any_call_that_changes_a_file_it_leaves_a_session_that_reads";
    let Some(library) = Fault::Fail.library(name, library_home.path()) else { return };
    let mut verdicts = std::collections::BTreeMap::new();
    for call in 1..=48 {
        for keyed in [false, true] {
            let home = Home::new();
            let store = home.path().join("store");
            let (sealing, verification) = (home.path().join("seal.key"), home.path().join("verify.key"));
            let text = |path: &std::path::Path| path.display().to_string();
            assert!(home.capsule(["key", "new", &text(&sealing), &text(&verification)]).status.success());
            let mut command = home.command(["run", "-q", "--linger", "wait", "--tracer", "ptrace"]);
            if keyed {
                command.args(["--key", &text(&sealing)]);
            }
            command.args(["sh", "-c", "/bin/true; exit 7"]).env("CAPSULE_HOME", &store).env("LD_PRELOAD", &library);
            command.env("CAPSULE_TEST_FAIL_AT", call.to_string()).env("CAPSULE_TEST_KILL", "1");
            let output = command.output().expect("capsule starts");
            let whole = output.status.code() == Some(7);
            assert!(whole || output.status.signal() == Some(9), "{call}: {}", stderr(&output));
            let check = |more: &[&str]| {
                let mut verify = home.command(["verify"].iter().chain(more));
                let output = verify.env("CAPSULE_HOME", &store).output().expect("capsule starts");
                (output.status.code(), stdout(&output) + &stderr(&output))
            };
            let (verdict, said) = check(&[]);
            assert!(matches!(verdict, Some(0 | 1 | 4)), "call {call}, keyed {keyed}: {said}");
            assert!(
                verdict != Some(1) || said.contains("no sessions") || said.contains("no session"),
                "{call}: {said}"
            );
            *verdicts.entry(verdict).or_insert(0) += 1;
            let begun = keyed
                && fs::read_dir(store.join("runs")).is_ok_and(|mut runs| {
                    runs.next().is_some_and(|run| {
                        run.is_ok_and(|run| {
                            run.path().join("seals.jsonl").metadata().is_ok_and(|seals| seals.len() > 0)
                        })
                    })
                });
            if begun {
                let (verdict, said) = check(&["--key", &text(&verification)]);
                assert!(matches!(verdict, Some(0 | 4)), "call {call} with the key: {said}");
            }
            // The next run is as good as if nothing had been.
            let mut next = home.command(["run", "-q", "--linger", "wait", "--tracer", "ptrace", "/bin/true"]);
            assert!(next.env("CAPSULE_HOME", &store).output().expect("capsule starts").status.success());
            assert_eq!(check(&["latest"]).0, Some(0), "call {call}: the next one");
        }
    }
    assert!([Some(0), Some(4)].iter().all(|verdict| verdicts.contains_key(verdict)), "{verdicts:?}");
}
