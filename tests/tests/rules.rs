//! Whose rules hold: a user's do, a project's only as the user saw them, and a report says what they did to a finding.

use std::path::Path;
use std::process::Output;

use tests::{Home, stderr, stdout};

const SILENCE: &str = "[[change]]\nrule = 'credential.dotenv'\nseverity = 'off'\nbecause = 'only samples'\n";

/// Runs Capsule in a directory, with the user's own files in the home.
fn capsule(home: &Home, directory: &Path, args: &[&str]) -> Output {
    let mut command = home.command(args);
    command.current_dir(directory).env("XDG_CONFIG_HOME", home.path().join("config"));
    command.output().expect("capsule starts")
}

fn project(rules: &str) -> tempfile::TempDir {
    let project = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(project.path().join(".capsule/rules.d")).expect("made");
    std::fs::create_dir_all(project.path().join("src")).expect("made");
    write(project.path(), rules);
    project
}

fn write(project: &Path, rules: &str) {
    std::fs::write(project.join(".capsule/rules.d/own.toml"), rules).expect("written");
}

#[test]
fn a_projects_rules_hold_only_as_they_were_trusted() {
    let home = Home::new();
    let project = project(SILENCE);
    let inside = project.path().join("src");
    let judge = || capsule(&home, &inside, &["rules", "try", "cat", ".env"]);

    let output = judge();
    assert!(stdout(&output).contains("medium    credential-access"), "{}", stdout(&output));
    assert!(stderr(&output).contains("nobody trusts them"), "{}", stderr(&output));

    let trusted = capsule(&home, project.path(), &["rules", "trust"]);
    assert!(trusted.status.success(), "{}", stderr(&trusted));
    assert!(stderr(&trusted).contains("credential.dotenv: silenced"), "{}", stderr(&trusted));
    let output = judge();
    assert!(stdout(&output).contains("silenced  credential-access"), "{}", stdout(&output));
    assert!(stdout(&output).contains("a rule of the project (own.toml): only samples"), "{}", stdout(&output));
    assert_eq!(stderr(&output), "");

    write(project.path(), &SILENCE.replace("credential.dotenv", "category:credential-access"));
    let output = judge();
    assert!(stdout(&output).contains("medium    credential-access"), "{}", stdout(&output));
    assert!(stderr(&output).contains("changed since they were trusted"), "{}", stderr(&output));

    write(project.path(), SILENCE);
    assert_eq!(stderr(&judge()), "", "the same bytes are trusted again");
    std::fs::write(project.path().join(".capsule/rules.d/more.toml"), "").expect("written");
    assert!(stderr(&judge()).contains("changed since"), "another file is a change");
    assert!(capsule(&home, project.path(), &["rules", "distrust"]).status.success());
    assert!(stderr(&judge()).contains("nobody trusts them"));
    assert_eq!(capsule(&home, project.path(), &["rules", "distrust"]).status.code(), Some(1));
}

