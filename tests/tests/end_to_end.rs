//! The main job: record a real command, read it back in every form, verify it.

use serde_json::Value;
use tests::{Home, installed, skipped, stderr, stdout};

fn recorded() -> Home {
    let home = Home::new();
    let script =
        "echo start; /bin/ls / >/dev/null; /bin/cat /etc/hostname /etc/passwd | /usr/bin/head -1; /bin/false; exit 3";
    let output = home.capsule(["run", "--tracer", "ptrace", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    home
}

#[test]
fn a_session_has_every_file_and_private_rights() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = recorded();
    let session = home.session();
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&session), 0o700);
    for name in
        ["metadata.json", "raw.jsonl", "events.jsonl", "enriched.jsonl", "risks.jsonl", "actions.jsonl", "tree.json"]
    {
        assert_eq!(mode(&session.join(name)), 0o600, "{name}");
    }
    let metadata = home.metadata();
    assert_eq!(metadata["status"]["state"], "complete");
    assert_eq!(metadata["exit_code"], 3);
    assert_eq!(metadata["processes"], 5);
    assert!(metadata["tracer"]["because"].as_str().is_some_and(|why| !why.is_empty()));
}

#[test]
fn records_have_the_documented_fields() {
    let home = recorded();
    let events = home.stream("events");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], index as u64 + 1);
        for field in ["timestamp", "pid", "ppid", "event_type", "command_line", "working_dir", "exit_code", "chain"] {
            assert!(event.get(field).is_some(), "{field} is missing in {event}");
        }
        assert!(event["timestamp"].as_u64().is_some_and(|ns| ns > 1_700_000_000_000_000_000));
    }
    let enriched = home.stream("enriched");
    assert_eq!(enriched.len(), events.len());
    let exec = enriched.iter().find(|e| e["event_type"] == "exec").expect("an exec");
    let context = &exec["context"];
    for fact in ["exe", "cwd", "ids", "user", "sid", "pgid", "env", "origin"] {
        assert!(!context[fact].is_null(), "{fact} is missing in {context}");
    }
    assert_eq!(context["origin"]["all"], "stopped");
    assert_eq!(exec["working_dir"], std::env::current_dir().expect("a directory").to_string_lossy().as_ref());
}

#[test]
fn every_report_tells_the_same_story() {
    let home = recorded();
    let human = home.capsule(["report", "--all", "--width", "160"]);
    assert!(human.status.success(), "{}", stderr(&human));
    for part in
        ["Process Tree", "Workflow Summary", "Risk Assessment", "cat /etc/hostname /etc/passwd", "head -1", "✓", "✗"]
    {
        assert!(stdout(&human).contains(part), "{part} is missing in\n{}", stdout(&human));
    }
    assert!(!stdout(&human).contains('\u{1b}'), "no colour where there is no terminal");
    let json = home.capsule(["report", "--format", "json"]);
    let model: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(model["schema"].is_string(), "{model}");
    let ai = home.capsule(["export", "--ai-ready"]);
    let synthesis: Value = serde_json::from_slice(&ai.stdout).expect("JSON");
    for part in [
        "session",
        "agent_process",
        "workflows",
        "process_interactions",
        "behavioral_patterns",
        "risk_indicators",
        "narrative_summary",
    ] {
        assert!(
            synthesis.get(part).is_some() || synthesis.get(part.replace("behavioral", "behavioural")).is_some(),
            "{part} is missing"
        );
    }
    let budget = home.capsule(["export", "--ai-ready", "--max-tokens", "1000"]);
    assert!(serde_json::from_slice::<Value>(&budget.stdout).is_ok());
    assert!(budget.stdout.len() <= ai.stdout.len());
}

