//! Faults around Capsule: a slow disk, a clock that is stepped, and limits that Capsule itself runs into.
//!
//! In each the command's own result is what it would be without Capsule, or the command never ran and Capsule says so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::preload::Fault;
use tests::{Home, capsule_binary, installed, skipped, stderr, stdout};

const MANY: &str = "i=0; while [ $i -lt 60 ]; do /bin/true; i=$((i+1)); done; echo done; exit 9";

fn verify(home: &Home, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.capsule(["verify", "--json"].iter().chain(more));
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

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
        let mut command = home.command(["run", "--linger", "wait", "--tracer", tracer, "sh", "-c", MANY]);
        let output = command.env("LD_PRELOAD", &library).output().expect("capsule starts");
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
        assert_eq!(verify(&home, &[]).0, Some(0), "{tracer}");
        assert_eq!(execs_of_true(&home), 60, "{tracer}");
    }
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
            home.command(["run", "--linger", "wait", "--tracer", tracer, "--key", &key, "sh", "-c", MANY]);
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

#[test]
fn descriptors_that_run_out_for_capsule_stop_it_before_the_command_or_not_at_all() {
    let name = "descriptors_that_run_out_for_capsule_stop_it_before_the_command_or_not_at_all";
    if !installed("prlimit") {
        return skipped(name, "needs prlimit");
    }
    let mut ran = 0;
    for limit in (4..64).step_by(4) {
        for tracer in ["ptrace", "auto"] {
            let home = Home::new();
            let mark = home.path().join("ran");
            let script = format!("echo ran >{}; /bin/true; exit 7", mark.display());
            let output = Command::new("prlimit")
                .arg(format!("--nofile={limit}"))
                .arg(capsule_binary())
                .args(["run", "--linger", "wait", "--tracer", tracer, "sh", "-c", &script])
                .env("CAPSULE_HOME", home.path().join("store"))
                .env_remove("CAPSULE_TRACER")
                .output()
                .expect("prlimit starts");
            let code = output.status.code();
            if mark.exists() {
                ran += 1;
                assert_eq!(code, Some(7), "{limit} {tracer}: {}", stderr(&output));
            } else {
                assert_eq!(code, Some(125), "{limit} {tracer}: {}", stderr(&output));
                assert!(!stderr(&output).is_empty(), "it says why");
            }
        }
    }
    assert!(ran > 4, "the limits are not all too low");
}

#[test]
fn memory_that_runs_out_for_capsule_is_like_a_kill_and_the_command_lives_on() {
    let name = "memory_that_runs_out_for_capsule_is_like_a_kill_and_the_command_lives_on";
    if !installed("prlimit") {
        return skipped(name, "needs prlimit");
    }
    let mut whole = 0;
    for megabytes in [110, 125, 140, 155, 170, 185, 4000] {
        let home = Home::new();
        let (begin, end) = (home.path().join("begin"), home.path().join("end"));
        let script = format!(
            "echo >{}; for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done; echo >{}; exit 7",
            begin.display(),
            end.display()
        );
        let output = Command::new("prlimit")
            .arg(format!("--as={}", megabytes << 20))
            .arg(capsule_binary())
            .args(["run", "-q", "--linger", "wait", "--tracer", "ptrace", "sh", "-c", &script])
            .env("CAPSULE_HOME", home.path().join("store"))
            .env_remove("CAPSULE_TRACER")
            .output()
            .expect("prlimit starts");
        // Rust ends a program that gets no memory by SIGABRT.
        let code = output.status.code().or(output.status.signal().map(|signal| 128 + signal));
        assert!(matches!(code, Some(7 | 125 | 134)), "{megabytes}: {code:?} {}", stderr(&output));
        let begun = Instant::now();
        while begin.exists() && !end.exists() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(begin.exists(), end.exists(), "{megabytes}: the command that began came to its end");
        let mut verify = home.command(["verify"]);
        let verdict = verify.env("CAPSULE_HOME", home.path().join("store")).output().expect("capsule starts");
        let expected = if code == Some(7) { &[0][..] } else { &[1, 4] };
        assert!(
            verdict.status.code().is_some_and(|code| expected.contains(&code)),
            "{megabytes}: {}",
            stdout(&verdict)
        );
        whole += usize::from(code == Some(7));
    }
    assert!(whole > 0, "the limits are not all too low");
}

