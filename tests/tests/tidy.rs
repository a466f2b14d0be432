//! Rules about the source itself, as tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const CRATES: [&str; 7] = [
    "capsule-classify",
    "capsule-enrich",
    "capsule-io",
    "capsule-parse",
    "capsule-report",
    "capsule-trace",
    "capsule-track",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target" && name != ".git") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 50, "the sources are found");
    found
}

#[test]
fn stage_crates_depend_on_core_only() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let inside: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|dependency| dependency.starts_with("capsule-") || *dependency == "cli")
            .collect();
        seen.insert(name.to_owned());
        match name {
            "capsule-core" => assert!(inside.is_empty(), "core depends on {inside:?}"),
            "cli" | "tests" => {}
            stage => assert!(inside.iter().all(|on| *on == "capsule-core"), "{stage} depends on {inside:?}"),
        }
    }
    assert!(CRATES.iter().all(|name| seen.contains(*name)), "{seen:?}");
}

#[test]
fn core_knows_no_runtime_and_no_command_line() {
    let manifest = std::fs::read_to_string(root().join("capsule-core/Cargo.toml")).expect("it is there");
    for banned in ["tokio", "clap", "nix", "anyhow"] {
        assert!(!manifest.contains(banned), "capsule-core depends on {banned}");
    }
    for name in CRATES {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).expect("it is there");
        assert!(!manifest.contains("anyhow"), "{name} depends on anyhow");
    }
}

#[test]
fn every_member_inherits_the_lints() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let path = package["manifest_path"].as_str().expect("a path");
        let manifest: toml::Table = std::fs::read_to_string(path).expect("it is there").parse().expect("TOML");
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{path}");
        assert_eq!(manifest["package"]["edition"]["workspace"].as_bool(), Some(true), "{path}");
    }
}

#[test]
fn files_are_small_and_say_why_they_exist() {
    for (path, text) in sources() {
        let lines = text.lines().take_while(|line| !line.starts_with("mod tests {")).count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
        let head: String = text.lines().take(5).collect::<Vec<_>>().join("\n");
        let exempt = path.components().any(|part| part.as_os_str() == "fuzz") || path.ends_with("tests.rs");
        assert!(exempt || head.contains("//!"), "{} does not say why it exists", path.display());
    }
}

#[test]
fn file_names_say_something() {
    for (path, _) in sources() {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(
            !["mod", "utils", "util", "common", "helpers", "imp", "inner", "misc"].contains(&name),
            "{}",
            path.display()
        );
    }
}

#[test]
fn unsafe_code_has_an_address() {
    for (path, text) in sources() {
        let name = path.to_string_lossy();
        let allowed = name.ends_with("/sys.rs") || name.ends_with("ebpf/wire.rs") || name.contains("/tests/");
        let word = ["unsafe", " {"].concat();
        assert!(allowed || !text.contains(&word), "{name} has unsafe code");
    }
}

#[test]
fn one_file_a_crate_names_an_operating_system() {
    let allowed = ["capsule-trace/src/lib.rs", "capsule-enrich/src/source.rs", "cli/src/platform.rs"];
    let naming: Vec<PathBuf> = sources()
        .into_iter()
        .filter(|(_, text)| text.contains(&["target", "_os"].concat()))
        .map(|(path, _)| path)
        .collect();
    for path in &naming {
        assert!(allowed.iter().any(|file| path.ends_with(file)), "{} names an operating system", path.display());
    }
    assert_eq!(naming.len(), allowed.len(), "a file of the list no longer does: {naming:?}");
}

#[test]
fn the_tests_in_the_readme_are_the_tests_in_ci() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let ci = std::fs::read_to_string(root().join(".ci/run")).expect("it is there");
    let command = "cargo test --workspace --locked";
    assert!(readme.contains(command) && ci.contains(command));
}

#[test]
fn invariants_name_tests_that_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it is there");
    assert!(text.lines().count() < 200);
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("test:")).collect();
    assert!(named.len() >= 8, "the invariants name their tests: {named:?}");
    for name in named {
        assert!(all.contains(&format!("fn {name}(")), "ARCHITECTURE.md names a test `{name}` that is not there");
    }
}
