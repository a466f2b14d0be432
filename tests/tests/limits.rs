//! Descriptors, memory and processes that run out, for the command alone or for Capsule as well.
//!
//! The command's own result is what it would be without Capsule, or the command never ran and Capsule says so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::{Home, capsule_binary, installed, skipped, stderr, stdout};

use crate::evidence::verify;

#[test]
fn a_bounded_fork_bomb_is_recorded_and_ends_as_it_would_without_capsule() {
    const NAME: &str = "a_bounded_fork_bomb_is_recorded_and_ends_as_it_would_without_capsule";
    if !nix::unistd::geteuid().is_root() || !installed("prlimit") {
        return skipped(NAME, "needs root and prlimit");
    }
    let home = Home::new();
    // 40 processes for this user, who tries for 120. Python, whose fork does not try again.
    let script = "import os,sys\nn=0\nfor i in range(120):\n  try:\n    if os.fork()==0:\n      import time; time.sleep(1); os._exit(0)\n  except OSError: n+=1\nsys.exit(8 if n else 9)";
    let output = home.capsule([
        "run",
        "--linger",
        "wait",
        "-u",
        "games",
        "-C",
        "/",
        "prlimit",
        "--nproc=40",
        "python3",
        "-c",
        script,
    ]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
    assert!(home.stream("events").iter().filter(|event| event["event_type"] == "spawn").count() > 10);
}

#[test]
fn descriptors_and_memory_that_run_out_for_the_command_do_not_for_capsule() {
    let home = Home::new();
    let script = "import sys,resource\nresource.setrlimit(resource.RLIMIT_NOFILE,(32,32))\nresource.setrlimit(resource.RLIMIT_AS,(256<<20,256<<20))\nheld=[]\ntry:\n  while True: held.append(open('/dev/null'))\nexcept OSError: pass\ntry:\n  held.append(bytearray(1<<30))\nexcept MemoryError: sys.exit(6)";
    let output = home.capsule(["run", "--linger", "wait", "python3", "-c", script]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
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
        // A run that failed before its first record may still have been sealed.
        let expected = match code {
            Some(7) => &[0][..],
            Some(125) => &[0, 1, 4],
            _ => &[1, 4],
        };
        assert!(
            verdict.status.code().is_some_and(|code| expected.contains(&code)),
            "{megabytes}: {}",
            stdout(&verdict)
        );
        whole += usize::from(code == Some(7));
    }
    assert!(whole > 0, "the limits are not all too low");
}

/// Limits are the user's: each test needs one that no other test uses. `None`: there is no such user.
fn as_user(user: &str, home: &Home, limit: &str, rest: &[&str]) -> Option<Command> {
    let capsule = home.path().join("capsule");
    fs::copy(capsule_binary(), &capsule).expect("copied");
    for path in [home.path(), &capsule] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("changed");
    }
    let store = home.path().join("store");
    fs::create_dir_all(&store).expect("made");
    let given = Command::new("chown").arg(user).arg(&store).status();
    if !given.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("prlimit");
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    command.args([limit, "setpriv", "--clear-groups"]).args(ids).arg(&capsule);
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
        let Some(mut command) = as_user("backup", &home, limit, &run) else {
            return skipped(name, "there is no user backup");
        };
        let output = command.output().expect("prlimit starts");
        assert_eq!(output.status.code(), Some(8), "{limit}: {}", stderr(&output));
        let mut verify = home.command(["verify"]);
        let output = verify.env("CAPSULE_HOME", home.path().join("store")).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(0), "{limit}: {}", stderr(&output));
    }
}

#[test]
fn a_session_is_read_where_no_thread_can_be_made() {
    let name = "a_session_is_read_where_no_thread_can_be_made";
    if !nix::unistd::geteuid().is_root() || !installed("prlimit") || !installed("setpriv") {
        return skipped(name, "needs root, prlimit and setpriv");
    }
    // A number is a user, too.
    let (home, user) = (Home::new(), "61917");
    let run = ["run", "-q", "--tracer", "ptrace", "sh", "-c", "/bin/echo one; /bin/true; exit 3"];
    let Some(mut command) = as_user(user, &home, "--nproc=1000", &run) else {
        return skipped(name, "there can be no user 61917");
    };
    assert_eq!(command.output().expect("prlimit starts").status.code(), Some(3));
    for words in [&["report"][..], &["report", "--format", "json"], &["explain"], &["verify"], &["list"], &["tail"]] {
        let [plenty, none] = ["--nproc=1000", "--nproc=1"].map(|limit| {
            let mut command = as_user(user, &home, limit, words).expect("it was there");
            command.output().expect("prlimit starts")
        });
        assert!(none.status.success() && !stdout(&none).is_empty(), "{words:?}: {}", stderr(&none));
        assert_eq!((stdout(&none), stderr(&none)), (stdout(&plenty), stderr(&plenty)), "{words:?}");
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
        // The interpreter itself: what stands for it in PATH may be a script that needs processes of its own.
        let python = "python=$(python3 -c 'import sys; print(sys.executable)')";
        format!("{python} && echo $$ >{}/cgroup.procs && exec \"$python\" -c '{program}'", self.0.display())
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
