//! Findings are handed to the user's command, which can neither hold the recording up nor get into it.

use serde_json::Value;
use tests::{Home, stderr};

const KEY: &str = "/bin/cat /home/me/.ssh/id_ed25519; exit 3";

#[test]
fn each_finding_is_handed_over_and_the_command_is_no_part_of_the_tree() {
    let home = Home::new();
    let seen = home.path().join("seen");
    let command = format!("cat >>'{}'; echo $CAPSULE_SESSION >>'{0}.session'", seen.display());
    let output = home.capsule(["run", "-q", "--on-risk", "high", &command, "sh", "-c", KEY]);
    assert_eq!((output.status.code(), stderr(&output).contains("on-risk")), (Some(3), false), "{}", stderr(&output));
    let text = std::fs::read_to_string(&seen).expect("it was run");
    let handed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let severe = |risk: &Value| matches!(risk["severity"].as_str(), Some("high" | "critical"));
    let mut risks: Vec<Value> = home.stream("risks").into_iter().filter(severe).collect();
    risks.iter_mut().filter_map(Value::as_object_mut).for_each(|risk| drop(risk.remove("chain")));
    assert!(!risks.is_empty());
    assert_eq!(handed.iter().map(|it| it["finding"].clone()).collect::<Vec<_>>(), risks);
    let session = home.metadata()["id"].clone();
    assert!(handed.iter().all(|it| it["schema"] == "capsule.on-risk/1" && it["session"] == session), "{text}");
    let events = home.stream("events");
    assert!(!events.iter().any(|event| event.to_string().contains(".session")), "{events:?}");
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
}

/// The pipeline's thread is nicer than the rest of Capsule; what the user has run is not.
#[test]
fn the_command_is_as_nice_as_capsule() {
    let home = Home::new();
    let seen = home.path().join("nice");
    let output =
        home.capsule(["run", "-q", "--on-risk", "high", &format!("nice >'{}'", seen.display()), "sh", "-c", KEY]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let own = std::process::Command::new("nice").output().expect("nice runs");
    assert_eq!(std::fs::read(&seen).expect("it was run"), own.stdout);
}

#[test]
fn a_command_that_fails_is_reported_and_changes_nothing_else() {
    let home = Home::new();
    let output = home.capsule(["run", "-q", "--on-risk", "low", "echo oops >&2; exit 9", "sh", "-c", KEY]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("failed") && said.contains("exit status: 9: oops"), "{said}");
    assert_eq!(home.metadata()["status"]["state"], "complete");
}

#[test]
fn a_command_that_does_not_end_is_left_alone() {
    let home = Home::new();
    let output = home.capsule(["run", "-q", "--on-risk", "low", "exec sleep 20", "sh", "-c", KEY]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("still runs"), "{}", stderr(&output));
    assert_eq!(home.metadata()["status"]["state"], "complete");
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
}

#[test]
fn a_severity_that_is_none_is_said_before_anything_runs() {
    let home = Home::new();
    let output = home.capsule(["run", "--on-risk", "grave", "true", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("`grave` is no severity"), "{}", stderr(&output));
    assert!(!home.path().join("runs").exists());
}
