//! The user's settings hold where nothing stronger does, and nobody else's settings hold at all.

use std::os::unix::fs::PermissionsExt as _;

use tests::{Home, installed, stderr, stdout};

fn write(home: &Home, text: &str) {
    std::fs::write(home.path().join("config.toml"), text).expect("it can be written");
}

/// The backend that records with these words before `run`, and with this variable.
fn backend(text: &str, variable: Option<&str>, global: &[&str], options: &[&str]) -> String {
    let home = Home::new();
    write(&home, text);
    let words = global.iter().chain(&["run", "-q"]).chain(options).chain(&["true"]);
    let mut command = home.command(words);
    if let Some(variable) = variable {
        command.env("CAPSULE_TRACER", variable);
    }
    let output = command.output().expect("capsule starts");
    assert!(output.status.success(), "{}", stderr(&output));
    home.metadata()["tracer"]["backend"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_is_typed_beats_the_environment_and_that_the_file() {
    if !installed("strace") {
        return tests::skipped("what_is_typed_beats_the_environment_and_that_the_file", "strace is not installed");
    }
    let strace = "[run]\ntracer = \"strace\"\n";
    assert_eq!(backend(strace, None, &[], &[]), "strace");
    assert_eq!(backend(strace, Some("ptrace"), &[], &[]), "ptrace");
    assert_eq!(backend(strace, Some("ptrace"), &["-c", "run.tracer=strace"], &[]), "strace");
    assert_eq!(backend(strace, Some("strace"), &["-c", "run.tracer=strace"], &["--tracer", "ptrace"]), "ptrace");
}

#[test]
fn a_flag_of_the_file_can_be_turned_off_for_once() {
    let home = Home::new();
    write(&home, "[run]\nquiet = true\n");
    assert_eq!(stderr(&home.capsule(["run", "true"])), "");
    assert!(stderr(&home.capsule(["-c", "run.quiet=false", "run", "true"])).contains("1 process"));
}

#[test]
fn a_wrong_file_is_said_before_anything_runs_and_can_be_mended() {
    let home = Home::new();
    write(&home, "[run]\ntracer = \"ptrace\"\n\nefects = \"off\"\n");
    let marker = home.path().join("ran");
    let output = home.capsule(["run", "touch", &marker.display().to_string()]);
    assert_eq!(output.status.code(), Some(125));
    let said = stderr(&output);
    assert!(said.contains("config.toml`, line 4: there is no setting `run.efects`"), "{said}");
    assert!(said.contains("did you mean `run.effects`?"), "{said}");
    assert!(!marker.exists() && !home.path().join("runs").exists());
    assert!(home.capsule(["config", "path"]).status.success());
    let mut edit = home.command(["config", "edit"]);
    let edited = edit.env("VISUAL", "sed -i s/efects/effects/").output().expect("capsule starts");
    assert!(edited.status.success(), "{}", stderr(&edited));
    assert_eq!(stdout(&home.capsule(["config", "get", "run.effects"])), "off\n");
    assert!(home.capsule(["run", "true"]).status.success());
}

#[test]
fn settings_are_set_listed_and_unset() {
    let home = Home::new();
    assert_eq!(home.capsule(["config", "get", "prune.keep"]).status.code(), Some(1));
    assert_eq!(home.capsule(["config", "set", "prune.keep", "ages"]).status.code(), Some(2));
    assert!(home.capsule(["config", "set", "prune.keep", "30d"]).status.success());
    assert!(home.capsule(["config", "set", "report.color", "never"]).status.success());
    let list = stdout(&home.capsule(["config", "list"]));
    assert!(list.contains("prune.keep           30d          /") && list.contains("config.toml:2"), "{list}");
    assert!(list.contains("run.linger           auto         default"), "{list}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&home.capsule(["config", "list", "--json"]))).expect("JSON");
    assert_eq!(json["schema"], "capsule.config/1");
    // Without it, prune does not know what may go.
    assert!(home.capsule(["prune", "--dry-run"]).status.success());
    assert!(home.capsule(["config", "unset", "prune.keep"]).status.success());
    assert_eq!(home.capsule(["prune", "--dry-run"]).status.code(), Some(2));
}

#[test]
fn a_project_cannot_change_how_it_is_recorded() {
    let home = Home::new();
    let project = home.path().join("project");
    for name in ["config.toml", "capsule.toml", ".capsule.toml", ".capsule/config.toml", ".config/capsule/config.toml"]
    {
        let path = project.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        std::fs::write(path, "[run]\nquiet = true\n").expect("it can be written");
    }
    let output = home.command(["run", "true"]).current_dir(&project).output().expect("capsule starts");
    assert!(stderr(&output).contains("1 process"), "{}", stderr(&output));
    write(&home, "[run]\nquiet = true\n");
    let file = home.path().join("config.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("it is ours");
    let output = home.capsule(["run", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("may be written by others"), "{}", stderr(&output));
}
