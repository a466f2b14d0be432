//! What a session says of the files that it changed: their contents before and after, git's view beside its own, and commands
//! where no tracer sees effects.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::{Home, installed, skipped, stderr, stdout};

use crate::conformance::backends;

fn git(dir: &Path, args: &[&str]) -> String {
    let settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(settings).args(args).current_dir(dir).output().expect("git starts");
    assert!(output.status.success(), "git {args:?}: {}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

/// A repository with a commit of some files.
fn repository() -> (tempfile::TempDir, std::path::PathBuf) {
    let work = tempfile::tempdir().expect("a directory");
    let dir = work.path().canonicalize().expect("its path");
    git(&dir, &["init", "-q", "."]);
    git(&dir, &["config", "user.name", "a"]);
    git(&dir, &["config", "user.email", "a@b"]);
    for name in ["written", "same", "gone", "earlier"] {
        std::fs::write(dir.join(name), format!("{name}\nsecond\n")).expect("a file");
    }
    std::fs::write(dir.join(".gitignore"), "*.log\n").expect("a file");
    git(&dir, &["add", "."]);
    git(&dir, &["commit", "-q", "-m", "first"]);
    std::fs::write(dir.join("earlier"), "changed before\n").expect("a file");
    // What was changed in the second before a session counts as changed in it: a file system's clock is coarse.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    (work, dir)
}

fn hash(content: &str) -> Value {
    Value::from(blake3::hash(content.as_bytes()).to_hex().to_string())
}

fn report(home: &Home) -> Value {
    serde_json::from_slice(&home.capsule(["report", "--format", "json"]).stdout).expect("JSON")
}

#[test]
fn git_and_the_ledger_explain_each_other() {
    let test = "git_and_the_ledger_explain_each_other";
    if !installed("git") {
        return skipped(test, "git is not installed");
    }
    for backend in backends(test) {
        let (_work, dir) = repository();
        let commit = git(&dir, &["rev-parse", "HEAD"]);
        let script = "printf 'written\\nother\\nthird\\n' > written; printf 'same\\nsecond\\n' > same; rm gone; \
                      echo x > x.log; echo new > untracked; echo y > committed; git add committed; git commit -qm second";
        let home = Home::new();
        let options = ["run", "--tracer", backend, "--effects", "writes", "--no-new-privs", "--", "sh", "-ec", script];
        let output = home.command(options).current_dir(&dir).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(0), "{backend}: {}", stderr(&output));
        let report = report(&home);
        let git = &report["git"];
        assert_eq!(git["from"], Value::from(commit), "{backend}: {report:#}");
        // `earlier` was changed before, and is not among what changed since.
        let numbers = [&git["files"], &git["added"], &git["removed"], &git["committed"]];
        assert_eq!(numbers.map(|number| number.as_u64()), [3, 3, 3, 1].map(Some), "{backend}: {git:#}");
        let item = |name: &str| {
            let files = report["files"].as_array().expect("files");
            files.iter().find(|file| file["name"] == name).unwrap_or_else(|| panic!("{backend}: {name}: {files:#?}"))
        };
        for (name, says) in [
            ("written", "changed"),
            ("same", "unchanged"),
            ("gone", "changed"),
            ("x.log", "ignored"),
            ("untracked", "untracked"),
            ("committed", "committed"),
        ] {
            assert_eq!(item(name)["git"]["says"], says, "{backend}: {name}");
        }
        let content = &item("written")["content"];
        assert_eq!(content["before"], hash("written\nsecond\n"), "{backend}");
        assert_eq!(content["before_from"], "commit", "{backend}");
        assert_eq!(content["after"], hash("written\nother\nthird\n"), "{backend}");
        assert_eq!(item("untracked")["content"]["after"], hash("new\n"), "{backend}");
        assert_eq!(git["only"].as_array().map(Vec::len), Some(0), "{backend}: {git:#}");
        let human = stdout(&home.capsule(["report"])).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(human.contains("3 files differ from"), "{backend}: {human}");
        assert!(human.contains("1 ignored by git, 1 never added, 1 as the commit has them"), "{backend}: {human}");
        for format in ["markdown", "html"] {
            let text = stdout(&home.capsule(["report", "--format", format]));
            assert!(text.contains("3 files differ from"), "{backend}: {format}");
        }
        let why = home.capsule(["why", "written"]);
        let line = format!("before {} (commit)", hash("written\nsecond\n").as_str().expect("text"));
        assert!(stdout(&why).contains(&line), "{backend}: {}", stdout(&why));
        assert_eq!(home.capsule(["verify"]).status.code(), Some(0), "{backend}");
    }
}

#[test]
fn snapshots_say_what_was_there_whatever_was_committed() {
    let test = "snapshots_say_what_was_there_whatever_was_committed";
    if !installed("git") || !nix::unistd::geteuid().is_root() {
        return skipped(test, "git, or the privilege for a filter, is missing");
    }
    let (_work, dir) = repository();
    let home = Home::new();
    let mut command = home.command(["run", "--snapshots", "sh", "-c", "echo more > earlier"]);
    let output = command.current_dir(&dir).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = report(&home);
    let content = &report["files"][0]["content"];
    assert_eq!(content["before"], hash("changed before\n"), "{report:#}");
    assert_eq!((&content["before_from"], &content["after"]), (&Value::from("snapshot"), &hash("more\n")));
}

#[test]
fn without_effects_a_change_names_the_command_after_which_it_was_found() {
    let work = tempfile::tempdir().expect("a directory");
    std::fs::write(work.path().join("old"), "x").expect("a file");
    let home = Home::new();
    let script = "cp old first; sleep 1; rm old";
    let mut command = home.command(["run", "--tracer", "ptrace", "sh", "-c", script]);
    let output = command.current_dir(work.path()).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = report(&home);
    let tools_of = |name: &str| -> Vec<String> {
        let file = report["files"].as_array().expect("files").iter().find(|file| file["name"] == name);
        let procs = file.unwrap_or_else(|| panic!("{name}: {report:#}"))["procs"].as_array().expect("processes");
        let tool = |proc: &Value| {
            let all = report["processes"].as_array().expect("processes");
            let found = all.iter().find(|node| node["proc"] == *proc).expect("a process");
            found["tool"].as_str().expect("a program").to_owned()
        };
        procs.iter().map(tool).collect()
    };
    assert!(tools_of("first").contains(&"cp".to_owned()), "{report:#}");
    // Where records come late, this is found after the first command already.
    assert!(!tools_of("old").is_empty(), "{report:#}");
    assert!(report["files_note"].as_str().is_some_and(|note| note.contains("had just ended")), "{report:#}");
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
}
