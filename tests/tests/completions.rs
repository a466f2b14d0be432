//! A shell completes what is there: sessions by their ids, settings by their names.

use tests::{Home, installed, skipped, stdout};

use crate::terminal::press;

/// What bash makes of a line with a TAB at its end, on a real terminal.
fn completed(home: &Home, typed: &str) -> String {
    let directory = tests::capsule_binary().parent().expect("a directory").display().to_string();
    let mut command = std::process::Command::new("bash");
    command.args(["--norc", "-i"]).env("CAPSULE_HOME", home.path()).env("PS1", "ready> ").env("TERM", "dumb");
    command.env("INPUTRC", "/dev/null").env("HISTFILE", "").env("CAPSULE_CONFIG", home.path().join("config.toml"));
    command.env("PATH", format!("{directory}:{}", std::env::var("PATH").unwrap_or_default()));
    let mut bash = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
    bash.exp_string("ready> ").expect("a prompt");
    bash.send_line(
        "stty cols 200; bind 'set enable-bracketed-paste off'; source <(capsule completions bash); echo so''urced",
    )
    .expect("it reads");
    bash.exp_string("sourced").expect("it is sourced");
    bash.exp_string("ready> ").expect("a prompt");
    // The line is not run: its words are shown.
    bash.send(&format!("{typed}\t")).expect("it reads");
    press(&mut bash, "\u{1}echo '\u{5}' | sed 's/^/\\x3c\\x3c/;s/$/\\x3e\\x3e/'\r");
    bash.exp_string("<<").expect("the line");
    let line = bash.exp_string(">>").expect("its end").trim().to_owned();
    // An interactive shell does not follow a polite signal.
    bash.send_line("exit").expect("it reads");
    bash.exp_eof().expect("it ends");
    line
}

#[test]
fn bash_completes_session_ids_through_their_colons() {
    if !installed("bash") {
        return skipped("bash_completes_session_ids_through_their_colons", "bash is not installed");
    }
    let home = Home::new();
    home.capsule(["run", "-q", "true"]);
    let id = home.metadata()["id"].as_str().expect("an id").to_owned();
    for length in [4, 14, 18, 23] {
        let typed: String = id.chars().take(length).collect();
        assert_eq!(completed(&home, &format!("capsule verify {typed}")), format!("capsule verify {id}"), "{typed}");
    }
    assert_eq!(completed(&home, "capsule report --format html la"), "capsule report --format html latest");
    assert_eq!(completed(&home, "capsule config get run.tr"), "capsule config get run.tracer");
    assert_eq!(completed(&home, "capsule prune --keep 1d --dry"), "capsule prune --keep 1d --dry-run");
}

#[test]
fn bash_completes_the_command_of_run_as_if_it_stood_alone() {
    if !installed("bash") {
        return skipped("bash_completes_the_command_of_run_as_if_it_stood_alone", "bash is not installed");
    }
    let home = Home::new();
    std::fs::write(home.path().join("only one"), "").expect("a file");
    let directory = home.path().display();
    // The directory of the program is on PATH.
    for before in ["", "-q ", "--tracer ptrace ", "--tracer=ptrace -C / ", "--on-risk high true -- "] {
        let typed = format!("capsule run {before}capsul");
        assert_eq!(completed(&home, &typed), format!("{typed}e"));
        let typed = format!("capsule run {before}cat --tracer {directory}/onl");
        assert_eq!(completed(&home, &typed), format!("{typed}y\\ one"));
    }
    assert_eq!(completed(&home, "capsule run --trac"), "capsule run --tracer");
    assert_eq!(completed(&home, "capsule run --tracer pt"), "capsule run --tracer ptrace");
}

#[test]
fn every_shell_has_its_function() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = home.capsule(["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("CAPSULE_COMPLETE"), "{shell}");
    }
}
