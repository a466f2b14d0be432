//! Every usable backend tells the same story of the same program: the one that the program's source tells.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::{Home, installed, skipped, stderr, tracee};

/// The backends that can run here. What cannot is said loudly.
pub(crate) fn backends(test: &str) -> Vec<&'static str> {
    let doctor = Home::new().capsule(["doctor", "--json"]);
    let facts: Value = serde_json::from_slice(&doctor.stdout).expect("doctor prints JSON");
    let mut usable = Vec::new();
    for name in ["ptrace", "strace", "ebpf"] {
        let found = facts["tracers"].as_array().and_then(|all| all.iter().find(|t| t["backend"] == name));
        match found {
            Some(tracer) if tracer["usable"] == true => usable.push(name),
            Some(tracer) => skipped(test, &format!("{name}: {}", tracer["because"])),
            None => skipped(test, &format!("{name}: not in this build")),
        }
    }
    assert!(usable.contains(&"ptrace"), "the built-in tracer works everywhere these tests run: {facts}");
    usable
}

/// Records `tracee ARGS` with a backend, and returns the home.
fn record(backend: &str, args: &[&str]) -> Home {
    let home = Home::new();
    let mut command = home.command(["run", "--tracer", backend, "--linger", "wait", "--"]);
    let output = command.arg(tracee()).args(args).output().expect("capsule starts");
    assert!(!stderr(&output).contains("error"), "{backend} {args:?}: {}", stderr(&output));
    let verify = home.capsule(["verify"]);
    assert_eq!(verify.status.code(), Some(0), "{backend} {args:?}: {}", stderr(&verify));
    home
}

/// The tree as nested text: `execs =end [children]`, children sorted, so that two trees of one shape are one text.
fn shape(home: &Home) -> String {
    let text = std::fs::read(home.session().join("tree.json")).expect("a sealed session has a tree");
    let tree: Value = serde_json::from_slice(&text).expect("tree.json is JSON");
    let nodes = tree["nodes"].as_array().expect("a list of nodes");
    let mut children: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for node in nodes {
        children.entry(node["parent"].as_u64().unwrap_or(0)).or_default().push(node);
    }
    nested(&children, 0)
}

fn nested(children: &BTreeMap<u64, Vec<&Value>>, parent: u64) -> String {
    let Some(nodes) = children.get(&parent) else { return String::new() };
    let mut texts: Vec<String> = nodes
        .iter()
        .map(|node| {
            let execs: Vec<String> =
                node["execs"].as_array().expect("execs").iter().map(|e| words(&e["argv"])).collect();
            let execs = if execs.is_empty() { "-".to_owned() } else { execs.join(" > ") };
            let life = &node["life"];
            let end = match (&life["code"], &life["signal"]) {
                (Value::Number(code), _) => code.to_string(),
                (_, Value::Number(signal)) => format!("signal {signal}"),
                _ => life["state"].to_string(),
            };
            let below = nested(children, node["proc"].as_u64().expect("proc"));
            if below.is_empty() { format!("{execs} ={end}") } else { format!("{execs} ={end} [{below}]") }
        })
        .collect();
    texts.sort();
    texts.join(", ")
}

fn words(argv: &Value) -> String {
    let me = tracee().to_string_lossy();
    let words: Vec<String> = argv
        .as_array()
        .expect("argv")
        .iter()
        .map(|arg| arg.as_str().map_or_else(|| arg.to_string(), |text| text.replace(&*me, "tracee")))
        .collect();
    words.join(" ")
}

fn check(args: &[&str], expect: &str) {
    for backend in backends(&format!("conformance {args:?}")) {
        let home = record(backend, args);
        assert_eq!(shape(&home), expect, "{backend}");
        assert_eq!(home.metadata()["coverage"]["lost"], 0, "{backend}");
    }
}

#[test]
fn forks_without_exec() {
    check(&["fork-tree", "3"], "tracee fork-tree 3 =0 [- =0 [- =0], - =1 [- =0], - =2 [- =0]]");
}

#[test]
fn vfork_and_exec() {
    check(&["vfork"], "tracee vfork =0 [tracee exit 3 =3]");
}

#[test]
fn clone3_without_flags() {
    check(&["clone3"], "tracee clone3 =0 [- =5]");
}

#[test]
fn a_process_that_execs_again_and_again() {
    check(
        &["exec-chain", "3"],
        "tracee exec-chain 3 > tracee exec-chain 2 > tracee exec-chain 1 > tracee exec-chain 0 > tracee exit 7 =7",
    );
}

