//! `--snapshots` and `capsule undo`: what a command destroys is kept, and comes back.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;
use tests::{Home, installed, skipped, stderr, stdout};

/// Records a shell's script with `--snapshots` in `dir`. `None` where no filter can be had.
fn record(test: &str, dir: &Path, script: &str) -> Option<Home> {
    if !nix::unistd::geteuid().is_root() {
        skipped(test, "a filter needs privileges");
        return None;
    }
    let home = Home::new();
    let mut command = home.command(["run", "--snapshots", "sh", "-ec", script]);
    let output = command.current_dir(dir).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    Some(home)
}

#[test]
fn what_calls_destroy_is_kept_and_sealed() {
    let work = tempfile::tempdir().expect("a directory");
    let dir = work.path().canonicalize().expect("its path");
    std::fs::write(dir.join("over"), "over as it was").expect("a file");
    std::fs::write(dir.join("gone"), "gone as it was").expect("a file");
    std::fs::write(dir.join("more"), "more as it was").expect("a file");
    let script = "echo new > over; rm gone; echo x >> more; echo y > made; mkdir d; rmdir d";
    let Some(home) = record("what_calls_destroy_is_kept_and_sealed", &dir, script) else { return };
    let before: BTreeMap<String, Value> = home
        .stream("events")
        .into_iter()
        .filter(|event| event["before"].is_object())
        .map(|event| {
            let kind = event["event_type"].as_str().expect("a kind");
            let name = event["path"].as_str().expect("a path").replace(&*dir.to_string_lossy(), "DIR");
            (format!("{kind} {name}"), event["before"].clone())
        })
        .collect();
    for (what, content) in
        [("file_write DIR/over", "over"), ("file_delete DIR/gone", "gone"), ("file_write DIR/more", "more")]
    {
        let name = before[what]["content"].as_str().expect("a content");
        let kept = std::fs::read(home.session().join("before").join(name)).expect("a kept content");
        assert_eq!(kept, format!("{content} as it was").into_bytes());
    }
    for (what, kind) in
        [("file_create DIR/made", "absent"), ("file_create DIR/d", "absent"), ("file_delete DIR/d", "directory")]
    {
        assert_eq!(before[what]["kind"], kind, "{before:#?}");
    }
    let metadata = home.metadata();
    assert_eq!(metadata["snapshots"]["kept"], 3);
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
    let one = std::fs::read_dir(home.session().join("before")).expect("contents").flatten().next().expect("a content");
    std::fs::write(one.path(), "forged").expect("a forgery");
    let verdict = home.capsule(["verify"]);
    assert_eq!(verdict.status.code(), Some(3));
    assert!(stdout(&verdict).contains("before/"), "{}", stdout(&verdict));
}

#[test]
fn a_refused_call_keeps_nothing() {
    let work = tempfile::tempdir().expect("a directory");
    std::fs::write(work.path().join("file"), "x").expect("a file");
    let script = "mkdir full; echo y > full/y; ! rmdir full; ! mkdir file; ! mv -T full file";
    let Some(home) = record("a_refused_call_keeps_nothing", work.path(), script) else { return };
    assert_eq!(home.metadata()["snapshots"]["kept"], 0);
    assert_eq!(std::fs::read_dir(home.session().join("before")).expect("a directory").count(), 0);
}

#[test]
fn snapshots_need_ptrace_and_effects() {
    for more in [["--tracer", "ebpf"], ["--tracer", "strace"], ["--effects", "off"]] {
        let home = Home::new();
        let output = home.capsule(["run", "--snapshots"].into_iter().chain(more).chain(["true"]));
        assert_eq!(output.status.code(), Some(125), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
}

/// Everything below a directory: kind, permissions, and content or target of each name.
pub(crate) fn listing(dir: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            let meta = entry.symlink_metadata().expect("its metadata");
            let content = match () {
                () if meta.is_file() => std::fs::read(&entry).expect("its content"),
                () if meta.is_symlink() => {
                    std::fs::read_link(&entry).expect("its target").into_os_string().into_encoded_bytes()
                }
                () => Vec::new(),
            };
            let name = entry.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
            found.insert(name, (meta.mode(), content));
            if meta.is_dir() {
                todo.push(entry);
            }
        }
    }
    found
}

/// Files of several kinds.
fn prepare(dir: &Path) {
    for name in ["one", "two", "three"] {
        std::fs::write(dir.join(name), format!("{name} as it was\n")).expect("a file");
    }
    std::fs::create_dir_all(dir.join("tree/below")).expect("directories");
    std::fs::write(dir.join("tree/leaf"), "a leaf\n").expect("a file");
    std::fs::write(dir.join("tree/below/leaf"), "another\n").expect("a file");
    std::os::unix::fs::symlink("leaf", dir.join("tree/link")).expect("a link");
}

