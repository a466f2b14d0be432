//! A recorded program that turns against its recorder, and faults around it, through the program itself.
//!
//! In each case the command's own result is what it would be without Capsule, and the session says what happened.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::preload::Fault;
use tests::{Home, installed, skipped, stderr, stdout};

fn run(home: &Home, script: &str) -> Output {
    home.capsule(["run", "--linger", "wait", "sh", "-c", script])
}

/// The directories of sessions; what was put aside is none.
fn sessions(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.join("runs")).map(|entries| entries.flatten().collect::<Vec<_>>());
    let mut found: Vec<PathBuf> = entries.unwrap_or_default().iter().map(fs::DirEntry::path).collect();
    found.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    found.sort();
    found
}

fn only(home: &Home) -> PathBuf {
    let found = sessions(home.path());
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

fn verify(home: &Home, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.capsule(["verify", "--json"].iter().chain(more));
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), verdict)
}

fn risks(session: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(session.join("risks.jsonl")).expect("risks can be read");
    let text_of = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record"))
        .map(|value| (text_of(&value, "severity"), text_of(&value, "rule")))
        .collect()
}

fn is_critical(session: &Path) -> bool {
    risks(session).contains(&("critical".to_owned(), "agent.recorder-touched".to_owned()))
}

fn disturbances(session: &Path) -> String {
    let metadata: Value =
        serde_json::from_slice(&fs::read(session.join("metadata.json")).expect("metadata")).expect("JSON");
    metadata["disturbances"].to_string()
}

#[test]
fn a_store_deleted_by_the_command_is_restored_flagged_and_critical() {
    let home = Home::new();
    let output = run(&home, "/bin/rm -rf \"$CAPSULE_HOME/runs\"; exit 7");
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("WARNING") && stderr(&output).contains("critical"), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
    let session = only(&home);
    assert!(disturbances(&session).contains("deleted"), "{}", disturbances(&session));
    assert!(is_critical(&session), "{:?}", risks(&session));
}

