//! Each kind of tampering gets its own verdict, through the program.

use std::path::PathBuf;

use serde_json::Value;
use tests::{Home, stderr};

fn recorded() -> (Home, PathBuf) {
    let home = Home::new();
    let output = home.capsule(["run", "-q", "sh", "-c", "/bin/true; /bin/echo one; /bin/echo two"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let events = home.session().join("events.jsonl");
    (home, events)
}

/// Edits the lines of a stream and returns the verdict, as exit code and JSON.
fn after(edit: impl FnOnce(&mut Vec<String>)) -> (Option<i32>, String) {
    let (home, path) = recorded();
    let text = std::fs::read_to_string(&path).expect("it can be read");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(lines.len() > 6, "{text}");
    edit(&mut lines);
    std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("it can be written");
    judge(&home)
}

fn judge(home: &Home) -> (Option<i32>, String) {
    let output = home.capsule(["verify", "--json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("a JSON verdict");
    (output.status.code(), verdict.to_string())
}

#[test]
fn an_untouched_session_is_whole() {
    let (home, _) = recorded();
    assert_eq!(judge(&home).0, Some(0));
}

#[test]
fn an_altered_record_is_named() {
    let (code, verdict) = after(|lines| lines[3] = lines[3].replace("\"pid\":", "\"pid\": "));
    assert_eq!(code, Some(3));
    assert!(verdict.contains("altered") && verdict.contains(":4"), "{verdict}");
}

#[test]
fn a_removed_record_is_named() {
    let (code, verdict) = after(|lines| drop(lines.remove(3)));
    assert_eq!(code, Some(3));
    assert!(verdict.contains("removed"), "{verdict}");
}

#[test]
fn an_inserted_record_is_named() {
    let (code, verdict) = after(|lines| lines.insert(3, lines[2].clone()));
    assert_eq!(code, Some(3));
    assert!(verdict.contains("inserted") || verdict.contains("duplicated"), "{verdict}");
}

#[test]
fn swapped_records_are_named() {
    let (code, verdict) = after(|lines| lines.swap(2, 4));
    assert_eq!(code, Some(3));
    assert!(verdict.contains("reordered"), "{verdict}");
}

#[test]
fn a_cut_tail_is_tampering_once_sealed() {
    let (code, verdict) = after(|lines| drop(lines.pop()));
    assert_eq!(code, Some(3));
    assert!(verdict.contains("truncated"), "{verdict}");
}

#[test]
fn an_edited_metadata_file_is_named() {
    let (home, _) = recorded();
    let path = home.session().join("metadata.json");
    let text = std::fs::read_to_string(&path).expect("it can be read");
    std::fs::write(&path, text.replace("\"exit_code\":0", "\"exit_code\":1")).expect("it can be written");
    let (code, verdict) = judge(&home);
    assert_eq!(code, Some(3), "{verdict}");
    assert!(verdict.contains("metadata"), "{verdict}");
}

#[test]
fn an_edited_tree_is_named() {
    let (home, _) = recorded();
    let path = home.session().join("tree.json");
    let text = std::fs::read_to_string(&path).expect("it can be read");
    std::fs::write(&path, text.replace("two", "2wo")).expect("it can be written");
    let (code, verdict) = judge(&home);
    assert_eq!(code, Some(3), "{verdict}");
    assert!(verdict.contains("tree"), "{verdict}");
}

#[test]
fn a_session_that_is_not_there_cannot_be_checked() {
    let home = Home::new();
    let output = home.capsule(["verify", "nothing"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing"));
}

#[test]
fn records_of_another_session_of_the_same_store_are_named_as_its() {
    let home = Home::new();
    let run = || assert!(home.capsule(["run", "-q", "sh", "-c", "/bin/true; /bin/echo one"]).status.success());
    let sessions = || {
        let entries = std::fs::read_dir(home.path().join("runs")).expect("sessions");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a session").path()).collect();
        paths.sort_by_key(|path| std::fs::metadata(path.join("raw.jsonl")).and_then(|raw| raw.modified()).ok());
        paths
    };
    run();
    run();
    let [first, second] = sessions().try_into().expect("two sessions");
    let name = first.file_name().expect("a name").to_string_lossy().into_owned();
    // A whole stream, and the second half of one.
    let read = |path: &PathBuf| std::fs::read_to_string(path.join("events.jsonl")).expect("it can be read");
    let (theirs, ours) = (read(&first), read(&second));
    let half: String = ours.lines().take(3).chain(theirs.lines().skip(3)).map(|line| format!("{line}\n")).collect();
    for (text, record) in [(theirs, 1), (half, 4)] {
        std::fs::write(second.join("events.jsonl"), text).expect("it can be written");
        let output = home.capsule(["verify", "latest", "--json"]);
        let verdict: Value = serde_json::from_slice(&output.stdout).expect("a JSON verdict");
        let problem = &verdict["problems"][0];
        assert_eq!(output.status.code(), Some(3), "{verdict}");
        assert_eq!((&problem["damage"], &problem["record"]), (&"spliced".into(), &record.into()), "{verdict}");
        assert!(problem["from"].as_str().is_some_and(|from| from.contains(&name)), "{verdict}");
    }
}
