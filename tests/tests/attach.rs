//! A process that runs already is recorded, and does not notice.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::{Home, eventually, skipped, stderr, tracee};

use crate::conformance::backends;

/// A shell script that runs before anybody attaches, its output in a file.
fn script(directory: &Path, text: &str) -> Child {
    begin(directory, Command::new("bash").args(["--norc", "-c", text]))
}

fn begin(directory: &Path, command: &mut Command) -> Child {
    let out = std::fs::File::create(directory.join("out")).expect("a file");
    command.current_dir(directory).stdin(Stdio::piped()).stdout(out).spawn().expect("it starts")
}

fn out(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("out")).unwrap_or_default()
}

fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("sh starts");
    assert!(status.success());
}

/// Whether attaching to a process of this user is allowed here; says so where it is not.
fn may_attach(test: &str) -> bool {
    let home = Home::new();
    let mut sleep = Command::new("sleep").arg("1000").spawn().expect("sleep starts");
    let tried = home.capsule(["attach", "-q", "--tracer", "ptrace", "--until", "0s", "-p", &sleep.id().to_string()]);
    sleep.kill().expect("it is ours");
    sleep.wait().expect("it ends");
    if !tried.status.success() {
        assert!(stderr(&tried).contains("not permitted"), "{}", stderr(&tried));
        skipped(test, "attaching to another process is not permitted here");
    }
    tried.status.success()
}

/// The tracers that can attach here.
fn tracers(test: &str) -> Vec<&'static str> {
    if may_attach(test) { backends(test) } else { Vec::new() }
}

/// Attaches and waits until the process is recorded.
fn attach(home: &Home, tracer: &str, pid: u32) -> Child {
    attach_with(home, &["--tracer", tracer], pid)
}

fn attach_with(home: &Home, options: &[&str], pid: u32) -> Child {
    let mut capsule = home.command(["attach", "-q"]);
    capsule.args(options).arg("-p");
    let mut capsule = capsule.arg(pid.to_string()).stderr(Stdio::piped()).spawn().expect("capsule starts");
    let runs = home.path().join("runs");
    eventually("the first records", || {
        assert!(capsule.try_wait().expect("it is ours").is_none(), "it could not attach");
        runs.read_dir().is_ok_and(|mut runs| runs.next().is_some()) && !home.stream("enriched").is_empty()
    });
    capsule
}

fn argvs(home: &Home) -> Vec<String> {
    let execs = home.stream("enriched").into_iter().filter(|event| event["event_type"] == "exec");
    let words = |event: Value| {
        let words: Vec<String> =
            event["command_line"].as_array().into_iter().flatten().map(|w| w.to_string()).collect();
        words.join(" ").replace('"', "")
    };
    execs.map(words).collect()
}

#[test]
fn a_running_tree_is_taken_in_and_followed_to_its_end() {
    for tracer in tracers("a_running_tree_is_taken_in_and_followed_to_its_end") {
        let home = Home::new();
        let text = "trap 'echo got-it' USR1; (trap 'kill $s' TERM; sleep 1000 & s=$!; echo up; wait $s) & child=$!; \
                    read line; /bin/echo later; kill $child; wait; exit 7";
        let mut bash = script(home.path(), text);
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, bash.id());
        eventually("what was there", || argvs(&home).iter().any(|argv| argv == "sleep 1000"));
        signal(bash.id(), "USR1");
        drop(bash.stdin.take());
        assert_eq!(bash.wait().expect("it ends").code(), Some(7), "its parent sees its own exit code");
        let ended = capsule.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(7), "{}", stderr(&ended));
        assert_eq!(out(home.path()).matches("got-it").count(), 1, "a signal arrives once");
        assert!(out(home.path()).contains("later"));

        let events = home.stream("enriched");
        let attached: Vec<&Value> = events.iter().filter(|event| event["spawn"] == "attached").collect();
        assert_eq!(attached.len(), 3, "{attached:?}");
        let first = events.iter().find(|event| event["event_type"] == "exec").expect("what it is");
        assert_eq!(first["context"]["origin"]["all"], "procfs", "{first}");
        assert!(argvs(&home).iter().any(|argv| argv == "/bin/echo later"), "{:?}", argvs(&home));
        let metadata = home.metadata();
        assert!(
            metadata["coverage"]["not_seen"][0].as_str().is_some_and(|text| text.contains("before Capsule attached"))
        );
        assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
    }
}