#[test]
fn a_session_directory_swapped_by_the_command_is_put_aside() {
    let home = Home::new();
    let output = run(
        &home,
        "cd \"$CAPSULE_HOME/runs\"; for d in *; do mv $d /tmp/gone.$$; mkdir $d; echo forged > $d/raw.jsonl; rm -rf /tmp/gone.$$; done",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
    assert!(disturbances(&only(&home)).contains("replaced"));
}

#[test]
fn files_replaced_by_links_while_they_are_written_are_not_followed() {
    let home = Home::new();
    let victim = home.path().join("victim");
    fs::write(&victim, "untouched").expect("written");
    let script = format!(
        "sleep 0.2; cd \"$CAPSULE_HOME\"/runs/*; for f in raw.jsonl events.jsonl tree.json metadata.json; do rm -f $f; ln -s {} $f; done; sleep 0.2; exit 6",
        victim.display()
    );
    let output = run(&home, &script);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let session = only(&home);
    assert_eq!(fs::read_to_string(&victim).expect("read"), "untouched");
    for name in ["raw.jsonl", "events.jsonl", "tree.json", "metadata.json"] {
        assert!(fs::symlink_metadata(session.join(name)).expect("is there").is_file(), "{name}");
    }
    assert_eq!(verify(&home, &[]).0, Some(0));
    assert!(disturbances(&session).contains("replaced") && is_critical(&session), "{}", disturbances(&session));
}

#[test]
fn a_stream_overwritten_by_the_command_is_tampered_with_at_its_first_record() {
    let home = Home::new();
    let output = run(&home, "sleep 0.3; for f in \"$CAPSULE_HOME\"/runs/*/events.jsonl; do : > $f; done; exit 3");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let (code, verdict) = verify(&home, &[]);
    assert_eq!(code, Some(3), "{verdict}");
    assert_eq!(
        (&verdict["problems"][0]["file"], &verdict["problems"][0]["record"]),
        (&"events.jsonl".into(), &1.into())
    );
}

#[test]
fn the_command_that_kills_capsule_leaves_a_session_that_reads() {
    let home = Home::new();
    // The recorder's own pid is in the metadata.
    let script = "sleep 0.3; pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); kill -9 $pid; sleep 0.2";
    let output = run(&home, script);
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    let (code, verdict) = verify(&home, &[]);
    assert_eq!(code, Some(4), "{verdict}");
    assert!(home.capsule(["report", "latest"]).status.success());
}

#[test]
fn the_terminal_is_told_that_capsule_was_killed_and_the_command_lives_on() {
    let home = Home::new();
    let end = home.path().join("end");
    let script = format!(
        "sleep 0.3; pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); kill -9 $pid; sleep 0.2; echo >{}",
        end.display()
    );
    let output = home.capsule(["run", "-q", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    assert!(stderr(&output).contains("Capsule itself was killed by signal 9"), "{}", stderr(&output));
    assert_eq!(home.metadata()["status"]["reason"], "killed by signal 9", "{}", home.metadata());
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(stdout(&home.capsule(["report", "latest"])).contains("killed by signal 9"));
    let begun = Instant::now();
    while !end.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(end.exists(), "the command came to its end");
}

#[test]
fn killing_the_recorder_by_its_pid_or_name_is_critical() {
    let home = Home::new();
    // A signal that does nothing, sent with the program and not the shell's own `kill`.
    let output = run(
        &home,
        "pid=$(sed 's/.*\"recorder\":\\([0-9]*\\).*/\\1/' \"$CAPSULE_HOME\"/runs/*/metadata.json); /bin/kill -CONT $pid",
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
}

/// A program in a file of its own: neither its arguments nor any inline code say what it does.
fn program(home: &Home, text: &str) -> String {
    let path = home.path().join("program.py");
    let find = "import glob,json,os,signal,sys,time\nsession=glob.glob(os.environ['CAPSULE_HOME']+'/runs/*')[0]\nrecorder=json.load(open(session+'/metadata.json'))['recorder']\n";
    fs::write(&path, format!("{find}{text}\n")).expect("written");
    path.display().to_string()
}

/// The tracers that record effects here.
fn with_effects(test: &str) -> Vec<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        skipped(test, "needs root, to see effects with every tracer");
        return Vec::new();
    }
    vec!["ptrace", "ebpf"]
}

fn run_with_effects(home: &Home, tracer: &str, script: &str) -> Output {
    home.capsule(["run", "--linger", "wait", "--tracer", tracer, "--effects", "writes", "python3", script])
}

#[test]
fn effects_give_away_a_program_that_says_nothing_of_its_attack() {
    const NAME: &str = "effects_give_away_a_program_that_says_nothing_of_its_attack";
    let attacks = [
        "os.kill(recorder, signal.SIGCONT)",
        "os.pidfd_open(recorder)",
        "os.remove(session+'/tree.json') if os.path.exists(session+'/tree.json') else os.chmod(session, 0o755)",
        "open(session+'/note','w').close()",
        "os.rename(session+'/events.jsonl', session+'/other.jsonl')",
    ];
    for tracer in with_effects(NAME) {
        for attack in attacks {
            let home = Home::new();
            let script = program(&home, &format!("{attack}\nsys.exit(4)"));
            let output = run_with_effects(&home, tracer, &script);
            assert_eq!(output.status.code(), Some(4), "{tracer} {attack}: {}", stderr(&output));
            assert_eq!(verify(&home, &[]).0, Some(0), "{tracer} {attack}");
            assert!(is_critical(&only(&home)), "{tracer} {attack}: {:?}", risks(&only(&home)));
        }
    }
}

#[test]
fn another_capsule_is_no_attack_and_a_program_that_only_has_its_name_is() {
    for tracer in with_effects("another_capsule_is_no_attack_and_a_program_that_only_has_its_name_is") {
        let home = Home::new();
        let inner =
            format!("{} run -q --tracer ebpf --linger wait /bin/true; exit 4", tests::capsule_binary().display());
        let run = |home: &Home, script: &str| {
            home.capsule(["run", "--linger", "wait", "--tracer", tracer, "--effects", "writes", "sh", "-c", script])
        };
        let output = run(&home, &inner);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        let found = sessions(home.path());
        assert_eq!(found.len(), 2, "{tracer}: the outer and the inner one");
        assert!(found.iter().all(|session| !is_critical(session)), "{tracer}: {found:?}");
        let home = Home::new();
        let script = "cp \"$(command -v touch)\" \"$CAPSULE_HOME/../capsule\"; d=$CAPSULE_HOME; \"$CAPSULE_HOME/../capsule\" \"$d\"/ledger.jsonl; rm \"$d/../capsule\"";
        let output = Command::new(tests::capsule_binary())
            .args(["run", "--linger", "wait", "--tracer", tracer, "--effects", "writes", "sh", "-c", script])
            .env("CAPSULE_HOME", home.path().join("store"))
            .env_remove("CAPSULE_TRACER")
            .output()
            .expect("capsule starts");
        assert!(output.status.success(), "{}", stderr(&output));
        let session = sessions(&home.path().join("store")).pop().expect("a session");
        assert!(is_critical(&session), "{tracer}: {:?}", risks(&session));
    }
}

#[test]
fn what_an_honest_program_does_to_processes_and_files_is_no_attack() {
    for tracer in with_effects("what_an_honest_program_does_to_processes_and_files_is_no_attack") {
        let home = Home::new();
        let text = "child=os.fork()\nif child==0: signal.pause()\nos.kill(recorder, 0)\nos.kill(child, signal.SIGKILL)\nos.waitpid(child, 0)\nopen('/tmp/capsule-honest','w').close()\nos.remove('/tmp/capsule-honest')";
        let output = run_with_effects(&home, tracer, &program(&home, text));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!is_critical(&only(&home)), "{tracer}: {:?}", risks(&only(&home)));
    }
}

#[test]
fn whoever_kills_capsule_is_named_by_what_capsule_wrote_last() {
    const NAME: &str = "whoever_kills_capsule_is_named_by_what_capsule_wrote_last";
    if !installed("pgrep") {
        return skipped(NAME, "needs pgrep");
    }
    let home = Home::new();
    // The words are read when the shell starts, long before the kill is sent.
    let script = "true; for p in $(pgrep -x capsule); do sleep 1; grep -qzx \"CAPSULE_HOME=$CAPSULE_HOME\" /proc/$p/environ && kill -9 $p; done; sleep 0.1";
    let output = run(&home, script);
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
    if with_effects(NAME).is_empty() {
        return;
    }
    // Under ptrace even the one signal that nobody survives is told before it is sent.
    let home = Home::new();
    let script = program(&home, "time.sleep(1)\nos.kill(recorder, signal.SIGKILL)");
    let output = run_with_effects(&home, "ptrace", &script);
    assert!(!output.status.success(), "a run that was not recorded to its end is no success");
    assert_eq!(verify(&home, &[]).0, Some(4));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
}

#[test]
fn the_key_read_by_the_command_is_critical() {
    let home = Home::new();
    let (sealing, verification) = (home.path().join("seal.key"), home.path().join("verify.key"));
    let text = |path: &Path| path.display().to_string();
    let made = home.capsule(["key", "new", &text(&sealing), &text(&verification)]);
    assert!(made.status.success(), "{}", stderr(&made));
    let command = format!("/bin/cat {} >/dev/null", sealing.display());
    let output = home.capsule(["run", "--linger", "wait", "--key", &text(&sealing), "sh", "-c", &command]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(is_critical(&only(&home)), "{:?}", risks(&only(&home)));
    assert_eq!(verify(&home, &["--key", &text(&verification)]).0, Some(0));
    // Another pair's key does not fit.
    let (other, wrong) = (home.path().join("o"), home.path().join("w"));
    assert!(home.capsule(["key", "new", &text(&other), &text(&wrong)]).status.success());
    let (code, verdict) = verify(&home, &["--key", &text(&wrong)]);
    assert_eq!((code, &verdict["problems"][0]["damage"]), (Some(3), &"other_key".into()), "{verdict}");
}

#[test]
fn every_record_dropped_doubled_or_swapped_is_the_one_that_is_named() {
    let home = Home::new();
    assert!(run(&home, "/bin/true").status.success());
    let path = only(&home).join("enriched.jsonl");
    let good = fs::read_to_string(&path).expect("records");
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    assert!(lines.len() > 3, "{good}");
    let check = |lines: &[&str], record: usize, damages: &[&str]| {
        fs::write(&path, lines.concat()).expect("written");
        let (code, verdict) = verify(&home, &[]);
        let problem = &verdict["problems"][0];
        assert_eq!(code, Some(3), "{verdict}");
        assert!(damages.contains(&problem["damage"].as_str().unwrap_or_default()), "{damages:?} {verdict}");
        assert_eq!(problem["record"], record, "{verdict}");
    };
    for at in 0..lines.len() {
        let mut edited = lines.clone();
        edited.remove(at);
        check(&edited, at + 1, if at + 1 == lines.len() { &["truncated"] } else { &["removed"] });
        let mut edited = lines.clone();
        edited.insert(at + 1, lines[at]);
        check(&edited, at + 2, &["duplicated", "inserted"]);
        if at + 1 < lines.len() {
            let mut edited = lines.clone();
            edited.swap(at, at + 1);
            check(&edited, at + 1, &["reordered"]);
        }
        check(&lines[..at], at + 1, &["truncated"]);
        let half = lines[at].split_at(lines[at].len() / 2).0;
        let torn: Vec<&str> = lines[..at].iter().copied().chain([half]).collect();
        check(&torn, at + 1, &["truncated", "altered"]);
    }
    fs::write(&path, good).expect("written");
    assert_eq!(verify(&home, &[]).0, Some(0));
}

#[test]
fn a_byte_flipped_anywhere_in_any_file_is_found_in_that_file() {
    let home = Home::new();
    assert!(run(&home, "/bin/true").status.success());
    let session = only(&home);
    let ledger = home.path().join("ledger.jsonl");
    let names =
        ["raw.jsonl", "events.jsonl", "enriched.jsonl", "risks.jsonl", "actions.jsonl", "tree.json", "metadata.json"];
    for path in names.iter().map(|name| session.join(name)).chain([ledger]) {
        let good = fs::read(&path).expect("read");
        let step = (good.len() / 12).max(1);
        for at in (0..good.len()).step_by(step).chain(good.len().checked_sub(1)) {
            let mut edited = good.clone();
            edited[at] ^= 1;
            fs::write(&path, &edited).expect("written");
            let (code, verdict) = verify(&home, &[]);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // A version that is not known cannot be checked.
            assert!(code == Some(3) || (name == "metadata.json" && code == Some(1)), "{name} {at}: {code:?} {verdict}");
            if code == Some(3) {
                assert_eq!(verdict["problems"][0]["file"], name, "{at}: {verdict}");
            }
        }
        fs::write(&path, good).expect("written");
    }
    assert_eq!(verify(&home, &[]).0, Some(0));
}

#[test]
fn files_replaced_by_links_fifos_and_directories_are_replaced_and_swapped_streams_spliced() {
    let home = Home::new();
    assert!(run(&home, "/bin/true").status.success());
    let session = only(&home);
    let damage = |wanted: &str| {
        let (code, verdict) = verify(&home, &[]);
        assert_eq!((code, &verdict["problems"][0]["damage"]), (Some(3), &wanted.into()), "{verdict}");
    };
    let (path, away) = (session.join("events.jsonl"), home.path().join("away"));
    fs::rename(&path, &away).expect("moved");
    symlink(&away, &path).expect("linked");
    damage("file_replaced");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    damage("file_replaced");
    fs::remove_dir(&path).expect("removed");
    assert!(Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()));
    damage("file_replaced");
    fs::remove_file(&path).expect("removed");
    damage("file_missing");
    let raw = session.join("raw.jsonl");
    fs::rename(&raw, &path).expect("moved");
    fs::rename(&away, &raw).expect("moved");
    damage("spliced");
}

#[test]
fn rights_are_narrow_whatever_the_umask_of_the_shell() {
    for umask in ["000", "777"] {
        let home = Home::new();
        let script = format!("umask {umask}; exec \"$0\" run --linger wait -q /bin/true");
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(tests::capsule_binary())
            .env("CAPSULE_HOME", home.path().join("store"))
            .stdin(Stdio::null())
            .output()
            .expect("sh starts");
        assert!(output.status.success(), "{}", stderr(&output));
        let store = home.path().join("store");
        let session = sessions(&store).pop().expect("a session");
        for (path, mode) in
            [(&store, 0o700), (&store.join("runs"), 0o700), (&session, 0o700), (&store.join("ledger.jsonl"), 0o600)]
        {
            assert_eq!(fs::metadata(path).expect("is there").mode() & 0o7777, mode, "{}", path.display());
        }
        for entry in fs::read_dir(&session).expect("listed").flatten() {
            assert_eq!(entry.metadata().expect("is there").mode() & 0o7777, 0o600, "{}", entry.path().display());
        }
    }
}

#[test]
fn another_user_cannot_touch_the_record_that_root_keeps_of_him() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("another_user_cannot_touch_the_record_that_root_keeps_of_him", "needs root");
    }
    let home = Home::new();
    let script = format!(
        "id -un; cat {0}/runs/*/metadata.json; ls {0}/runs; rm -rf {0}/runs {0}; echo x > {0}/ledger.jsonl; kill -9 $PPID; exit 5",
        home.path().display()
    );
    let output = home.capsule(["run", "--linger", "wait", "--user", "nobody", "-C", "/", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), "nobody");
    assert!(stderr(&output).contains("denied") || stderr(&output).contains("not permitted"), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
    let session = only(&home);
    assert_eq!(disturbances(&session), "null", "there are none");
    assert_eq!(fs::metadata(&session).expect("is there").uid(), 0);
}