/// Records `script`, takes it back and takes that back: the tree is as it was before, and as the script left it.
fn there_and_back(test: &str, prepare: impl Fn(&Path), script: &str) {
    let work = tempfile::tempdir().expect("a directory");
    let dir = work.path().canonicalize().expect("its path");
    prepare(&dir);
    let before = listing(&dir);
    let Some(home) = record(test, &dir, script) else { return };
    let after = listing(&dir);
    assert_ne!(before, after, "{script}");
    let planned = home.capsule(["undo"]);
    assert_eq!(planned.status.code(), Some(0), "{script}: {}{}", stdout(&planned), stderr(&planned));
    assert_eq!(listing(&dir), after, "{script}: a plan changes nothing");
    let undone = home.capsule(["undo", "--yes"]);
    assert_eq!(undone.status.code(), Some(0), "{script}: {}{}", stdout(&undone), stderr(&undone));
    assert_eq!(listing(&dir), before, "{script}: {}", stdout(&undone));
    let redone = home.capsule(["undo", "--redo", "--yes"]);
    assert_eq!(redone.status.code(), Some(0), "{script}: {}{}", stdout(&redone), stderr(&redone));
    assert_eq!(listing(&dir), after, "{script}: {}", stdout(&redone));
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
}

#[test]
fn an_undo_gives_back_what_was_there_and_can_be_undone() {
    for script in [
        "sed -i s/was/is/ one",
        "mv two one",
        "rm -rf tree one",
        "truncate -s 3 one",
        "echo more >> one; echo more >> one",
        "echo new > one; chmod 600 one; chmod 711 tree",
        "mv tree moved; echo x > moved/leaf; mkdir tree; echo y > tree/new",
        "mv one t; mv two one; mv t two",
        "mkdir -p a/b/c; echo x > a/b/c/d; ln -s d a/b/c/e; ln one a/hard; rm tree/link; ln -s below tree/link",
        "rm one; mkdir one; echo x > one/x",
        "mv tree/below up; rm -r tree; mv up tree",
        "cp one four; mv four five; rm five; echo x > six",
        "rm two; mv one two; echo z > one",
        "mv tree/leaf out; rm -r tree",
    ] {
        there_and_back("an_undo_gives_back_what_was_there_and_can_be_undone", prepare, script);
    }
}

#[test]
fn an_undo_takes_back_what_programs_write_in_their_own_process() {
    if !installed("python3") {
        skipped("an_undo_takes_back_what_programs_write_in_their_own_process", "there is no python3");
        return;
    }
    let script = "python3 -c \"
import os
open('one', 'w').write('rewritten')
with open('two', 'r+') as f: f.write('TWO')
os.replace('three', 'tree/leaf')
\"";
    there_and_back("an_undo_takes_back_what_programs_write_in_their_own_process", prepare, script);
}

#[test]
fn an_undo_takes_back_a_checkout() {
    if !installed("git") {
        skipped("an_undo_takes_back_a_checkout", "there is no git");
        return;
    }
    let prepare = |dir: &Path| {
        prepare(dir);
        let script = "git init -q . && git add . && git commit -qm 1 && echo 2 > one && rm two && git add -A && git commit -qm 2";
        let mut shell = std::process::Command::new("sh");
        for who in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
            shell.env(who, "nobody");
        }
        let made = shell.args(["-ec", script]).current_dir(dir).output().expect("a shell");
        assert!(made.status.success(), "{}", stderr(&made));
    };
    there_and_back("an_undo_takes_back_a_checkout", prepare, "git checkout -q HEAD~1");
}

