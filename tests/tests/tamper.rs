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