/// A small file system of its own, where this user may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays is the directory's trouble, not the test's.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

const MANY: &str = "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done; echo done; exit 9";

#[test]
fn a_full_disk_changes_nothing_for_the_command() {
    let Some(disk) = SmallDisk::new("size=192k") else {
        return skipped("a_full_disk_changes_nothing_for_the_command", "tmpfs cannot be mounted");
    };
    let home = Home::new();
    let store = disk.0.path().join("home");
    let output = home
        .command(["run", "--linger", "wait", "sh", "-c", MANY])
        .env("CAPSULE_HOME", &store)
        .output()
        .expect("capsule starts");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not whole") || stderr(&output).contains("space"), "{}", stderr(&output));
    let output = home.command(["verify"]).env("CAPSULE_HOME", &store).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
}

#[test]
fn a_disk_that_answers_eio_changes_nothing_for_the_command() {
    const NAME: &str = "a_disk_that_answers_eio_changes_nothing_for_the_command";
    let home = Home::new();
    let Some(shim) = Fault::Eio.library(NAME, home.path()) else { return };
    let store = home.path().join("store");
    let mut command = home.command(["run", "--linger", "wait", "sh", "-c", MANY]);
    let output = command.env("CAPSULE_HOME", &store).env("LD_PRELOAD", &shim).output().expect("capsule starts");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(9), "done\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not whole"), "{}", stderr(&output));
    let output = home.command(["verify"]).env("CAPSULE_HOME", &store).output().expect("capsule starts");
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
}