#[test]
fn sessions_are_found_by_id_prefix_and_latest() {
    let home = recorded();
    let id = home.metadata()["id"].as_str().expect("an id").to_owned();
    let prefix: String = id.chars().take(id.len() - 2).collect();
    for name in [id.as_str(), prefix.as_str(), "latest", "@{-0}"] {
        let report = home.capsule(["report", name]);
        if name.starts_with('@') && !report.status.success() {
            continue;
        }
        assert!(stdout(&report).contains(&id), "{name}: {}", stderr(&report));
    }
    let wrong = home.capsule(["report", "1999"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("1999") && stderr(&wrong).contains("hint"), "{}", stderr(&wrong));
    let list = home.capsule(["list", "--json"]);
    let rows: Value = serde_json::from_slice(&list.stdout).expect("JSON");
    assert!(rows.to_string().contains(&id));
    assert!(stdout(&home.capsule(["list"])).contains(&id));
}

#[test]
fn secrets_are_replaced_before_anything_is_written() {
    let home = Home::new();
    let secret = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let mut command = home.command([
        "run",
        "sh",
        "-c",
        "/bin/echo \"$1\" >/dev/null; PGPASSWORD=hunter2secret /bin/true",
        "sh",
        &secret,
    ]);
    let output = command.env("MY_API_TOKEN", &secret).output().expect("capsule starts");
    assert!(output.status.success(), "{}", stderr(&output));
    for entry in std::fs::read_dir(home.session()).expect("a session") {
        let path = entry.expect("a file").path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read")).into_owned();
        assert!(!text.contains(&secret), "{} holds the secret", path.display());
        assert!(!text.contains("hunter2secret"), "{} holds the password", path.display());
    }
    assert!(home.stream("events").iter().any(|e| e.to_string().contains("[redacted:")));
}

#[test]
fn an_strace_log_can_be_imported() {
    if !installed("strace") {
        skipped("an_strace_log_can_be_imported", "strace is not installed");
        return;
    }
    let (home, work) = (Home::new(), tempfile::tempdir().expect("a directory"));
    let log = work.path().join("log");
    for options in [&["-f"][..], &["-f", "-ttt"], &["-f", "-tt"], &["-f", "-ttt", "-s", "4096", "-e", "trace=process"]]
    {
        let home = Home::new();
        let status = std::process::Command::new("strace")
            .args(options)
            .arg("-o")
            .arg(&log)
            .args(["sh", "-c", "/bin/echo one >/dev/null; (exit 4); /bin/true"])
            .status()
            .expect("strace runs");
        assert!(status.success());
        let output = home.capsule(["import".as_ref(), "--from".as_ref(), "strace".as_ref(), log.as_os_str()]);
        assert!(output.status.success(), "{options:?}: {}", stderr(&output));
        assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
        let report = home.capsule(["report", "--all"]);
        assert!(stdout(&report).contains("echo one"), "{options:?}: {}", stdout(&report));
        assert_eq!(home.metadata()["processes"], 4, "{options:?}");
    }
    let missing = home.capsule(["import", "--from", "strace", "/no/such/file"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("/no/such/file"));
}

#[test]
fn a_session_directory_is_imported_and_another_directory_is_an_error() {
    let home = recorded();
    let imported = Home::new();
    let session = home.session();
    let output = imported.capsule(["import", "--from", "capsule", &session.to_string_lossy()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(imported.metadata()["processes"], home.metadata()["processes"]);
    for from in ["capsule", "strace"] {
        let output = Home::new().capsule(["import", "--from", from, &home.path().to_string_lossy()]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("could not open"), "{}", stderr(&output));
    }
}

#[test]
fn schemas_and_completions_are_printed() {
    let home = Home::new();
    let names = stdout(&home.capsule(["schema"]));
    assert!(names.contains("report"), "{names}");
    for name in names.split_whitespace() {
        let schema = home.capsule(["schema", name]);
        let value: Value = serde_json::from_slice(&schema.stdout).expect("a schema is JSON");
        assert!(value.get("$schema").is_some(), "{name}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&home.capsule(["completions", shell])).contains("capsule"));
    }
}

#[test]
fn wrong_words_give_usage_errors() {
    let home = Home::new();
    for words in [
        &["frobnicate"][..],
        &["run"],
        &["run", "--tracer", "nope", "true"],
        &["run", "--no-such-option", "true"],
        &["report", "--format", "nope"],
        &["export"],
    ] {
        let output = home.capsule(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!stderr(&output).is_empty() && output.stdout.is_empty(), "{words:?}");
    }
}
