//! What programs did outside themselves: every backend says the same, and the file system agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tests::{Home, skipped, stderr, tracee};

use crate::conformance::backends;
use crate::undo::listing;

/// The files that `tracee effects` finds.
fn prepare(dir: &Path) {
    for name in [
        "kept",
        "cut",
        "old",
        "old-at",
        "over",
        "under",
        "gone",
        "gone-at",
        "mode",
        "swap-one",
        "swap-other",
        "by-handle",
    ] {
        std::fs::write(dir.join(name), format!("{name} as it was\n")).expect("a file");
    }
    std::fs::create_dir(dir.join("gone-dir")).expect("a directory");
}

/// Records `tracee effects` in a fresh directory; each effect as a line, the directory's name left out.
fn record(backend: &str) -> (Home, tempfile::TempDir, BTreeMap<String, u32>) {
    let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
    let dir = work.path().canonicalize().expect("its path");
    prepare(&dir);
    let mut command =
        home.command(["run", "--tracer", backend, "--effects", "writes", "--no-new-privs", "--linger", "wait", "--"]);
    let output = command.arg(tracee()).arg("effects").current_dir(&dir).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(0), "{backend}: {}", stderr(&output));
    let mut lines = BTreeMap::new();
    for event in home.stream("events") {
        let kind = event["event_type"].as_str().expect("a kind");
        if !(kind.starts_with("file_") || kind.starts_with("net_") || ["privilege", "ptrace", "mount"].contains(&kind))
        {
            continue;
        }
        *lines.entry(line(&event, kind, &dir.to_string_lossy())).or_insert(0) += 1;
    }
    (home, work, lines)
}

fn line(event: &Value, kind: &str, dir: &str) -> String {
    let plain = |value: &Value| {
        let text = value.as_str().unwrap_or("-").replace(dir, "DIR");
        let text = text.trim_end_matches(" (deleted)");
        // A file without a name is called by its inode, a descriptor's directory by the descriptor.
        let text = text.split_once("/#").map_or(text.to_owned(), |(dir, _)| format!("{dir}/#"));
        match text.strip_prefix("/proc/self/fd/").and_then(|rest| rest.split_once('/')) {
            Some((_, name)) => format!("DIR/{name}"),
            None => text,
        }
    };
    // strace does not tell whether an open without O_EXCL made the file.
    let made = event["detail"].as_str().is_some_and(|detail| detail.contains("O_CREAT"));
    let kind = if made { "open" } else { kind };
    let end = match &event["endpoint"] {
        Value::Null => "-".to_owned(),
        end => {
            // The kernel chose a port of its own for the listener.
            let port = if kind == "net_listen" { "PORT".to_owned() } else { end["port"].to_string() };
            format!("{} {} {port}", end["protocol"].as_str().unwrap_or("?"), plain(&end["host"]))
        }
    };
    let call = event["call"].as_str().expect("a call");
    if call == "open_by_handle_at" {
        // strace 6.1 does not say which file that is.
        return format!("{kind} {call} errno {}", event["errno"]);
    }
    let mount = kind == "mount";
    let to = if mount { "-".to_owned() } else { plain(&event["to"]) };
    format!("{kind} {call} {} {to} {end} errno {}", plain(&event["path"]), event["errno"])
}

#[test]
fn every_backend_tells_the_same_effects() {
    let mut told: Option<(&str, BTreeMap<String, u32>)> = None;
    for backend in backends("every_backend_tells_the_same_effects") {
        let (_, _, lines) = record(backend);
        // Not a check of the backends against each other only: a few that must be there.
        for must in [
            "file_rename rename DIR/old DIR/new - errno null",
            "file_rename renameat DIR/old-at DIR/dir/new-at - errno null",
            "file_delete unlink DIR/never - - errno 2",
            "file_create symlinkat DIR/soft-at kept - errno null",
            "net_connect connect - - tcp 127.0.0.1 1 errno 111",
            "net_connect connect - - tcp ::1 2 errno ",
            "net_connect sendto - - udp 127.0.0.1 53531 errno null",
            "net_connect sendmsg - - udp 127.0.0.1 53532 errno null",
            "net_connect sendmmsg - - udp 127.0.0.1 53533 errno null",
            "privilege setuid - - - errno null",
            "ptrace ptrace - - - errno 3",
            "file_rename renameat2 DIR/swap-one DIR/swap-other - errno null",
            "file_rename renameat2 DIR/swap-one DIR/kept - errno 17",
            "file_rename rename DIR/made-at DIR/renamed-at - errno null",
            "file_write open_by_handle_at errno null",
            "file_create linkat DIR/named ",
            "file_write openat /memfd:scratch - - errno null",
            "mount init_module - - - errno ",
            "mount finit_module DIR/kept - - errno ",
        ] {
            assert!(lines.keys().any(|line| line.starts_with(must)), "{backend} does not tell `{must}`: {lines:#?}");
        }
        match &told {
            None => told = Some((backend, lines)),
            Some((first, expect)) => {
                let all: BTreeSet<&String> = expect.keys().chain(lines.keys()).collect();
                let differ: Vec<String> = all
                    .into_iter()
                    .filter(|line| expect.get(*line) != lines.get(*line))
                    .map(|line| format!("{line}: {first} {:?}, {backend} {:?}", expect.get(line), lines.get(line)))
                    .collect();
                assert!(differ.is_empty(), "{first} and {backend} differ:\n{}", differ.join("\n"));
            }
        }
    }
}