#[test]
fn a_home_that_cannot_be_written_stops_the_run_before_the_command() {
    let home = Home::new();
    let mark = home.path().join("ran");
    let readonly = SmallDisk::new("size=64k,ro");
    let mut places = vec![PathBuf::from("/proc/capsule-cannot-be-here")];
    places.extend(readonly.iter().map(|disk| disk.0.path().join("home")));
    for place in places {
        let mut command = home.command(["run", "--linger", "wait", "touch"]);
        let output = command.arg(&mark).env("CAPSULE_HOME", &place).output().expect("capsule starts");
        assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
        assert!(!mark.exists(), "{}", place.display());
    }
}

#[test]
fn two_runs_at_once_make_two_whole_sessions_and_one_ledger() {
    let home = Home::new();
    let start = || {
        home.command(["run", "--linger", "wait", "-q", "sh", "-c", "/bin/true; /bin/true"])
            .spawn()
            .expect("capsule starts")
    };
    let mut both = [start(), start()];
    assert!(both.iter_mut().all(|child| child.wait().is_ok_and(|status| status.success())));
    let found = sessions(home.path());
    assert_eq!(found.len(), 2);
    for session in found {
        let id = session.file_name().expect("a name").to_string_lossy().into_owned();
        let (code, verdict) = verify(&home, &[&id]);
        assert_eq!((code, &verdict["ledger_damage"]), (Some(0), &Value::Null), "{verdict}");
    }
}