/// Limits are the user's, so that this runs as one that no other test uses.
fn as_backup(home: &Home, limit: &str, rest: &[&str]) -> Option<Command> {
    let capsule = home.path().join("capsule");
    fs::copy(capsule_binary(), &capsule).expect("copied");
    for path in [home.path(), &capsule] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("changed");
    }
    let store = home.path().join("store");
    fs::create_dir(&store).expect("made");
    let given = Command::new("chown").arg("backup").arg(&store).status();
    if !given.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("prlimit");
    command.args([limit, "setpriv", "--reuid=backup", "--regid=backup", "--clear-groups"]).arg(&capsule);
    command.args(rest).env("CAPSULE_HOME", &store).env_remove("CAPSULE_TRACER").current_dir("/");
    Some(command)
}

#[test]
fn processes_that_run_out_for_capsule_too_change_nothing_for_the_command() {
    let name = "processes_that_run_out_for_capsule_too_change_nothing_for_the_command";
    if !nix::unistd::geteuid().is_root() || !installed("prlimit") || !installed("setpriv") || !installed("python3") {
        return skipped(name, "needs root, prlimit, setpriv and python3");
    }
    // A bomb that stops at the user's limit, which Capsule shares: its own threads and the command's processes count together.
    let bomb = "import os,sys,time\nrefused=0\nfor i in range(200):\n  try:\n    if os.fork()==0: time.sleep(1); os._exit(0)\n  except OSError: refused+=1\ntime.sleep(1.5)\nsys.exit(8 if refused else 9)";
    for limit in ["--nproc=40", "--nproc=80"] {
        let home = Home::new();
        let run = ["run", "--linger", "wait", "--tracer", "ptrace", "python3", "-c", bomb];
        let Some(mut command) = as_backup(&home, limit, &run) else { return skipped(name, "there is no user backup") };
        let output = command.output().expect("prlimit starts");
        assert_eq!(output.status.code(), Some(8), "{limit}: {}", stderr(&output));
        let mut verify = home.command(["verify"]);
        let output = verify.env("CAPSULE_HOME", home.path().join("store")).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(0), "{limit}: {}", stderr(&output));
    }
}

#[test]
fn what_the_command_prints_reaches_the_terminal_as_it_is() {
    let home = Home::new();
    let script =
        "printf '\\033]0;title\\007\\033[2J\\000\\377capsule: forged\\n'; printf 'capsule: forged\\n' >&2; exit 3";
    let plain = Command::new("sh").args(["-c", script]).output().expect("sh starts");
    let output = home.capsule(["run", "-q", "--linger", "wait", "sh", "-c", script]);
    assert_eq!((output.status.code(), &output.stdout, &output.stderr), (Some(3), &plain.stdout, &plain.stderr));
}

