//! A program behind a recording wrapper, and the wrapper itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tests::{Home, capsule_binary, installed, skipped, stderr, stdout};

const TOOL: &str = "#!/bin/sh\necho \"name=$(tr '\\0' '|' </proc/$$/cmdline)\"\nfor word; do printf '[%s]' \"$word\"; done\ncat\nexit 5\n";

/// A directory with the program `tool`, and the shim's directory before it on PATH.
fn tool() -> (tempfile::TempDir, PathBuf, String) {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (real, shims) = (scratch.path().join("real"), scratch.path().join("shims"));
    std::fs::create_dir(&real).expect("a directory");
    std::fs::write(real.join("tool"), TOOL).expect("a file");
    std::fs::set_permissions(real.join("tool"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{}:{path}", shims.display(), real.display());
    (scratch, shims, path)
}

fn shim(home: &Home, path: &str, shims: &Path, words: &[&str]) -> Output {
    let mut command = home.command(["shim"]);
    command.args(words).arg("--dir").arg(shims).env("PATH", path).output().expect("capsule starts")
}

fn sessions(home: &Home) -> usize {
    home.path().join("runs").read_dir().map_or(0, Iterator::count)
}

/// Runs `sh -c script` with this PATH and one line of input.
fn sh(home: &Home, path: &str, script: &str) -> Output {
    use std::io::Write as _;
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("PATH", path).env("CAPSULE_HOME", home.path()).env_remove("CAPSULE_TRACER");
    command.env("CAPSULE", capsule_binary()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("sh starts");
    child.stdin.take().expect("a pipe").write_all(b"input\n").expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_program_behind_a_shim_is_recorded_and_the_same() {
    let (home, (_scratch, shims, path)) = (Home::new(), tool());
    let script = "tool --odd '' 'a b' -- \"$(printf 'x\\ny')\" --help";
    let plain = sh(&home, &path, script);
    assert_eq!((plain.status.code(), sessions(&home)), (Some(5), 0));
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    let recorded = sh(&home, &path, script);
    assert_eq!(recorded.status.code(), Some(5), "{}", stderr(&recorded));
    assert_eq!(stdout(&recorded), stdout(&plain));
    assert_eq!(stderr(&recorded), "");
    assert_eq!(home.metadata()["command"][0], "tool");
    assert_eq!(home.metadata()["command"].as_array().map(Vec::len), Some(7));
}

#[test]
fn every_argument_is_the_programs_own() {
    let (home, (_scratch, shims, path)) = (Home::new(), tool());
    // What Capsule would understand, in the first place: all of it belongs to the program.
    let lines =
        ["--version", "-V", "--help", "-h", "-- x", "-c", "-c run.quiet=false", "--config x", "-q -f", "-", "help"];
    let script: String = lines.iter().map(|line| format!("tool {line}; ")).collect();
    let plain = sh(&home, &path, &script);
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    let recorded = sh(&home, &path, &script);
    assert_eq!((stdout(&recorded), stderr(&recorded)), (stdout(&plain), String::new()));
    assert_eq!((recorded.status.code(), sessions(&home)), (plain.status.code(), lines.len()));
}

#[test]
fn strace_records_a_program_behind_a_shim() {
    if !installed("strace") {
        return skipped("strace_records_a_program_behind_a_shim", "strace is not installed");
    }
    let (home, (_scratch, shims, path)) = (Home::new(), tool());
    let plain = sh(&home, &path, "tool --odd '' 'a b'");
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    let recorded = sh(&home, &path, "CAPSULE_TRACER=strace tool --odd '' 'a b'");
    assert_eq!(recorded.status.code(), plain.status.code(), "{}", stderr(&recorded));
    assert_eq!((stdout(&recorded), stderr(&recorded)), (stdout(&plain), String::new()));
    assert_eq!(home.metadata()["tracer"]["backend"], "strace");
    assert_eq!(home.metadata()["status"]["state"], "complete", "{}", home.metadata()["status"]);
}

#[test]
fn a_shim_inside_a_recording_records_nothing_of_its_own() {
    let (home, (_scratch, shims, path)) = (Home::new(), tool());
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    for tracer in ["auto", "ptrace", "strace"] {
        if tracer == "strace" && !installed("strace") {
            skipped("a_shim_inside_a_recording_records_nothing_of_its_own", "strace is not installed");
            continue;
        }
        let before = sessions(&home);
        let output = sh(&home, &path, &format!("\"$CAPSULE\" run -q --tracer {tracer} sh -c 'tool one; exit 6'"));
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stdout(&output).contains("[one]input"), "{}", stdout(&output));
        assert_eq!(sessions(&home), before + 1, "{tracer}");
    }
}

#[test]
fn shims_are_listed_and_removed_and_nothing_else_is() {
    let (home, (scratch, shims, path)) = (Home::new(), tool());
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    let listed = stdout(&shim(&home, &path, &shims, &["list"]));
    let real = scratch.path().join("real");
    assert_eq!(listed, format!("tool  records {}/tool\n", real.display()));
    assert!(shim(&home, &path, &shims, &["remove", "tool"]).status.success());
    assert!(!shims.join("tool").exists());
    for words in [["remove", "tool"], ["install", "tool"]] {
        assert_eq!(shim(&home, &path, &real, &words).status.code(), Some(2), "{words:?} touches what is no shim");
    }
    assert_eq!(std::fs::read_to_string(real.join("tool")).expect("it is there"), TOOL);
    for name in ["", "../tool", "a b", "-x", "$(id)"] {
        assert_eq!(shim(&home, &path, &shims, &["install", "--", name]).status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_shim_without_its_program_says_not_found() {
    let (home, (scratch, shims, path)) = (Home::new(), tool());
    assert!(shim(&home, &path, &shims, &["install", "tool"]).status.success());
    std::fs::remove_file(scratch.path().join("real/tool")).expect("it is there");
    let output = sh(&home, &path, "tool");
    assert_eq!(output.status.code(), Some(127), "{}", stderr(&output));
    assert_eq!(sessions(&home), 0);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let pages = home.path().join("man");
    assert!(home.capsule(["man".as_ref(), "--dir".as_ref(), pages.as_os_str()]).status.success());
    let help = stdout(&home.capsule(["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        commands.filter(|line| line.starts_with("  ")).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.len() > 10, "{help}");
    for name in names.iter().filter(|name| name.chars().all(|c| c.is_ascii_lowercase()) && **name != "help") {
        if help.contains(&format!("\n  {name}  ")) {
            assert!(pages.join(format!("capsule-{name}.1")).is_file(), "{name}");
        }
    }
    let page = stdout(&home.capsule(["man"]));
    assert!(page.contains(".TH capsule 1"), "{page}");
}