#[test]
fn ctrl_c_lets_an_attached_process_go_on() {
    for tracer in tracers("ctrl_c_lets_an_attached_process_go_on") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; read line; /bin/echo unseen; exit 3");
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, bash.id());
        signal(capsule.id(), "INT");
        let ended = capsule.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
        assert!(bash.try_wait().expect("it is ours").is_none(), "it lives");
        let status = std::fs::read_to_string(format!("/proc/{}/status", bash.id())).expect("it lives");
        assert!(status.contains("TracerPid:\t0"), "{status}");
        assert_eq!(home.metadata()["left_running"][0]["pid"], bash.id());
        assert_eq!(home.metadata()["status"]["state"], "complete", "{}", home.metadata()["status"]);
        drop(bash.stdin.take());
        assert_eq!(bash.wait().expect("it ends").code(), Some(3));
        assert!(out(home.path()).contains("unseen") && !argvs(&home).iter().any(|argv| argv == "/bin/echo unseen"));
    }
}

#[test]
fn a_stopped_process_stays_stopped_while_attached_and_after() {
    for tracer in tracers("a_stopped_process_stays_stopped_while_attached_and_after") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; read line; exit 4");
        eventually("its start", || out(home.path()).contains("up"));
        signal(bash.id(), "STOP");
        eventually("its stop", || state_of(bash.id()) == Some('T'));
        let capsule = attach(&home, tracer, bash.id());
        drop(bash.stdin.take());
        std::thread::sleep(Duration::from_millis(300));
        assert!(matches!(state_of(bash.id()), Some('T' | 't')), "{:?}", state_of(bash.id()));
        signal(capsule.id(), "INT");
        assert!(capsule.wait_with_output().expect("it ends").status.success());
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(state_of(bash.id()), Some('T'), "it is stopped as before");
        signal(bash.id(), "CONT");
        assert_eq!(bash.wait().expect("it ends").code(), Some(4));
    }
}

#[test]
fn a_tree_that_forks_all_the_time_is_taken_in_without_a_hole() {
    for tracer in tracers("a_tree_that_forks_all_the_time_is_taken_in_without_a_hole") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; while [ ! -e stop ]; do ( (:) & wait ); done; exit 5");
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, bash.id());
        eventually("many more", || home.stream("enriched").len() > 200);
        std::fs::write(home.path().join("stop"), "").expect("a file");
        assert_eq!(bash.wait().expect("it ends").code(), Some(5));
        let ended = capsule.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(5), "{}", stderr(&ended));
        let events = home.stream("events");
        let pids = |kind: &str| -> Vec<u64> {
            let of = events.iter().filter(|event| event["event_type"] == kind);
            of.filter_map(|event| event["pid"].as_u64()).collect()
        };
        let (mut begun, mut ended) = (pids("spawn"), pids("exit"));
        begun.sort_unstable();
        ended.sort_unstable();
        assert_eq!(begun, ended, "{tracer}: every process has its beginning and its end");
    }
}

#[test]
fn an_attached_program_that_touches_its_record_is_found() {
    for tracer in tracers("an_attached_program_that_touches_its_record_is_found") {
        let home = Home::new();
        let text = format!("echo up; read line; /bin/rm -f {}/runs/none; exit 0", home.path().display());
        let mut bash = script(home.path(), &text);
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, bash.id());
        drop(bash.stdin.take());
        assert!(bash.wait().expect("it ends").success());
        assert!(capsule.wait_with_output().expect("it ends").status.success());
        let risks = home.stream("risks");
        assert!(risks.iter().any(|risk| risk["rule"] == "agent.recorder-touched"), "{risks:?}");
    }
}

#[test]
fn a_process_has_one_ptrace_tracer_and_a_refused_attach_leaves_no_session() {
    let usable = tracers("a_process_has_one_ptrace_tracer_and_a_refused_attach_leaves_no_session");
    if usable.is_empty() {
        return;
    }
    let home = Home::new();
    let mut bash = script(home.path(), "echo up; read line; exit 6");
    eventually("its start", || out(home.path()).contains("up"));
    let first = attach(&home, "ptrace", bash.id());
    let other = Home::new();
    let mut second = None;
    for tracer in usable {
        if tracer == "ebpf" {
            second = Some(attach(&other, tracer, bash.id()));
            continue;
        }
        let other = Home::new();
        let refused = other.capsule(["attach", "--tracer", tracer, "-p", &bash.id().to_string()]);
        assert_eq!(refused.status.code(), Some(125));
        assert!(stderr(&refused).contains("has a tracer already"), "{}", stderr(&refused));
        assert!(!other.path().join("runs").exists(), "{}", stderr(&refused));
    }
    drop(bash.stdin.take());
    assert_eq!(bash.wait().expect("it ends").code(), Some(6));
    for capsule in [Some(first), second].into_iter().flatten() {
        assert_eq!(capsule.wait_with_output().expect("it ends").status.code(), Some(6));
    }
}

