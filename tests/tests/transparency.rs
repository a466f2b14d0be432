//! The traced program behaves as if Capsule were not there.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use tests::{Home, installed, skipped, stderr, stdout, tracee};

/// Runs a command bare and under Capsule and returns both outputs.
fn both(args: &[&str], prepare: impl Fn(&mut Command)) -> (Output, Output) {
    let mut bare = Command::new(args[0]);
    bare.args(&args[1..]).stdin(Stdio::null());
    let home = Home::new();
    let mut traced = home.command(["run", "-q", "--"]);
    traced.args(args);
    // What the tests set for Capsule is part of the environment that both commands get.
    for (name, value) in
        traced.get_envs().map(|(n, v)| (n.to_owned(), v.map(std::ffi::OsStr::to_owned))).collect::<Vec<_>>()
    {
        match value {
            Some(value) => bare.env(name, value),
            None => bare.env_remove(name),
        };
    }
    prepare(&mut bare);
    prepare(&mut traced);
    (bare.output().expect("the bare command starts"), traced.output().expect("capsule starts"))
}

#[test]
fn signals_descriptors_limits_environment_and_directory_are_untouched() {
    let me = tracee().to_string_lossy();
    let (bare, traced) = both(&[&me, "state"], |_| {});
    assert_eq!(stdout(&traced), stdout(&bare));
    assert_eq!(stderr(&traced), "");
}

#[test]
fn inherited_ignored_signals_umask_limits_and_descriptors_stay() {
    let script = "trap '' PIPE HUP INT; umask 037; ulimit -n 77; exec 7</dev/null; exec \"$@\"";
    let me = tracee().to_string_lossy().into_owned();
    let run = |prefix: &[&str], home: &Home| {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(prefix).args([me.as_str(), "state"]);
        command.env("CAPSULE_HOME", home.path()).stdin(Stdio::null()).output().expect("sh starts")
    };
    let home = Home::new();
    let capsule = tests::capsule_binary().to_string_lossy();
    let bare = run(&[], &home);
    let traced = run(&[&capsule, "run", "-q", "--"], &home);
    assert_eq!(stdout(&traced), stdout(&bare));
    assert!(stdout(&bare).contains("7"), "{}", stdout(&bare));
}

