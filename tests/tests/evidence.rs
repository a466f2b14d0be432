//! What a session says of an attack or a fault, for the tests of both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tests::{Home, skipped};

pub(crate) fn run(home: &Home, script: &str) -> Output {
    home.capsule(["run", "--linger", "wait", "sh", "-c", script])
}

/// The directories of sessions; what was put aside is none.
pub(crate) fn sessions(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.join("runs")).map(|entries| entries.flatten().collect::<Vec<_>>());
    let mut found: Vec<PathBuf> = entries.unwrap_or_default().iter().map(fs::DirEntry::path).collect();
    found.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    found.sort();
    found
}

pub(crate) fn only(home: &Home) -> PathBuf {
    let found = sessions(home.path());
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

pub(crate) fn verify(home: &Home, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.capsule(["verify", "--json"].iter().chain(more));
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), verdict)
}

pub(crate) fn risks(session: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(session.join("risks.jsonl")).expect("risks can be read");
    let text_of = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record"))
        .map(|value| (text_of(&value, "severity"), text_of(&value, "rule")))
        .collect()
}

pub(crate) fn is_critical(session: &Path) -> bool {
    risks(session).contains(&("critical".to_owned(), "agent.recorder-touched".to_owned()))
}

pub(crate) fn disturbances(session: &Path) -> String {
    let metadata: Value =
        serde_json::from_slice(&fs::read(session.join("metadata.json")).expect("metadata")).expect("JSON");
    metadata["disturbances"].to_string()
}

/// A program in a file of its own: neither its arguments nor any inline code say what it does.
pub(crate) fn program(home: &Home, text: &str) -> String {
    let path = home.path().join("program.py");
    let find = "import glob,json,os,signal,sys,time\nsession=glob.glob(os.environ['CAPSULE_HOME']+'/runs/*')[0]\nrecorder=json.load(open(session+'/metadata.json'))['recorder']\n";
    fs::write(&path, format!("{find}{text}\n")).expect("written");
    path.display().to_string()
}

/// The tracers that record effects here.
pub(crate) fn with_effects(test: &str) -> Vec<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        skipped(test, "needs root, to see effects with every tracer");
        return Vec::new();
    }
    vec!["ptrace", "ebpf"]
}

pub(crate) fn run_with_effects(home: &Home, tracer: &str, script: &str) -> Output {
    home.capsule(["run", "--linger", "wait", "--tracer", tracer, "--effects", "writes", "python3", script])
}
