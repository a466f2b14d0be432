//! What signals and sudden death do to a session.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tests::{Home, tracee};

/// Starts `capsule run tracee MODE` and waits until the tracee says that it is ready.
fn ready(home: &Home, args: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = home.command(["run", "-q", "--"]);
    let mut child = command.arg(tracee()).args(args).stdout(Stdio::piped()).spawn().expect("capsule starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("the tracee speaks");
    assert_eq!(line, "ready\n");
    (child, lines)
}

fn kill(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

fn verdict(home: &Home) -> Option<i32> {
    home.capsule(["verify"]).status.code()
}

#[test]
fn sigterm_is_passed_on_and_the_session_is_sealed() {
    for signal in ["-TERM", "-HUP"] {
        let home = Home::new();
        let (mut child, mut lines) = ready(&home, &["signals", "1"]);
        kill(&child, signal);
        let mut line = String::new();
        lines.read_line(&mut line).expect("the tracee speaks");
        assert_eq!(line, "signal 1\n");
        assert_eq!(child.wait().expect("it ends").code(), Some(42));
        assert_eq!(home.metadata()["status"]["state"], "interrupted");
        assert_eq!(verdict(&home), Some(0));
    }
}

#[test]
fn a_second_sigterm_kills_a_stubborn_tree() {
    let home = Home::new();
    let (mut child, _lines) = ready(&home, &["stubborn"]);
    kill(&child, "-TERM");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(child.try_wait().expect("it can be asked").is_none(), "one SIGTERM does not kill");
    kill(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(137));
    assert_eq!(home.metadata()["status"]["state"], "interrupted");
    assert_eq!(verdict(&home), Some(0));
}

#[test]
fn a_stubborn_tree_is_killed_after_five_seconds() {
    let home = Home::new();
    let (mut child, _lines) = ready(&home, &["stubborn"]);
    kill(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(137));
    assert_eq!(verdict(&home), Some(0));
}

#[test]
fn interrupt_belongs_to_the_command() {
    let home = Home::new();
    let (mut child, mut lines) = ready(&home, &["signals", "1"]);
    kill(&child, "-INT");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(child.try_wait().expect("it can be asked").is_none(), "SIGINT to Capsule alone ends nothing");
    kill(&child, "-TERM");
    let mut line = String::new();
    lines.read_line(&mut line).expect("the tracee speaks");
    assert_eq!(child.wait().expect("it ends").code(), Some(42));
}

#[test]
fn a_killed_recorder_leaves_a_readable_unsealed_session_and_a_living_command() {
    let home = Home::new();
    let (mut child, mut lines) = ready(&home, &["signals", "1"]);
    for _ in 0..100 {
        if home.stream("events").iter().any(|event| event["event_type"] == "exec") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let root = home.stream("events")[0]["pid"].as_u64().expect("the root's pid");
    let recorder = home.metadata()["recorder"].to_string();
    assert!(Command::new("kill").args(["-KILL", &recorder]).status().is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it ends").code(), Some(137), "an unrecorded run does not exit 0");
    assert_eq!(verdict(&home), Some(4), "never sealed, not tampered");
    assert_eq!(home.metadata()["status"]["state"], "failed");
    for format in ["human", "json", "ai"] {
        let report = home.capsule(["report", "--format", format]);
        assert_eq!(report.status.code(), Some(0), "{}", tests::stderr(&report));
        assert!(tests::stdout(&report).contains("tracee"), "{}", tests::stdout(&report));
    }
    // The command lives on: it still answers a signal, and ends by itself.
    let sent = Command::new("kill").args(["-TERM", &root.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "the command died with its recorder");
    let mut line = String::new();
    lines.read_line(&mut line).expect("the tracee speaks");
    assert_eq!(line, "signal 1\n");
}

#[test]
fn a_running_session_can_be_read() {
    let home = Home::new();
    let (mut child, _lines) = ready(&home, &["stubborn"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let report = home.capsule(["report"]);
    assert_eq!(report.status.code(), Some(0), "{}", tests::stderr(&report));
    assert!(tests::stdout(&report).contains("stubborn"), "{}", tests::stdout(&report));
    assert_eq!(verdict(&home), Some(4));
    kill(&child, "-TERM");
    kill(&child, "-TERM");
    child.wait().expect("it ends");
}

#[test]
fn a_session_that_cannot_be_recorded_never_exits_zero() {
    let home = Home::new();
    std::fs::write(home.path().join("runs"), "a file where a directory should be").expect("it can be written");
    let output = home.capsule(["run", "sh", "-c", "echo ran"]);
    assert_eq!(output.status.code(), Some(125), "{}", tests::stderr(&output));
    assert_eq!(tests::stdout(&output), "", "the command must not run unrecorded");
}

#[test]
fn killing_the_process_that_the_shell_sees_ends_no_recording() {
    let home = Home::new();
    let (mut child, mut lines) = ready(&home, &["signals", "1"]);
    kill(&child, "-KILL");
    child.wait().expect("it ends");
    for _ in 0..100 {
        if home.stream("events").iter().any(|event| event["event_type"] == "exec") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let root = home.stream("events")[0]["pid"].to_string();
    assert!(Command::new("kill").args(["-TERM", &root]).status().is_ok_and(|status| status.success()));
    let mut line = String::new();
    lines.read_line(&mut line).expect("the tracee speaks");
    assert_eq!(line, "signal 1\n");
    for _ in 0..200 {
        if verdict(&home) == Some(0) {
            assert_eq!(home.metadata()["exit_code"], 42);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the recording did not go on to its seal");
}

#[test]
fn the_terminal_comes_back_while_a_followed_process_is_recorded_on() {
    let home = Home::new();
    // Under a filter, ptrace cannot let anybody go: everything is recorded to its end.
    let mut command =
        home.command(["run", "--tracer", "ptrace", "--effects", "writes", "sh", "-c", "sleep 4 & exit 5"]);
    let output = command.output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(5), "{}", tests::stderr(&output));
    if verdict(&home) == Some(0) {
        tests::skipped("the_terminal_comes_back", "no filter could be had: the process was let go");
        return;
    }
    assert!(tests::stderr(&output).contains("in the background"), "{}", tests::stderr(&output));
    for _ in 0..200 {
        if verdict(&home) == Some(0) {
            assert_eq!(home.metadata()["processes"], 2);
            assert_eq!(home.metadata()["exit_code"], 5);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the recording did not go on to its seal");
}

#[test]
fn an_agents_daemon_is_recorded_on_and_another_one_is_let_go() {
    for tracer in ["ptrace", "ebpf"] {
        for (name, stays) in [("codex", true), ("sleep", false)] {
            let home = Home::new();
            let script = format!("setsid bash -c 'exec -a {name} sleep 4' >/dev/null 2>&1 & sleep 0.3; exit 6");
            let output = home.capsule(["run", "--tracer", tracer, "bash", "-c", &script]);
            if tracer == "ebpf" && output.status.code() == Some(125) {
                tests::skipped("an_agents_daemon_is_recorded_on", &tests::stderr(&output));
                continue;
            }
            assert_eq!(output.status.code(), Some(6), "{tracer} {name}: {}", tests::stderr(&output));
            let said = tests::stderr(&output);
            assert_eq!(said.contains("in the background"), stays, "{tracer} {name}: {said}");
            for _ in 0..200 {
                if verdict(&home) == Some(0) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let left = home.metadata()["left_running"].as_array().map_or(0, Vec::len);
            assert_eq!(left, usize::from(!stays), "{tracer} {name}: {}", home.metadata());
        }
    }
}
