//! A recorded program that turns against its recorder, and sessions that somebody changed, through the program itself.
//!
//! In each case the command's own result is what it would be without Capsule, and the session says what happened.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use tests::{Home, installed, skipped, stderr, stdout};

use crate::evidence::{
    disturbances, is_critical, only, program, risks, run, run_with_effects, sessions, verify, with_effects,
};

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

#[test]
fn what_the_command_prints_reaches_the_terminal_as_it_is() {
    let home = Home::new();
    let script =
        "printf '\\033]0;title\\007\\033[2J\\000\\377capsule: forged\\n'; printf 'capsule: forged\\n' >&2; exit 3";
    let plain = Command::new("sh").args(["-c", script]).output().expect("sh starts");
    let output = home.capsule(["run", "-q", "--linger", "wait", "sh", "-c", script]);
    assert_eq!((output.status.code(), &output.stdout, &output.stderr), (Some(3), &plain.stdout, &plain.stderr));
}

#[test]
fn programs_that_trace_unshare_and_leave_are_recorded_and_end_as_they_would() {
    let name = "programs_that_trace_unshare_and_leave_are_recorded_and_end_as_they_would";
    if !nix::unistd::geteuid().is_root() || !installed("unshare") || !installed("python3") {
        return skipped(name, "needs root, unshare and python3");
    }
    // TRACEME, then unshare with a process of its own pid namespace, then a process that leaves session and parent.
    let script = "python3 -c 'import ctypes,sys; sys.exit(11 if ctypes.CDLL(None).ptrace(0,0,0,0) else 10)'; traced=$?
        unshare --pid --fork --mount-proc sh -c '/bin/echo inside $$; exit 12'; unshared=$?
        setsid sh -c '(sleep 0.2; exec /bin/echo away >/dev/null) &' ; wait
        echo $traced $unshared; exit 13";
    for (tracer, traced) in [("ebpf", 10), ("ptrace", 11)] {
        let home = Home::new();
        let output = home.capsule(["run", "-q", "--linger", "wait", "--tracer", tracer, "sh", "-c", script]);
        if output.status.code() == Some(125) {
            skipped(name, &stderr(&output));
            continue;
        }
        // Under ptrace nobody else can trace: that one difference is documented.
        assert_eq!(output.status.code(), Some(13), "{tracer}: {}", stderr(&output));
        assert_eq!(stdout(&output), format!("inside 1\n{traced} 12\n"), "{tracer}");
        assert_eq!(verify(&home, &[]).0, Some(0));
        let ran = |words: &[&str]| {
            home.stream("events").iter().any(|event| event["command_line"] == serde_json::json!(words))
        };
        assert!(ran(&["/bin/echo", "inside", "1"]) && ran(&["/bin/echo", "away"]), "{tracer}");
    }
}