#[test]
fn what_changed_since_is_left_alone_unless_forced() {
    let work = tempfile::tempdir().expect("a directory");
    let dir = work.path().canonicalize().expect("its path");
    prepare(&dir);
    let script = "echo new > one; echo new > two";
    let Some(home) = record("what_changed_since_is_left_alone_unless_forced", &dir, script) else { return };
    std::fs::write(dir.join("one"), "mine").expect("a file");
    let undone = home.capsule(["undo", "--yes"]);
    assert_eq!(undone.status.code(), Some(1), "{}", stderr(&undone));
    assert!(stdout(&undone).contains("changed since"), "{}", stdout(&undone));
    assert_eq!(std::fs::read(dir.join("one")).expect("a file"), b"mine");
    assert_eq!(std::fs::read(dir.join("two")).expect("a file"), b"two as it was\n");
    assert_eq!(home.capsule(["undo", "--yes", "--force"]).status.code(), Some(0));
    assert_eq!(std::fs::read(dir.join("one")).expect("a file"), b"one as it was\n");
    // Nothing is lost by it.
    assert_eq!(home.capsule(["undo", "--redo", "--yes"]).status.code(), Some(0));
    assert_eq!(std::fs::read(dir.join("one")).expect("a file"), b"mine");
    // A link in a directory's place leads nowhere.
    std::fs::rename(dir.join("tree"), dir.join("other")).expect("a rename");
    std::os::unix::fs::symlink("other", dir.join("tree")).expect("a link");
    let Some(home) = record("what_changed_since_is_left_alone_unless_forced", &dir, "echo x > other/leaf") else {
        return;
    };
    std::fs::rename(dir.join("other"), dir.join("elsewhere")).expect("a rename");
    std::os::unix::fs::symlink("elsewhere", dir.join("other")).expect("a link");
    let undone = home.capsule(["undo", "--yes", "--force"]);
    assert_eq!(undone.status.code(), Some(1), "{}", stdout(&undone));
    assert_eq!(std::fs::read(dir.join("elsewhere/leaf")).expect("a file"), b"x\n");
}

#[test]
fn one_path_or_one_process_is_undone_alone() {
    let work = tempfile::tempdir().expect("a directory");
    let dir = work.path().canonicalize().expect("its path");
    prepare(&dir);
    let script = "sed -i s/was/is/ one; sh -c 'echo x > two; echo y > three'; sh -c 'echo z > three'; rm -r tree";
    let Some(home) = record("one_path_or_one_process_is_undone_alone", &dir, script) else { return };
    let one = dir.join("one");
    let undone = home.capsule([std::ffi::OsStr::new("undo"), "--yes".as_ref(), "--path".as_ref(), one.as_os_str()]);
    assert_eq!(undone.status.code(), Some(0), "{}", stderr(&undone));
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).expect("a file");
    assert_eq!((text("one").as_str(), text("two").as_str()), ("one as it was\n", "x\n"));
    let report = home.capsule(["why", dir.join("two").to_str().expect("text"), "--json"]);
    let why: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let proc = why["answers"][0]["chain"].as_array().and_then(|chain| chain.last()).expect("a chain")["proc"]
        .as_u64()
        .unwrap_or_else(|| panic!("a process: {why:#}"))
        .to_string();
    let undone = home.capsule(["undo", "--yes", "--proc", &proc]);
    // Another process wrote three afterwards.
    assert_eq!(undone.status.code(), Some(1), "{}", stderr(&undone));
    assert!(stdout(&undone).contains("another process changed it"), "{}", stdout(&undone));
    assert_eq!((text("two").as_str(), text("three").as_str()), ("two as it was\n", "z\n"));
    assert!(!dir.join("tree").exists());
}

#[test]
fn a_session_without_snapshots_or_with_forged_ones_is_not_undone() {
    let work = tempfile::tempdir().expect("a directory");
    prepare(work.path());
    let home = Home::new();
    assert_eq!(home.capsule(["run", "true"]).status.code(), Some(0));
    let refused = home.capsule(["undo", "--yes"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--snapshots"), "{}", stderr(&refused));
    let test = "a_session_without_snapshots_or_with_forged_ones_is_not_undone";
    let Some(home) = record(test, work.path(), "echo x > one") else { return };
    let kept = std::fs::read_dir(home.session().join("before")).expect("contents").flatten().next().expect("a content");
    std::fs::write(kept.path(), "forged").expect("a forgery");
    assert_eq!(home.capsule(["undo", "--yes"]).status.code(), Some(3));
    assert_eq!(std::fs::read(work.path().join("one")).expect("a file"), b"x\n");
}

#[test]
fn an_undo_goes_with_its_session() {
    let work = tempfile::tempdir().expect("a directory");
    prepare(work.path());
    let Some(home) = record("an_undo_goes_with_its_session", work.path(), "echo x > one") else { return };
    assert_eq!(home.capsule(["undo", "--yes"]).status.code(), Some(0));
    assert_eq!(std::fs::read_dir(home.path().join("undo")).expect("undos").count(), 1);
    assert_eq!(home.capsule(["prune", "--max-sessions", "0", "--yes"]).status.code(), Some(0));
    assert_eq!(std::fs::read_dir(home.path().join("undo")).expect("undos").count(), 0);
}