#[test]
fn exec_from_a_thread_that_is_not_the_leader() {
    check(&["exec-thread"], "tracee exec-thread > tracee exit 9 =9");
}

#[test]
fn thousands_of_threads_are_one_process() {
    check(&["threads", "2000"], "tracee threads 2000 =0");
}

#[test]
fn death_by_signal() {
    check(&["die", "9"], "tracee die 9 =0 [- =signal 9]");
    check(&["die", "15"], "tracee die 15 =0 [- =signal 15]");
    check(&["die", "11"], "tracee die 11 =0 [- =signal 11]");
}

#[test]
fn a_daemon_keeps_who_started_it() {
    check(&["daemon", "200"], "tracee daemon 200 =0 [- =0 [- =0]]");
}

#[test]
fn an_orphan_keeps_who_started_it() {
    check(&["orphan"], "tracee orphan =0 [- =13 [- =12 [- =11]]]");
}

#[test]
fn failed_execs_are_not_execs() {
    check(&["failed-exec"], "tracee failed-exec > tracee exit 4 =4");
}

#[test]
fn arguments_of_any_bytes() {
    let mut long = "long-".to_owned();
    long.push_str(&"x".repeat(128 * 1024 - 1 - long.len()));
    let expect = serde_json::json!([
        "not the program",
        "exit",
        "0",
        "",
        "two\nlines\ttab \u{1b}[31mred\u{7}",
        { "lossy": "not utf-8: \u{fffd}\u{fffd}\u{fffd}", "base64": "bm90IHV0Zi04OiD//oA=" },
        "wide: 漢字 😀 \u{202e}rtl",
        "quotes: ' \" \\ $(x) `y`",
        "",
        long,
        "<script>alert(1)</script>",
        "last",
    ]);
    for backend in backends("arguments_of_any_bytes") {
        let home = record(backend, &["odd-args"]);
        let execs: Vec<Value> = home.stream("events").into_iter().filter(|e| e["event_type"] == "exec").collect();
        assert_eq!(execs.len(), 2, "{backend}");
        assert_eq!(execs[1]["command_line"], expect, "{backend}");
        if backend == "strace" {
            // strace does not tell the executable, and by the time it can be asked for, the process is gone.
            continue;
        }
        let exe = home
            .stream("enriched")
            .into_iter()
            .filter(|e| e["event_type"] == "exec")
            .map(|e| e["exe"].clone())
            .next_back();
        assert_eq!(exe, Some(Value::from(tracee().to_string_lossy())), "{backend}: argv[0] is not the executable");
    }
}

#[test]
fn an_empty_argument_vector() {
    for backend in backends("an_empty_argument_vector") {
        let home = record(backend, &["empty-argv"]);
        let execs: Vec<Value> = home.stream("events").into_iter().filter(|e| e["event_type"] == "exec").collect();
        // Since Linux 5.18 the kernel puts one empty argument in its place; strace shows what was asked.
        let argv = &execs[1]["command_line"];
        assert!(*argv == serde_json::json!([""]) || *argv == serde_json::json!([]), "{backend}: {argv}");
    }
}

/// Asserts that the storm's processes are all there, each once, each with its own arguments and end; gives back how many pids they had.
fn assert_whole_storm(home: &Home, count: usize, backend: &str) -> usize {
    let text = std::fs::read(home.session().join("tree.json")).expect("a tree");
    let tree: Value = serde_json::from_slice(&text).expect("JSON");
    let mut found = BTreeMap::new();
    let mut pids = BTreeSet::new();
    for node in tree["nodes"].as_array().expect("nodes") {
        let argv = words(&node["execs"][0]["argv"]);
        if let Some((_, index)) = argv.split_once("marker-") {
            let index: u64 = index.parse().expect("a number");
            assert_eq!(argv, format!("tracee exit {} marker-{index}", index % 200), "{backend}");
            assert_eq!(node["life"]["code"], index % 200, "{backend}");
            *found.entry(index).or_insert(0) += 1;
            pids.insert(node["pid"].as_u64());
        }
    }
    assert_eq!(found.len(), count, "{backend}");
    assert!(found.values().all(|times| *times == 1), "{backend}");
    pids.len()
}

#[test]
fn a_storm_of_short_lives_is_recorded_whole() {
    let count = 2000;
    for backend in backends("a_storm_of_short_lives") {
        let home = record(backend, &["storm", &count.to_string(), "8"]);
        assert_whole_storm(&home, count, backend);
    }
}