#[test]
fn the_ledger_is_what_a_listing_before_and_after_says() {
    for backend in backends("the_ledger_is_what_a_listing_before_and_after_says") {
        let before = {
            let work = tempfile::tempdir().expect("a directory");
            prepare(work.path());
            listing(work.path())
        };
        let (home, work, _) = record(backend);
        let after = listing(work.path());
        let mut expect = BTreeSet::new();
        for name in before.keys().chain(after.keys()) {
            // A directory is told by what is in it.
            let told_by_content = after.keys().any(|other| other.starts_with(&format!("{name}/")));
            let change = match (before.get(name), after.get(name)) {
                (None, Some(_)) if !told_by_content => "appeared",
                (Some(_), None) => "went",
                (Some(old), Some(new)) if old != new => "changed",
                _ => continue,
            };
            expect.insert(format!("{change} {name}"));
        }
        // Whether the target of a renamed new file was there before, no record tells.
        if backend == "strace" {
            expect.remove("changed by-handle");
        } else {
            expect.remove("appeared renamed-at");
            expect.insert("changed renamed-at".to_owned());
        }
        let report = home.capsule(["report", "--format", "json"]);
        let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
        let mut told = BTreeSet::new();
        for file in report["files"].as_array().expect("files") {
            if file["inside"] != true {
                continue;
            }
            let name = file["name"].as_str().expect("a name").trim_end_matches('/');
            match file["changes"][0].as_str().expect("a change") {
                "created" => drop(told.insert(format!("appeared {name}"))),
                "deleted" => drop(told.insert(format!("went {name}"))),
                "renamed" => {
                    told.insert(format!("went {name}"));
                    let to = file["renamed_to"].as_str().expect("its new name");
                    let change = if before.contains_key(to) { "changed" } else { "appeared" };
                    told.insert(format!("{change} {to}"));
                }
                // Opened for writing, or its attributes set, is told whether or not that made a difference.
                _ => match (before.get(name), after.get(name)) {
                    (Some(old), Some(new)) if old == new => {}
                    // strace does not tell whether an open without O_EXCL made the file.
                    (None, Some(_)) if backend == "strace" => drop(told.insert(format!("appeared {name}"))),
                    _ => drop(told.insert(format!("changed {name}"))),
                },
            }
        }
        assert_eq!(told, expect, "{backend}");
    }
}

#[test]
fn a_ring_is_told_of_because_nothing_else_of_it_is_seen() {
    for backend in backends("a_ring_is_told_of_because_nothing_else_of_it_is_seen") {
        let home = Home::new();
        let more = ["--effects", "writes", "--no-new-privs", "--linger", "wait", "--"];
        let mut command = home.command(["run", "--tracer", backend].into_iter().chain(more));
        let output = command.arg(tracee()).arg("ring").output().expect("capsule starts");
        match output.status.code() {
            Some(0) => {}
            Some(1) => return skipped("a_ring_is_told_of_because_nothing_else_of_it_is_seen", "no io_uring here"),
            other => panic!("{backend}: {other:?}: {}", stderr(&output)),
        }
        let metadata = home.metadata();
        let told = metadata["coverage"]["not_seen"].as_array().expect("what is not seen");
        assert!(
            told.iter().any(|text| text.as_str().is_some_and(|text| text.contains("io_uring"))),
            "{backend}: {told:?}"
        );
    }
}

#[test]
fn where_effects_are_not_recorded_the_work_tree_is_compared() {
    let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
    prepare(work.path());
    let script = "echo more >> kept; echo new > made; rm gone; echo x > scratch; rm scratch";
    let mut command = home.command(["run", "--tracer", "ptrace", "sh", "-c", script]);
    let output = command.current_dir(work.path()).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = home.capsule(["report", "--format", "json"]);
    let report: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let mut told: Vec<String> = report["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| {
            format!("{} {}", file["changes"][0].as_str().expect("a change"), file["name"].as_str().expect("a name"))
        })
        .collect();
    told.sort();
    assert_eq!(told, ["created made", "deleted gone", "written kept"]);
    assert!(report["files_note"].as_str().is_some_and(|note| note.contains("before and after")), "{report}");
    let human = tests::stdout(&home.capsule(["report"]));
    let human = human.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(human.contains("made (created after process") && human.contains("by whom is not recorded"), "{human}");
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
}
