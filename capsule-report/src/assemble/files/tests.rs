use capsule_core::{EffectKind, EventKind, ExitStatus, ProcId, Role};

use crate::support::{Made, with_role};
use crate::{Options, Report};

const HERE: &str = "/home/user/project/";

/// A session whose only process has these effects, one a millisecond.
fn report(effects: &[(EffectKind, &str, Option<&str>)]) -> Report {
    let mut made = Made::new(&["agent"]);
    let agent: ProcId = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for (at, (kind, path, to)) in effects.iter().enumerate() {
        let full = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{HERE}{path}") };
        made.effect(agent, at as u64 + 1, *kind, &full(path), to.map(full).as_deref());
    }
    made.end(agent, 1000, ExitStatus::Exited(0));
    Report::assemble(&made.view(1000), &Options::default())
}

fn files(report: &Report) -> Vec<String> {
    let to = |file: &crate::FileItem| file.renamed_to.as_ref().map(|to| format!(" to {}", to.to_lossy()));
    let line = |file: &crate::FileItem| {
        format!("{} {}{}", file.name.to_lossy(), file.changes.join(","), to(file).unwrap_or_default())
    };
    report.files.iter().map(line).collect()
}

use EffectKind::{FileCreate, FileDelete, FileMode, FileRename, FileWrite};

#[test]
fn what_was_made_and_deleted_again_is_counted_once_and_not_listed() {
    let lock = "x.lock";
    let report = report(&[
        (FileCreate, lock, None),
        (FileDelete, lock, None),
        (FileCreate, lock, None),
        (FileWrite, lock, None),
        (FileDelete, lock, None),
    ]);
    assert_eq!(files(&report), Vec::<String>::new());
    assert_eq!((report.files_total, report.files_temporary), (0, 1));
}

#[test]
fn an_atomic_save_is_the_file_that_was_saved() {
    let report = report(&[
        (FileCreate, "ops.py.tmp.1", None),
        (FileMode, "ops.py.tmp.1", None),
        (FileRename, "ops.py.tmp.1", Some("ops.py")),
    ]);
    assert_eq!(files(&report), ["ops.py written"]);
    assert_eq!(report.files_temporary, 0);
}

#[test]
fn an_atomic_save_through_a_descriptor_of_the_directory_is_in_that_directory() {
    let report = report(&[
        (FileCreate, "tests/more.py.tmp.1", None),
        (FileRename, "/proc/self/fd/14/more.py.tmp.1", Some("/proc/self/fd/14/more.py")),
        (FileCreate, "/tmp/1.output", None),
        (FileDelete, "/proc/self/fd/15/1.output", None),
    ]);
    assert_eq!(files(&report), ["tests/more.py written"]);
    assert_eq!((report.files_total, report.files_temporary), (1, 1));
}

#[test]
fn renames_are_told_at_the_old_name_and_followed() {
    let renamed = report(&[(FileRename, "a", Some("b")), (FileRename, "b", Some("c"))]);
    assert_eq!(files(&renamed), ["a renamed to c"]);
    let gone = report(&[(FileRename, "a", Some("b")), (FileDelete, "b", None)]);
    assert_eq!(files(&gone)[0], "a deleted");
    let back = report(&[(FileRename, "a", Some("b")), (FileRename, "b", Some("a"))]);
    assert!(!files(&back).iter().any(|line| line.contains("renamed") || line.contains("deleted")), "{back:?}");
}

#[test]
fn what_was_made_in_a_directory_moves_along_with_it() {
    let report = report(&[
        (FileCreate, "cache-x1/README.md", None),
        (FileCreate, "cache-x10/other", None),
        (FileRename, "cache-x1", Some("done")),
    ]);
    // Whether the old name was a directory, only the record of its making tells.
    assert!(files(&report).contains(&"cache-x1/README.md created".to_owned()));
    let mut made = Made::new(&["agent"]);
    let agent: ProcId = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let seq = made.effect(agent, 1, FileCreate, "/home/user/project/cache-x1", None);
    let mkdir = made.events.iter_mut().find(|event| event.event().seq == seq).unwrap();
    let EventKind::Effect(effect) = &mut mkdir.enriched.event.kind else { panic!("no effect") };
    let mut changed = (**effect).clone();
    changed.call = "mkdir".to_owned();
    *effect = changed.into();
    made.effect(agent, 2, FileCreate, "/home/user/project/cache-x1/README.md", None);
    made.effect(agent, 3, FileCreate, "/home/user/project/cache-x10/other", None);
    made.effect(agent, 4, FileRename, "/home/user/project/cache-x1", Some("/home/user/project/done"));
    let report = Report::assemble(&made.view(1000), &Options::default());
    assert_eq!(files(&report), ["done/README.md created", "cache-x10/other created"]);
}

#[test]
fn deleted_and_made_again_is_written_and_refused_is_nothing() {
    let report = report(&[(FileDelete, "a", None), (FileCreate, "a", None), (FileDelete, "b", None)]);
    assert_eq!(files(&report), ["a written", "b deleted"]);
}

#[test]
fn the_project_comes_first_and_by_products_are_groups() {
    let report = report(&[
        (FileCreate, "calc/__pycache__/ops.pyc", None),
        (FileWrite, "/home/user/.claude/settings.json", None),
        (FileWrite, "/home/user/.bashrc", None),
        (FileWrite, ".git/index", None),
        (FileWrite, "calc/ops.py", None),
        (FileCreate, "/tmp/note", None),
        (FileWrite, "/dev/null", None),
    ]);
    let groups: Vec<(&str, u64)> = report.file_groups.iter().map(|group| (group.place.as_str(), group.files)).collect();
    assert_eq!(groups, [("project", 1), ("outside", 1), ("git", 1), ("cache", 1), ("state", 1), ("temp", 1)]);
    assert_eq!(files(&report)[..2], ["calc/ops.py written", "/home/user/.bashrc written"]);
    let shown = |all: bool| {
        let (mut out, options) = (Vec::new(), Options { all, ..Options::default() });
        crate::human(&report, &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let folded = shown(false);
    assert!(folded.contains("Files Changed: 2\n- calc/ops.py (written by process 1)\n"), "{folded}");
    assert!(folded.contains("besides: 1 of git itself, 1 in caches and build directories"), "{folded}");
    assert!(!folded.contains("settings.json"), "{folded}");
    let all = shown(true);
    assert!(all.contains("Files Changed: 6\n") && all.contains("settings.json"), "{all}");
}