/// The time of the last whole record of a stream.
fn last_record(path: &Path) -> Option<Duration> {
    let bytes = fs::read(path).ok()?;
    let whole = bytes.len() - bytes.iter().rev().position(|byte| *byte == b'\n')?;
    let line = bytes.get(..whole)?.split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty())?;
    serde_json::from_slice::<Value>(line).ok()?["timestamp"].as_u64().map(Duration::from_nanos)
}

/// `CAPSULE_TEST_KILLS` says how often; the fate of each moment is not the test's to choose, so no run is like another.
/// It says on stderr how long before the kills the last records were made: how much a kill loses.
#[test]
fn capsule_killed_at_any_moment_leaves_a_session_that_reads_and_is_never_called_tampered() {
    let kills: u32 = std::env::var("CAPSULE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut lost = Vec::new();
    for round in 0..kills {
        let home = Home::new();
        let mut child = home
            .command(["run", "--linger", "wait", "-q", "sh", "-c", "while :; do /bin/true; done"])
            .spawn()
            .expect("starts");
        let begun = Instant::now();
        while sessions(home.path()).is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let session = only(&home);
        // From the first moment on in one half, in the middle of the storm in the other.
        let recorded = || fs::metadata(session.join("raw.jsonl")).is_ok_and(|raw| raw.len() > 0);
        while round % 2 == 1 && !recorded() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 7_919 % 400_000));
        let recorder = fs::read(session.join("metadata.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .and_then(|metadata| metadata["recorder"].as_i64());
        let recorder = recorder.and_then(|pid| i32::try_from(pid).ok()).map(nix::unistd::Pid::from_raw);
        // Before the first metadata there is only the process that we started.
        let own = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let group: Vec<nix::unistd::Pid> = processes_with(home.path());
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
        nix::sys::signal::kill(recorder.unwrap_or(own), nix::sys::signal::Signal::SIGKILL).expect("killed");
        child.kill().expect("killed");
        child.wait().expect("waited for");
        for pid in group.into_iter().chain(processes_with(home.path())) {
            // It may be gone already.
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap_or(());
        }
        let begun = Instant::now();
        while !processes_with(home.path()).is_empty() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (code, verdict) = verify(&home, &[]);
        assert_eq!(code, Some(4), "round {round}: {verdict}");
        lost.extend(last_record(&session.join("raw.jsonl")).map(|last| moment.saturating_sub(last).as_millis()));
        let report = home.capsule(["report", "latest", "--format", "json"]);
        let metadata = session.join("metadata.json").exists();
        assert!(report.status.success() || !metadata, "round {round}: {}", stderr(&report));
    }
    lost.sort_unstable();
    let at = |part: usize| lost.get(lost.len() * part / 100).or(lost.last());
    let said =
        format!("last record before the kill, ms: median {:?}, 95% {:?}, most {:?}", at(50), at(95), lost.last());
    writeln!(std::io::stderr(), "{said} (of {})", lost.len()).expect("stderr");
}

/// The processes of this test: those that have its home in their environment.
fn processes_with(home: &Path) -> Vec<nix::unistd::Pid> {
    let wanted = format!("CAPSULE_HOME={}", home.display());
    let holds = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
    };
    let entries = fs::read_dir("/proc").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let pids = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| holds(*pid)).map(nix::unistd::Pid::from_raw).collect()
}