#[test]
fn rules_with_a_mistake_are_not_trusted() {
    let home = Home::new();
    let project = project("\n[[change]]\nrule = 'credential.dotenvs'\nseverity = 'off'\n");
    let output = capsule(&home, project.path(), &["rules", "trust"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("own.toml`:3:") && said.contains("did you mean `credential.dotenv`"), "{said}");
    assert!(stderr(&capsule(&home, project.path(), &["rules", "try", "ls"])).contains("nobody trusts them"));
}

#[test]
fn a_report_says_what_a_rule_silenced_and_lowered() {
    let home = Home::new();
    let own = home.path().join("config/capsule/rules.d");
    std::fs::create_dir_all(&own).expect("made");
    let lower = "[[change]]\nrule = 'credential.private-key'\nseverity = 'low'\n";
    std::fs::write(own.join("mine.toml"), SILENCE).expect("written");
    std::fs::write(own.join("more.toml"), lower).expect("written");
    let work = tempfile::tempdir().expect("a directory");
    std::fs::write(work.path().join(".env"), "A=b\n").expect("written");
    std::fs::create_dir(work.path().join(".ssh")).expect("made");
    std::fs::write(work.path().join(".ssh/id_rsa"), "none\n").expect("written");
    let script = "cat .env; cat .env; cat .ssh/id_rsa; true";
    let output = capsule(&home, work.path(), &["run", "--tracer", "ptrace", "sh", "-c", script]);
    assert!(output.status.success(), "{}", stderr(&output));
    let risks = home.stream("risks");
    let silenced: Vec<_> = risks.iter().filter(|risk| risk["rule"] == "credential.dotenv").collect();
    assert_eq!(silenced.len(), 1, "said once: {risks:?}");
    assert_eq!(silenced[0]["severity"], "info");
    let report = stdout(&capsule(&home, work.path(), &["report", "--width", "200"]));
    assert!(report.contains("silenced, was medium, by a rule of the user (mine.toml): only samples"), "{report}");
    assert!(report.contains("It was lowered from high to low by a rule of the user (more.toml)"), "{report}");
    // One that is not there: both are said.
    let output = capsule(&home, work.path(), &["run", "--tracer", "ptrace", "cat", ".ssh/id_ed25519"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let json = stdout(&capsule(&home, work.path(), &["report", "--format", "json"]));
    let both = "lowered from high to low by a rule of the user (more.toml): no reason given; \
                then lowered from low to info: it did not succeed (exit code 1)";
    assert!(json.contains(both), "{json}");
}

#[test]
fn tests_of_rules_end_with_whether_they_came_out() {
    let home = Home::new();
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(
        directory.path().join("good.toml"),
        "[[test]]\ncommand = 'cat .env'\nfindings = ['credential.dotenv']\n",
    )
    .expect("written");
    std::fs::write(
        directory.path().join("bad.toml"),
        "\n[[test]]\nname = 'none here'\ncommand = 'cat .env'\nat-most = 'low'\n",
    )
    .expect("written");
    let good = capsule(&home, directory.path(), &["rules", "test", "good.toml"]);
    assert_eq!((good.status.code(), stderr(&good).trim()), (Some(0), "capsule: 1 of 1 tests as expected"));
    let bad = capsule(&home, directory.path(), &["rules", "test", "good.toml", "bad.toml"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        stdout(&bad).starts_with("bad.toml:2: none here\n  severity low at most expected, medium came"),
        "{}",
        stdout(&bad)
    );
}

#[test]
fn sigma_rules_find_what_a_session_does() {
    let home = Home::new();
    let directory = tempfile::tempdir().expect("a directory");
    let rule = "title: Clock Read\nid: 00000000-0000-4000-8000-00000000000a\ntags: [attack.discovery, attack.t1124]\n\
        logsource: { category: process_creation, product: linux }\ndetection:\n    selection:\n        Image|endswith: '/date'\n        \
        ParentImage|endswith: 'sh'\n    condition: selection\nlevel: high\n";
    std::fs::write(directory.path().join("clock.yml"), rule).expect("written");
    std::fs::write(directory.path().join("odd.yml"), rule.replace("Image|", "Hashes|").replace("000a", "000b"))
        .expect("written");
    let sigma = directory.path().display().to_string();
    let output = capsule(&home, directory.path(), &["run", "--sigma", &sigma, "sh", "-c", "date; true"]);
    assert!(output.status.success() && stderr(&output).contains("1 Sigma rules from"), "{}", stderr(&output));
    let risks = home.stream("risks");
    let found = risks.iter().find(|risk| risk["rule"] == "sigma:00000000-0000-4000-8000-00000000000a");
    let found = found.unwrap_or_else(|| panic!("{risks:?}"));
    assert_eq!((&found["severity"], &found["title"]), (&"high".into(), &"Clock Read".into()));
    assert_eq!(found["attack"][0], "T1124");
    let check = capsule(&home, directory.path(), &["rules", "check", "--sigma", &sigma]);
    assert_eq!(check.status.code(), Some(1));
    assert!(stderr(&check).contains("odd.yml`:7: \"Clock Read\" asks for the field Hashes"), "{}", stderr(&check));
}