/// In a pid namespace that has few pids (`pid_max` is one for each since Linux 6.14), so that every pid comes again and again.
#[test]
fn pids_that_come_again_are_other_processes() {
    const FEW: usize = 400;
    let count = 1000;
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh"]).stdin(Stdio::null());
        command
    };
    let limit = format!("echo {FEW} > /proc/sys/kernel/pid_max && test \"$(cat /proc/sys/kernel/pid_max)\" = {FEW}");
    let before = std::fs::read_to_string("/proc/sys/kernel/pid_max").expect("every Linux has it");
    let possible = in_namespace(&limit).output().is_ok_and(|output| output.status.success());
    let after = std::fs::read_to_string("/proc/sys/kernel/pid_max").expect("every Linux has it");
    if before != after {
        // An older kernel, which has one for all: give it back what it had.
        std::fs::write("/proc/sys/kernel/pid_max", &before).expect("it could be written a moment ago");
    }
    if !possible || before != after {
        skipped("pids_that_come_again", "no pid namespace with a pid_max of its own can be made here");
        return;
    }
    for backend in backends("pids_that_come_again") {
        let home = Home::new();
        let mut command = in_namespace(&format!("{limit} && exec \"$@\""));
        command.arg(tests::capsule_binary()).args(["run", "-q", "--tracer", backend, "--"]).arg(tracee());
        command.args(["storm", &count.to_string(), "8"]).env("CAPSULE_HOME", home.path()).env_remove("CAPSULE_TRACER");
        let output = command.output().expect("unshare starts");
        assert!(output.status.success(), "{backend}: {}", stderr(&output));
        assert_eq!(home.metadata()["status"]["state"], "complete", "{backend}");
        let pids = assert_whole_storm(&home, count, backend);
        assert!(pids < FEW, "{backend}: {pids} pids for {count} processes are no reuse");
    }
}

#[test]
fn a_real_pipeline_of_programs() {
    if !installed("git") || !installed("make") {
        skipped("a_real_pipeline_of_programs", "git or make is not installed");
        return;
    }
    // No scripts with an interpreter line: strace shows the arguments that execve was given, the others those that the
    // interpreter got.
    let script = "cd \"$1\" && git init -q . && printf 'all:\\n\\techo 42 | tr 4 5 | cat\\n' > Makefile && make -s; \
                  grep -c x Makefile; (exit 3)";
    let mut programs: Option<Vec<String>> = None;
    for backend in backends("a_real_pipeline_of_programs") {
        let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
        let mut command = home.command(["run", "--tracer", backend, "sh", "-c", script, "sh"]);
        let output = command.arg(work.path()).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(3), "{backend}: {}", stderr(&output));
        assert_eq!(tests::stdout(&output), "52\n0\n", "{backend}");
        let mut seen: Vec<String> = home
            .stream("events")
            .iter()
            .filter(|e| e["event_type"] == "exec")
            .map(|e| words(&e["command_line"]).replace(&*work.path().to_string_lossy(), "WORK"))
            .collect();
        seen.sort();
        match &programs {
            None => programs = Some(seen),
            Some(first) => assert_eq!(first, &seen, "{backend} differs from the first backend"),
        }
    }
    assert!(programs.is_some_and(|seen| seen.iter().any(|argv| argv == "tr 4 5")));
}

#[test]
fn a_stored_raw_stream_replays_to_the_same_session() {
    let home = record("ptrace", &["fork-tree", "3"]);
    let raw = home.session().join("raw.jsonl");
    let again = Home::new();
    let output =
        again.capsule([std::ffi::OsStr::new("import"), "--from".as_ref(), "capsule".as_ref(), raw.as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(shape(&again), shape(&home));
}

#[test]
fn a_witness_agrees_with_the_recorder() {
    let usable = backends("a_witness_agrees_with_the_recorder");
    if !usable.contains(&"ebpf") {
        return;
    }
    let modes: [&[&str]; 9] = [
        &["fork-tree", "3"],
        &["vfork"],
        &["clone3"],
        &["exec-chain", "3"],
        &["exec-thread"],
        &["threads", "500"],
        &["odd-args"],
        &["orphan"],
        &["storm", "300", "8"],
    ];
    for mode in modes {
        let home = Home::new();
        let mut command = home.command(["run", "--tracer", "ptrace", "--witness", "ebpf", "--linger", "wait", "--"]);
        let output = command.arg(tracee()).args(mode).output().expect("capsule starts");
        assert!(!stderr(&output).contains("error"), "{mode:?}: {}", stderr(&output));
        let metadata = home.metadata();
        assert!(metadata["tracer"]["because"].to_string().contains("witness"), "{metadata}");
        let coverage = metadata["coverage"].to_string();
        assert!(coverage.contains("witness ebpf: agrees about"), "{mode:?}: {coverage}");
    }
}