#[test]
fn a_bounded_fork_bomb_is_recorded_and_ends_as_it_would_without_capsule() {
    const NAME: &str = "a_bounded_fork_bomb_is_recorded_and_ends_as_it_would_without_capsule";
    if !nix::unistd::geteuid().is_root() || !installed("prlimit") {
        return skipped(NAME, "needs root and prlimit");
    }
    let home = Home::new();
    // 40 processes for this user, who tries for 120. Python, whose fork does not try again.
    let script = "import os,sys\nn=0\nfor i in range(120):\n  try:\n    if os.fork()==0:\n      import time; time.sleep(1); os._exit(0)\n  except OSError: n+=1\nsys.exit(8 if n else 9)";
    let output = home.capsule([
        "run",
        "--linger",
        "wait",
        "-u",
        "games",
        "-C",
        "/",
        "prlimit",
        "--nproc=40",
        "python3",
        "-c",
        script,
    ]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
    assert!(home.stream("events").iter().filter(|event| event["event_type"] == "spawn").count() > 10);
}

#[test]
fn descriptors_and_memory_that_run_out_for_the_command_do_not_for_capsule() {
    let home = Home::new();
    let script = "import sys,resource\nresource.setrlimit(resource.RLIMIT_NOFILE,(32,32))\nresource.setrlimit(resource.RLIMIT_AS,(256<<20,256<<20))\nheld=[]\ntry:\n  while True: held.append(open('/dev/null'))\nexcept OSError: pass\ntry:\n  held.append(bytearray(1<<30))\nexcept MemoryError: sys.exit(6)";
    let output = home.capsule(["run", "--linger", "wait", "python3", "-c", script]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert_eq!(verify(&home, &[]).0, Some(0));
}

#[test]
fn what_the_command_is_called_cannot_write_to_the_readers_terminal() {
    let home = Home::new();
    let output = home.capsule([
        "run",
        "--linger",
        "wait",
        "-q",
        "sh",
        "-c",
        ": '\u{1b}]0;owned\u{7}\u{1b}[2J'; /bin/echo '\u{1b}[31mred\u{202e}'",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = home.capsule(["report", "latest"]);
    let text = stdout(&report);
    assert!(
        report.status.success() && !text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\u{202e}'),
        "{text:?}"
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_before_the_command_runs() {
    let home = Home::new();
    let (sealing, verification) = (home.path().join("s"), home.path().join("v"));
    let text = |path: &Path| path.display().to_string();
    assert!(home.capsule(["key", "new", &text(&sealing), &text(&verification)]).status.success());
    fs::set_permissions(&sealing, fs::Permissions::from_mode(0o644)).expect("changed");
    let output =
        home.capsule(["run", "--linger", "wait", "--key", &text(&sealing), "touch", &text(&home.path().join("ran"))]);
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    assert!(!home.path().join("ran").exists());
}
