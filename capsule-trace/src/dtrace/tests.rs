//! The dtrace backend against programs that stand in for dtrace. On a Mac it has not run yet.

use std::path::Path;

use capsule_core::{ExitStatus, RawBody, SpawnKind};

use super::*;
use crate::watcher::tests::{lines, losses, record, stand_in};

/// What every stand-in begins with: it takes the script and the root's pid, and lets it be seen whether the command ran before.
const BEGIN: &str =
    "for root; do :; done\ncat > script\nsleep 0.2\n[ -e ran ] && echo capsule early\necho capsule ready\n";

fn tracer(directory: &Path, body: &str) -> Box<dyn Tracer> {
    Box::new(Dtrace::played_by(TraceOptions::default(), stand_in(directory, body)))
}

#[test]
fn the_command_waits_until_the_probes_are_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("{BEGIN}while [ ! -e ran ]; do sleep 0.01; done\necho \"capsule exit $root 1792\"");
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), "echo $$ > ran; exit 7", async |_| ());
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Exited(7)));
    let RawBody::Spawn { parent: None, child, how: SpawnKind::Root } = &records[0].body else { panic!("{records:?}") };
    let ran = std::fs::read_to_string(dir.path().join("ran")).unwrap();
    assert_eq!(ran.trim(), child.0.to_string());
    assert_eq!(lines(&records), [format!("capsule exit {child} 1792")]);
    assert_eq!(losses(&records), []);
    let script = std::fs::read_to_string(dir.path().join("script")).unwrap();
    assert!(script.contains("tracked[$1] = 1;") && script.contains("copyinstr(this->argv[63])"), "{script}");
    assert!(!script.contains(ARGUMENTS) && !script.contains("argv[64]"), "{script}");
}

#[test]
fn braces_quotes_and_parentheses_of_the_script_match() {
    let script = script();
    let count = |wanted: char| script.chars().filter(|found| *found == wanted).count();
    assert_eq!(count('{'), count('}'));
    assert_eq!(count('('), count(')'));
    for line in script.lines().filter(|line| line.contains("printf")) {
        assert_eq!(line.replace("\\\"", "").matches('"').count() % 2, 0, "{line}");
    }
}

/// The recorded transcript that the parser is tested with, with pids that nobody has.
#[test]
fn a_transcript_is_recorded_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let transcript = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capsule-parse/testdata/dtrace-tree.in");
    let text = std::fs::read_to_string(transcript).unwrap();
    let others = |word: &str| match word {
        "801" => "ROOT".to_owned(),
        "411" | "412" | "802" | "803" => format!("9000{word}"),
        other => other.to_owned(),
    };
    let text: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("capsule ") || line.starts_with("dtrace: "))
        .map(|line| line.split(' ').map(others).collect::<Vec<_>>().join(" "))
        .collect();
    let (said, told): (Vec<_>, Vec<_>) = text.iter().cloned().partition(|line| line.starts_with("dtrace: "));
    std::fs::write(dir.path().join("told"), told.join("\n") + "\n").unwrap();
    std::fs::write(dir.path().join("said"), said.join("\n") + "\n").unwrap();
    let body = format!("{BEGIN}sed \"s/ROOT/$root/g\" told\ncat said >&2");
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), "sleep 0.3", async |_| ());
    let outcome = outcome.unwrap();
    assert_eq!(outcome.left_running, []);
    let RawBody::Spawn { child, .. } = &records[0].body else { panic!("{records:?}") };
    let mut wanted: Vec<String> = told.iter().map(|line| line.replace("ROOT", &child.0.to_string())).collect();
    wanted.extend(said);
    wanted.sort();
    let mut found = lines(&records);
    found.sort();
    assert_eq!(found, wanted);
}

#[test]
fn dtrace_that_refuses_says_why_and_the_command_never_ran() {
    let dir = tempfile::tempdir().unwrap();
    let body = "cat > /dev/null; echo 'dtrace: failed to initialize dtrace: DTrace requires additional privileges' >&2; exit 1";
    let (outcome, records) = record(tracer(dir.path(), body), dir.path(), "touch ran", async |_| ());
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("requires additional privileges"), "{error}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("csrutil")), "{error:?}");
    assert!(records.is_empty(), "{records:?}");
    assert!(!dir.path().join("ran").exists());
}

#[test]
fn dtrace_that_ends_early_is_a_loss_and_not_the_commands_end() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("{BEGIN}exit 0");
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), "sleep 0.5; exit 3", async |_| ());
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Exited(3)));
    assert!(losses(&records).iter().any(|(_, reason)| reason.contains("ended early")), "{records:?}");
    assert!(matches!(records.last().unwrap().body, RawBody::Exit { status: ExitStatus::Exited(3), .. }), "{records:?}");
}

