//! The command line itself: also what makes `cargo test` build the program that the end-to-end tests drive.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::process::Command;

#[test]
fn help_and_version_are_data() {
    for flag in ["--help", "--version"] {
        let output = Command::new(env!("CARGO_BIN_EXE_capsule")).arg(flag).output().expect("capsule starts");
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8_lossy(&output.stdout).contains("capsule"));
    }
}

#[test]
fn every_command_explains_itself() {
    for command in ["run", "report", "export", "list", "verify", "import", "doctor", "schema", "config", "completions"]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_capsule")).args([command, "--help"]).output().expect("capsule starts");
        assert!(output.status.success(), "{command}");
    }
}