#[test]
fn programs_that_trace_unshare_and_leave_are_recorded_and_end_as_they_would() {
    let name = "programs_that_trace_unshare_and_leave_are_recorded_and_end_as_they_would";
    if !nix::unistd::geteuid().is_root() || !installed("unshare") || !installed("python3") {
        return skipped(name, "needs root, unshare and python3");
    }
    // TRACEME, then unshare with a process of its own pid namespace, then a process that leaves session and parent.
    let script = "python3 -c 'import ctypes,sys; sys.exit(11 if ctypes.CDLL(None).ptrace(0,0,0,0) else 10)'; traced=$?
        unshare --pid --fork --mount-proc sh -c '/bin/echo inside $$; exit 12'; unshared=$?
        setsid sh -c '(sleep 0.2; exec /bin/echo away >/dev/null) &' ; wait
        echo $traced $unshared; exit 13";
    for (tracer, traced) in [("ebpf", 10), ("ptrace", 11)] {
        let home = Home::new();
        let output = home.capsule(["run", "-q", "--linger", "wait", "--tracer", tracer, "sh", "-c", script]);
        if output.status.code() == Some(125) {
            skipped(name, &stderr(&output));
            continue;
        }
        // Under ptrace nobody else can trace: that one difference is documented.
        assert_eq!(output.status.code(), Some(13), "{tracer}: {}", stderr(&output));
        assert_eq!(stdout(&output), format!("inside 1\n{traced} 12\n"), "{tracer}");
        assert_eq!(verify(&home, &[]).0, Some(0));
        let ran = |words: &[&str]| {
            home.stream("events").iter().any(|event| event["command_line"] == serde_json::json!(words))
        };
        assert!(ran(&["/bin/echo", "inside", "1"]) && ran(&["/bin/echo", "away"]), "{tracer}");
    }
}

/// A control group with one limit, of either version; removed at the end.
struct Group(std::path::PathBuf);

impl Group {
    fn new(controller: &str, [first, second]: [&str; 2], limit: &str) -> Option<Self> {
        let name = format!("capsule-test-{}-{controller}", std::process::id());
        let places = [format!("/sys/fs/cgroup/{controller}/{name}"), format!("/sys/fs/cgroup/{name}")];
        places.iter().zip([first, second]).find_map(|(place, file)| {
            fs::create_dir(place).ok()?;
            let group = Self(place.into());
            // Made by the kernel, or there is no such limit here.
            let limited = group.0.join(file).exists() && fs::write(group.0.join(file), limit).is_ok();
            limited.then_some(group)
        })
    }

    /// The words that put a shell into the group and make it a Python program.
    fn enter(&self, program: &str) -> String {
        format!("echo $$ >{}/cgroup.procs && exec python3 -c '{program}'", self.0.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left in it ends by itself; a group that stays is the machine's trouble, not the test's.
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn a_fork_bomb_in_a_group_of_its_own_is_recorded_to_its_end() {
    let name = "a_fork_bomb_in_a_group_of_its_own_is_recorded_to_its_end";
    let Some(group) = Group::new("pids", ["pids.max", "pids.max"], "50") else {
        return skipped(name, "no control group for processes can be made");
    };
    // Every process forks as fast as it can, for a second.
    let bomb = "import os,sys,time\nend=time.time()+1\nroot=os.getpid()\nwhile time.time()<end:\n  try: os.fork()\n  except OSError: time.sleep(0.02)\ntime.sleep(0.2)\nsys.exit(8 if os.getpid()==root else 0)";
    for tracer in ["ptrace", "auto"] {
        let home = Home::new();
        let output =
            home.capsule(["run", "-q", "--linger", "wait", "--tracer", tracer, "sh", "-c", &group.enter(bomb)]);
        assert_eq!(output.status.code(), Some(8), "{tracer}: {}", stderr(&output));
        assert_eq!(verify(&home, &[]).0, Some(0), "{tracer}");
        let events = home.stream("events");
        let count = |kind: &str| events.iter().filter(|event| event["event_type"] == kind).count();
        assert!(count("spawn") > 30, "{tracer}: {} spawns", count("spawn"));
        assert_eq!((count("spawn"), count("gap")), (count("exit"), 0), "{tracer}: whoever began has ended");
    }
}

#[test]
fn a_command_that_the_kernel_kills_for_its_memory_is_recorded_as_killed() {
    let name = "a_command_that_the_kernel_kills_for_its_memory_is_recorded_as_killed";
    let Some(group) = Group::new("memory", ["memory.limit_in_bytes", "memory.max"], "67108864") else {
        return skipped(name, "no control group for memory can be made");
    };
    let home = Home::new();
    let script = group.enter("held=b\"x\" * (1 << 30)");
    let output = home.capsule(["run", "-q", "--linger", "wait", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    assert_eq!((verify(&home, &[]).0, &home.metadata()["signal"]), (Some(0), &9.into()));
}