#[test]
fn a_child_that_lives_on_is_let_go_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "{BEGIN}while [ ! -s child ]; do sleep 0.01; done\necho \"capsule create $root $(cat child)\"\ntouch told\n\
         while kill -0 $root 2>/dev/null; do sleep 0.01; done\necho \"capsule exit $root 0\""
    );
    let script =
        "sleep 60 </dev/null >/dev/null 2>&1 & echo $! > child; while [ ! -e told ]; do sleep 0.01; done; sleep 0.1";
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), script, async |_| ());
    let left = outcome.unwrap().left_running;
    let child: u32 = std::fs::read_to_string(dir.path().join("child")).unwrap().trim().parse().unwrap();
    assert_eq!(left, [Pid(child)]);
    assert!(crate::root::sys::exists(child));
    crate::root::sys::kill(child, libc::SIGKILL);
    assert!(records.iter().any(|record| matches!(record.body, RawBody::LeftRunning { .. })), "{records:?}");
}

#[test]
fn cancelling_kills_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("{BEGIN}while kill -0 $root 2>/dev/null; do sleep 0.01; done\necho \"capsule exit $root 9\"");
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), "exec sleep 1000", async |watch| {
        watch.started.await.unwrap();
        watch.cancel.cancel();
    });
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Signaled { signal: 9, core_dumped: false }));
    assert!(lines(&records).iter().any(|line| line.ends_with(" 9")), "{records:?}");
}

#[test]
fn dtrace_is_not_claimed_where_it_is_not() {
    if !Path::new(PROGRAM).exists() {
        let found = probe();
        assert!(!found.usable && found.because.contains(PROGRAM), "{found:?}");
    }
}

/// The words that start a real dtrace: those of `CAPSULE_TEST_DTRACE`, or the program where Linux has it.
fn real_dtrace() -> Option<String> {
    let words = std::env::var("CAPSULE_TEST_DTRACE").ok();
    words.or_else(|| Path::new(PROGRAM).exists().then(|| PROGRAM.to_owned()))
}

/// What DTrace for Linux does not have in the same way: where arguments and wait status are, macOS's probes, and room for
/// 64 arguments.
const FOR_LINUX: &str = r"
    s/^inline int ARGC = .*/inline int ARGC = *(int *)copyin(curthread->mm->start_stack, 4);/
    s/^inline uintptr_t ARGV = .*/inline uintptr_t ARGV = curthread->mm->start_stack + 8;/
    s/^inline int STATUS = .*/inline int STATUS = curthread->exit_code;/
    s/=1024/=256/; s/LONGEST = 1024/LONGEST = 256/; s/=16m/=1m/
    /argv\[\(1[6-9]\|[2-6][0-9]\)\]/d
";

#[test]
fn the_script_runs_under_a_real_dtrace() {
    let Some(program) = real_dtrace().filter(|_| nix::unistd::geteuid().is_root()) else {
        eprintln!("SKIPPED: needs root and DTrace (Debian's package `dtrace`, or CAPSULE_TEST_DTRACE=COMMAND)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("for-linux"), FOR_LINUX).unwrap();
    let body = format!(
        "for root; do :; done\nsed -f for-linux > script\nexec {program} -q -Z -s /dev/stdin \"$root\" < script"
    );
    let script = "/bin/echo 'one \"two\"' ''; /bin/sh -c 'exit 3'; (exec /bin/true \"$0\"); ./nothing-here; exit 5";
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), script, async |_| ());
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Exited(5)), "{records:#?}");
    let RawBody::Spawn { child: root, .. } = &records[0].body else { panic!("{records:?}") };
    // DTrace for Linux prints a string's terminating NUL too, and errors as the kernel counts them.
    let lines: Vec<String> = lines(&records).iter().map(|line| line.replace("\\0", "")).collect();
    let with = |end: &str| lines.iter().filter(|line| line.starts_with("capsule ") && line.ends_with(end)).count();
    assert_eq!(with(r#" ["/bin/echo", "one \"two\"", ""]"#), 1, "{lines:#?}");
    assert_eq!(with(r#" ["/bin/sh", "-c", "exit 3"]"#), 1, "{lines:#?}");
    assert_eq!(with(r#" ["/bin/true", "/bin/sh"]"#), 1, "{lines:#?}");
    assert_eq!(with(" 768"), 1, "{lines:#?}");
    assert_eq!(with(" -2 \"./nothing-here\" []"), 1, "{lines:#?}");
    assert_eq!(
        lines.iter().filter(|line| line.starts_with(&format!("capsule create {root} "))).count(),
        4,
        "{lines:#?}"
    );
    assert_eq!(with(&format!("capsule exit {root} 1280")), 1, "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("capsule ") || line.starts_with("dtrace: ")), "{lines:#?}");
}