#[test]
fn exit_codes_and_signals_pass_through() {
    let home = Home::new();
    for (script, code) in [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let output = home.capsule(["run", "-q", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", stderr(&output));
    }
}

#[test]
fn a_command_that_cannot_run_is_told_apart() {
    let home = Home::new();
    let missing = home.capsule(["run", "no-such-program-here"]);
    assert_eq!(missing.status.code(), Some(127), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("not found"), "{}", stderr(&missing));
    let unfit = home.capsule(["run", "/etc/passwd"]);
    assert_eq!(unfit.status.code(), Some(126), "{}", stderr(&unfit));
    let nowhere = home.capsule(["run", "-C", "/no/such/directory", "true"]);
    assert_eq!(nowhere.status.code(), Some(125), "{}", stderr(&nowhere));
}

#[test]
fn stdin_stdout_and_stderr_are_the_commands_own() {
    let home = Home::new();
    let mut child = home
        .command(["run", "-q", "sh", "-c", "tr a-z A-Z; echo talk >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("capsule starts");
    child.stdin.take().expect("a pipe").write_all(b"data\n").expect("the command reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("DATA\n", "talk\n"));
}

#[test]
fn a_closed_pipe_ends_the_command_as_it_would_bare() {
    let home = Home::new();
    let capsule = tests::capsule_binary().to_string_lossy().into_owned();
    let script = format!("'{capsule}' run -q sh -c 'yes; echo $? >&2' | head -1");
    let output =
        Command::new("bash").args(["-c", &script]).env("CAPSULE_HOME", home.path()).output().expect("bash starts");
    // `yes` dies of SIGPIPE when it is not ignored: 141, as without Capsule.
    assert_eq!((stdout(&output).as_str(), stderr(&output).trim()), ("y\n", "141"));
}

#[test]
fn capsule_is_silent_but_for_one_summary() {
    let home = Home::new();
    let output = home.capsule(["run", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(stdout(&output), "out\n");
    let lines: Vec<String> = stderr(&output).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "err");
    assert!(lines.len() <= 4 && lines[1..].iter().all(|line| line.starts_with("capsule: ")), "{lines:?}");
}

#[test]
fn options_end_at_the_command() {
    let home = Home::new();
    let output = home.capsule(["run", "-q", "echo", "-q", "--tracer", "x", "--", "y"]);
    assert_eq!(stdout(&output), "-q --tracer x -- y\n", "{}", stderr(&output));
    let output = home.capsule(["run", "-q", "--", "sh", "-c", "echo \"$1\"", "sh", "--help"]);
    assert_eq!(stdout(&output), "--help\n");
}

#[test]
fn children_left_running_are_unharmed() {
    let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
    let mark = work.path().join("mark");
    let script = format!("(trap '' HUP; sleep 1.2; echo alive > '{}') >/dev/null 2>&1 &", mark.display());
    let output = home.capsule(["run", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!mark.exists(), "run waits for a background process");
    assert!(stderr(&output).contains("still running"), "{}", stderr(&output));
    let left = home.metadata()["left_running"].as_array().map_or(0, Vec::len);
    assert!(left >= 1, "{}", home.metadata());
    for _ in 0..50 {
        if mark.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the process that was left running did not live on");
}

#[test]
fn a_debugger_inside_is_told_no_and_nothing_hangs() {
    if !installed("strace") {
        skipped("a_debugger_inside", "strace is not installed");
        return;
    }
    let home = Home::new();
    let output = home.capsule(["run", "-q", "--tracer", "ptrace", "strace", "-o", "/dev/null", "true"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("Operation not permitted"), "{}", stderr(&output));
}

#[test]
fn keeping_what_is_destroyed_is_not_noticed() {
    let test = "keeping_what_is_destroyed_is_not_noticed";
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "a filter needs privileges");
    }
    // A file of every fate; what is left, its links, sizes and times of access, and what the calls said.
    let script = [
        "umask 022; for f in a b c d; do echo $f as it was > $f; touch -a -d 2001-01-01 $f; done; ln a hard",
        "echo more >> a; echo new > b; rm c; mv d e; truncate -s 3 e; mkdir x; rmdir x; rm none; echo $?",
        "chmod 600 a; exec 5<>b; echo through >&5; stat -c '%n %h %s %a %u %X' *; cat *",
        "python3 -c 'open(\"b\", \"r+\").write(\"py\")' && cat b; ulimit -n; umask; exec \"$@\"",
    ];
    let script = script.join("\n");
    let me = tracee().to_string_lossy().into_owned();
    let run = |snapshots: bool| {
        let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
        let words = ["sh", "-c", &script, "sh", &me, "state"];
        let mut command = if snapshots {
            home.command(["run", "-q", "--snapshots", "--"].into_iter().chain(words))
        } else {
            let mut bare = Command::new(words[0]);
            bare.args(&words[1..]).env("CAPSULE_HOME", home.path());
            bare
        };
        let output = command.current_dir(work.path()).stdin(Stdio::null()).output().expect("it starts");
        let place = work.path().to_string_lossy().into_owned();
        let (said, complained) = (stdout(&output).replace(&place, "DIR"), stderr(&output).replace(&place, "DIR"));
        let kept = if snapshots { home.metadata()["snapshots"]["kept"].as_u64() } else { None };
        // A filter shows in /proc, and the homes differ.
        let plain = |line: &&str| !line.starts_with("Seccomp") && !line.starts_with("env: ");
        (said.lines().filter(plain).map(str::to_owned).collect::<Vec<_>>(), complained, output.status.code(), kept)
    };
    let (bare, traced) = (run(false), run(true));
    assert_eq!((&traced.0, &traced.1, traced.2), (&bare.0, &bare.1, bare.2));
    assert!(traced.3.is_some_and(|kept| kept >= 4), "{:?}", traced.3);
}
