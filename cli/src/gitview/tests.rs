//! Compared with what git itself says, where it is installed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use capsule_core::{ByteString, GitDiff, GitWhy, Timestamp};

use super::Question;
use super::compare::compare;
use crate::recording::now;

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "gc.auto=0"];
    let output = Command::new("git").args(settings).args(args).current_dir(dir).output().ok()?;
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

/// A repository with a commit, packed where `packed` is set. `None` where git is not installed.
fn prepared(packed: bool) -> Option<(tempfile::TempDir, String)> {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path();
    git(dir, &["init", "-q", "."])?;
    for name in ["kept", "written", "gone", "mode", "touched", "renamed"] {
        fs::write(dir.join(name), format!("{name}\nsecond\nthird\n")).unwrap();
    }
    fs::create_dir(dir.join("below")).unwrap();
    fs::write(dir.join("below/deep"), "deep\n").unwrap();
    fs::write(dir.join("binary"), b"a\0b").unwrap();
    fs::write(dir.join(".gitignore"), "*.log\n/out/\n").unwrap();
    fs::write(dir.join("below/.gitignore"), "!kept.log\n").unwrap();
    git(dir, &["add", "."])?;
    git(dir, &["commit", "-q", "-m", "first"])?;
    if packed {
        git(dir, &["gc", "-q"])?;
    }
    let commit = git(dir, &["rev-parse", "HEAD"])?;
    Some((work, commit))
}

fn asked(dir: &Path, from: &str, started: Timestamp, changed: &[&str]) -> GitDiff {
    let root = dir.canonicalize().unwrap();
    let bytes = |path: &Path| crate::undo::bytes_of(path);
    let changed = changed.iter().map(|name| bytes(&root.join(name))).collect();
    let to = capsule_enrich::git_state(dir).and_then(|state| state.commit);
    compare(&Question { directory: bytes(&root), from: from.to_owned(), to, started, changed }).unwrap()
}

/// `git diff --numstat` in its own form.
fn numstat(diff: &GitDiff) -> String {
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let line =
        |file: &capsule_core::GitChange| format!("{}\t{}\t{}", count(file.added), count(file.removed), file.path);
    diff.files.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_says_what_git_says() {
    for packed in [false, true] {
        let Some((work, commit)) = prepared(packed) else { return };
        let (dir, started) = (work.path(), now());
        fs::write(dir.join("written"), "written\nother\nthird\nfourth\n").unwrap();
        fs::write(dir.join("touched"), "touched\nsecond\nthird\n").unwrap();
        fs::remove_file(dir.join("gone")).unwrap();
        fs::rename(dir.join("renamed"), dir.join("new-name")).unwrap();
        let mut rights = fs::metadata(dir.join("mode")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
        fs::set_permissions(dir.join("mode"), rights).unwrap();
        fs::write(dir.join("binary"), b"a\0c").unwrap();
        fs::write(dir.join("below/deep"), "deep\r\n").unwrap();
        fs::write(dir.join("below/committed"), "one\ntwo\n").unwrap();
        git(dir, &["add", "below/committed"]);
        git(dir, &["commit", "-q", "-m", "second", "below/committed"]);
        let diff = asked(dir, &commit, started, &[]);
        let args = ["-c", "core.autocrlf=input", "diff", "--no-renames", "--numstat", &*commit];
        assert_eq!(numstat(&diff), git(dir, &args).unwrap());
        let committed: Vec<_> = diff.files.iter().filter(|file| file.committed).map(|file| &file.path).collect();
        assert_eq!(committed, [&ByteString::from("below/committed")]);
        let written = diff.files.iter().find(|file| file.path.as_bytes() == b"written").unwrap();
        let hash = |content: &str| Some(blake3::hash(content.as_bytes()).to_hex().to_string());
        assert_eq!(written.before, hash("written\nsecond\nthird\n"));
        assert_eq!(written.after, hash("written\nother\nthird\nfourth\n"));
        assert_eq!(diff.incomplete, None);
    }
}

#[test]
fn why_git_does_not_show_a_file_is_said() {
    let Some((work, commit)) = prepared(false) else { return };
    let (dir, started) = (work.path(), now());
    for below in ["out", "nested/.git"] {
        fs::create_dir_all(dir.join(below)).unwrap();
    }
    for name in ["x.log", "below/x.log", "below/kept.log", "out/y", "nested/z", "plain"] {
        fs::write(dir.join(name), "x").unwrap();
    }
    let changed =
        ["x.log", "below/x.log", "below/kept.log", "out/y", "nested/z", "plain", "../beside", "was.here", "kept"];
    let diff = asked(dir, &commit, started, &changed);
    let why: Vec<GitWhy> = diff.others.iter().map(|other| other.why).collect();
    use GitWhy::{Gone, Ignored, Nested, Unchanged, Untracked};
    let expect = [Ignored, Ignored, Untracked, Ignored, Nested, Untracked, Gone, Gone, Unchanged];
    // A path is not cleaned up: `..` in it names nothing that git knows.
    assert_eq!(why, expect);
    let outside = compare(&Question {
        directory: crate::undo::bytes_of(dir),
        from: commit,
        to: None,
        started,
        changed: vec!["/etc/hosts".into()],
    });
    assert_eq!(outside.unwrap().others.first().map(|other| other.why), Some(GitWhy::Outside));
}

#[test]
fn what_was_changed_earlier_and_a_link_out_of_the_tree_are_told_as_that() {
    let Some((work, commit)) = prepared(false) else { return };
    let dir = work.path();
    fs::write(dir.join("kept"), "changed before\n").unwrap();
    let old = fs::File::options().write(true).open(dir.join("kept")).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("deep"), "secret\n").unwrap();
    fs::remove_dir_all(dir.join("below")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.join("below")).unwrap();
    let diff = asked(dir, &commit, now(), &[]);
    let found = |path: &str| diff.files.iter().find(|file| file.path.as_bytes() == path.as_bytes()).unwrap();
    assert!(found("kept").earlier);
    // What stands behind the link is nobody's business.
    assert_eq!((found("below/deep").change.name(), &found("below/deep").after), ("deleted", &None));
}

#[test]
fn a_hostile_repository_gives_no_answer_or_some() {
    let Some((work, commit)) = prepared(false) else { return };
    let objects = work.path().join(".git/objects");
    let mut files = Vec::new();
    for below in fs::read_dir(&objects).unwrap().flatten().filter(|entry| entry.file_name().len() == 2) {
        files.extend(fs::read_dir(below.path()).unwrap().flatten().map(|entry| entry.path()));
    }
    for file in files {
        let content = fs::read(&file).unwrap();
        for broken in [&content[..content.len() / 2], b"", b"\x78\x01garbage"] {
            fs::remove_file(&file).unwrap();
            fs::write(&file, broken).unwrap();
            let question = Question {
                directory: crate::undo::bytes_of(work.path()),
                from: commit.clone(),
                to: Some(commit.clone()),
                started: Timestamp(0),
                changed: Vec::new(),
            };
            drop(compare(&question));
        }
        fs::write(&file, content).unwrap();
    }
    assert!(asked(work.path(), &commit, Timestamp(0), &[]).files.is_empty());
}