#[test]
fn threads_that_ran_already_are_not_taken_for_processes() {
    for tracer in tracers("threads_that_ran_already_are_not_taken_for_processes") {
        let home = Home::new();
        let mut pool = begin(home.path(), Command::new(tracee()).arg("pool"));
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, pool.id());
        drop(pool.stdin.take());
        assert_eq!(pool.wait().expect("it ends").code(), Some(6));
        let ended = capsule.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(6), "{tracer}: {}", stderr(&ended));
        let events = home.stream("events");
        let spawned = |kind: &str| events.iter().filter(|event| event["spawn"] == kind).count();
        assert_eq!(spawned("attached"), 1, "{tracer}: {events:#?}");
        let mut codes: Vec<i64> = events
            .iter()
            .filter(|event| event["event_type"] == "exit" && event["ppid"] == pool.id())
            .filter_map(|event| event["exit_code"].as_i64())
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, [1, 2, 3], "{tracer}: {events:#?}");
        let cwds: Vec<&Value> =
            events.iter().filter(|event| event["event_type"] == "exec").map(|event| &event["working_dir"]).collect();
        assert!(cwds.iter().all(|cwd| **cwd == home.path().to_str().expect("text")), "{tracer}: {cwds:?}");
    }
}

#[test]
fn a_process_that_dies_of_a_signal_is_said_to() {
    for tracer in tracers("a_process_that_dies_of_a_signal_is_said_to") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; read line; kill -KILL $$");
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach(&home, tracer, bash.id());
        drop(bash.stdin.take());
        assert_eq!(bash.wait().expect("it ends").code(), None);
        let ended = capsule.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(128 + 9), "{tracer}: {}", stderr(&ended));
        assert_eq!(home.metadata()["signal"], 9, "{tracer}");
    }
}

#[test]
fn what_an_attached_program_writes_is_told_where_the_tracer_can() {
    for tracer in tracers("what_an_attached_program_writes_is_told_where_the_tracer_can") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; read line; echo x > written; exit 0");
        eventually("its start", || out(home.path()).contains("up"));
        let capsule = attach_with(&home, &["--effects", "writes", "--tracer", tracer], bash.id());
        drop(bash.stdin.take());
        assert!(bash.wait().expect("it ends").success());
        assert!(capsule.wait_with_output().expect("it ends").status.success());
        let written = home.path().join("written");
        let told = home.stream("events").iter().any(|event| event["path"] == written.to_str().expect("text"));
        assert_eq!(told, tracer != "ptrace", "{tracer}");
        let not_seen = home.metadata()["coverage"]["not_seen"].to_string();
        assert_eq!(not_seen.contains("effects, though asked for"), tracer == "ptrace", "{tracer}: {not_seen}");
    }
}

#[test]
fn it_is_said_when_a_process_is_recorded_and_how_to_let_it_go() {
    use std::io::{BufRead as _, BufReader};

    for tracer in tracers("it_is_said_when_a_process_is_recorded_and_how_to_let_it_go") {
        let home = Home::new();
        let mut bash = script(home.path(), "echo up; read line; exit 3");
        eventually("its start", || out(home.path()).contains("up"));
        let pid = bash.id().to_string();
        let mut capsule = home.command(["attach", "--tracer", tracer, "-p", &pid]);
        let mut capsule = capsule.stderr(Stdio::piped()).spawn().expect("capsule starts");
        let mut said = String::new();
        let mut lines = BufReader::new(capsule.stderr.take().expect("a pipe"));
        lines.read_line(&mut said).expect("it says something");
        assert!(said.starts_with(&format!("capsule: recording process {pid} (bash --norc -c echo up;")), "{said}");
        assert!(said.ends_with("; Ctrl-C lets it go\n"), "{said}");
        // From this line on.
        drop(bash.stdin.take());
        assert_eq!(bash.wait().expect("it ends").code(), Some(3));
        assert_eq!(capsule.wait().expect("it ends").code(), Some(3), "{tracer}");
    }
}

#[test]
fn a_process_of_the_kernel_is_refused() {
    for tracer in tracers("a_process_of_the_kernel_is_refused") {
        let Some(kernel) = kernel_thread() else {
            return skipped("a_process_of_the_kernel_is_refused", "no thread of the kernel is visible here");
        };
        let home = Home::new();
        let refused = home.capsule(["attach", "--tracer", tracer, "-p", &kernel.to_string()]);
        assert_eq!(refused.status.code(), Some(125), "{tracer}: {}", stderr(&refused));
        assert!(!home.path().join("runs").exists(), "{tracer}: {}", stderr(&refused));
    }
}

fn kernel_thread() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/2/status").ok()?;
    status.starts_with("Name:\tkthreadd").then_some(2)
}

#[test]
fn a_process_that_is_not_there_is_said_so() {
    let home = Home::new();
    let output = home.capsule(["attach", "-p", "4194304"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("there is no process 4194304"), "{}", stderr(&output));
}
