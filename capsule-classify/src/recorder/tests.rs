use std::sync::OnceLock;

use capsule_core::{Argv, Severity};

use super::*;
use crate::{Input, Rules, classify};

fn recorder() -> Recorder {
    Recorder {
        home: Some("/srv/odd {name}, [1]*/sessions".into()),
        keys: vec!["/etc/capsule/seal.key".into()],
        settings: vec!["/home/me/.config/capsule".into()],
        pids: vec![Pid(1234), Pid(1235)],
        program: Some("/opt/capsule/bin/capsule".into()),
    }
}

fn worst(argv: &[&str]) -> Option<Severity> {
    static RULES: OnceLock<Rules> = OnceLock::new();
    let rules = RULES.get_or_init(|| Rules::load_recorded_by::<&Path>(&[], &recorder()).unwrap());
    let argv: Argv = argv.iter().map(|arg| arg.as_bytes()).collect();
    let verdict = classify(rules, &Input { argv, cwd: Some("/work".into()), ..Input::default() });
    verdict.risks.iter().filter(|risk| risk.rule == RULE).map(|risk| risk.severity).max()
}

#[test]
fn whoever_touches_the_record_its_key_or_its_recorder_is_critical() {
    for argv in [
        &["rm", "-rf", "/srv/odd {name}, [1]*/sessions/runs"][..],
        &["rm", "-rf", "/srv/odd {name}, [1]*/sessions"],
        &["bash", "-c", "rm -rf $CAPSULE_HOME/runs"],
        &["bash", "-c", "echo x >> '/srv/odd {name}, [1]*/sessions/runs/a/raw.jsonl'"],
        &["chmod", "000", "/srv/odd {name}, [1]*/sessions"],
        &["mv", "/srv/odd {name}, [1]*/sessions", "/tmp/x"],
        &["cat", "/etc/capsule/seal.key"],
        &["cp", "/etc/capsule/seal.key", "/tmp/key"],
        &["bash", "-c", "> /etc/capsule/seal.key"],
        &["kill", "-9", "1234"],
        &["kill", "1", "1235"],
        &["kill", "-STOP", "-1234"],
        &["bash", "-c", "kill -9 1234"],
        &["pkill", "capsule"],
        &["pkill", "-f", "capsule run"],
        &["killall", "-9", "capsule"],
        &["python3", "-c", "import os,signal; os.kill(1234, signal.SIGKILL)"],
        &["node", "-e", "process.kill(1235)"],
        &["gdb", "-p", "1234"],
        &["strace", "-p1234"],
        &["cat", "/proc/1234/mem"],
        &["bash", "-c", "kill -9 $(pgrep capsule)"],
        &["bash", "-c", "kill -KILL `pidof capsule`"],
        &["bash", "-c", "p=$(pgrep -x capsule); sleep 1; kill -9 $p"],
        &["bash", "-c", "pgrep -f 'capsule run' | xargs kill -9"],
        &["bash", "-c", "for p in $(pidof capsule); do kill -9 $p; done"],
        &["bash", "-c", "ps aux | grep capsule | awk '{print $2}' | xargs kill -9"],
        &["bash", "-c", "ps aux | awk '/capsule/ {print $2}' | xargs -r kill"],
        &["bash", "-c", "kill -9 $(ps -C capsule -o pid=)"],
        &["bash", "-c", "kill -9 $(sed 's/.*recorder.:\\([0-9]*\\).*/\\1/' $CAPSULE_HOME/runs/*/metadata.json)"],
    ] {
        assert_eq!(worst(argv), Some(Severity::Critical), "{argv:?}");
    }
}

#[test]
fn reading_the_record_is_no_attack_and_others_processes_and_files_are_nobodys_business() {
    assert_eq!(worst(&["cat", "/srv/odd {name}, [1]*/sessions/runs/a/raw.jsonl"]), Some(Severity::Medium));
    for argv in [
        &["kill", "-9", "12345"][..],
        &["kill", "-l"],
        &["kill", "-0", "1234"],
        &["rm", "-rf", "/srv/odd n, 1x/sessions"],
        &["cat", "/etc/capsule/seal.key.pub"],
        &["pkill", "-f", "node server.js"],
        &["capsule", "prune", "--keep", "30d"],
        &["capsule", "report", "latest"],
        &["grep", "-rn", "capsule", "src"],
        &["git", "commit", "-m", "kill 1234"],
        &["ls", "/proc/1234"],
        &["bash", "-c", "kill $(pgrep node)"],
        &["bash", "-c", "pgrep capsule || echo not running"],
        &["bash", "-c", "ps aux | grep server | awk '{print $2}' | xargs kill"],
        &["bash", "-c", "kill $(pgrep -f time-capsules)"],
        &["bash", "-c", "kill -0 $(pgrep capsule)"],
    ] {
        assert_eq!(worst(argv), None, "{argv:?}");
    }
}

#[test]
fn a_recorder_that_is_not_known_still_makes_rules() {
    let rules = Rules::load_recorded_by::<&Path>(&[], &Recorder::default()).unwrap();
    assert!(rules.explain(RULE).is_some());
    for recorder in [Recorder::default(), recorder()] {
        let wrong = Rules::load_recorded_by::<&Path>(&[], &recorder).unwrap().risks.check();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn effect(kind: EffectKind, path: &str, detail: Option<&str>, errno: Option<i32>) -> Effect {
    let path = (!path.is_empty()).then(|| path.into());
    Effect {
        kind,
        call: "call".to_owned(),
        path,
        to: None,
        endpoint: None,
        detail: detail.map(str::to_owned),
        errno,
        before: None,
    }
}

#[test]
fn effects_on_the_record_its_key_or_its_recorder_are_known_whatever_the_program_says_it_does() {
    let mut guarded = Guarded::new(&recorder());
    let session = "/srv/odd {name}, [1]*/sessions/runs/own";
    guarded.add_session(Path::new(session));
    let grade = |effect: &Effect, capsule| guarded.touched(effect, capsule).map(|(severity, _)| severity);
    use EffectKind::{FileCreate, FileDelete, FileMode, FileRead, FileRename, FileWrite, Ptrace};
    for kind in [FileWrite, FileCreate, FileDelete, FileRename, FileMode] {
        let inside = effect(kind, &format!("{session}/raw.jsonl"), None, None);
        assert_eq!(grade(&inside, false), Some(Severity::Critical), "{kind:?}");
        assert_eq!(grade(&inside, true), Some(Severity::Critical), "another Capsule has no business there");
        let ledger = effect(kind, "/srv/odd {name}, [1]*/sessions/ledger.jsonl", None, None);
        assert_eq!(grade(&ledger, false), Some(Severity::Critical));
        assert_eq!(grade(&ledger, true), None, "another Capsule writes its sessions there, too");
        for (errno, expected) in [(13, Some(Severity::Critical)), (2, None)] {
            assert_eq!(grade(&effect(kind, session, None, Some(errno)), false), expected, "{errno}");
        }
        assert_eq!(grade(&effect(kind, "/srv/odd {name}, [1]*/sessions2/raw.jsonl", None, None), false), None);
    }
    assert_eq!(grade(&effect(FileRead, &format!("{session}/raw.jsonl"), None, None), false), Some(Severity::Medium));
    assert!(guarded.is_capsule(b"/opt/capsule/bin/capsule") && !guarded.is_capsule(b"/tmp/capsule"));
    assert_eq!(grade(&effect(FileRead, "/etc/capsule/seal.key", None, None), false), Some(Severity::Critical));
    assert_eq!(grade(&effect(FileRead, "/proc/1234/mem", None, None), false), Some(Severity::Critical));
    assert_eq!(grade(&effect(FileRead, "/proc/1234/status", None, None), false), None);
    for (detail, expected) in
        [("1234 9", true), ("-1234 15", true), ("-1 9", true), ("1235", true), ("12345 9", false), ("", false)]
    {
        assert_eq!(grade(&effect(Ptrace, "", Some(detail), None), false).is_some(), expected, "{detail}");
    }
}

#[test]
fn whoever_changes_the_settings_weakens_later_sessions() {
    for argv in [
        &["bash", "-c", "echo x >> /home/me/.config/capsule/config.toml"][..],
        &["rm", "-rf", "/home/me/.config/capsule"],
        &["cp", "x.toml", "/home/me/.config/capsule/rules.d/x.toml"],
    ] {
        assert_eq!(worst(argv), Some(Severity::High), "{argv:?}");
    }
    for argv in
        [&["cat", "/home/me/.config/capsule/config.toml"][..], &["capsule", "config", "set", "run.quiet", "true"]]
    {
        assert_eq!(worst(argv), None, "{argv:?}");
    }
    let guarded = Guarded::new(&recorder());
    let mut effect = capsule_core::Effect {
        kind: EffectKind::FileWrite,
        call: "openat".to_owned(),
        path: Some("/home/me/.config/capsule/config.toml".into()),
        to: None,
        endpoint: None,
        detail: None,
        errno: None,
        before: None,
    };
    assert_eq!(guarded.touched(&effect, false).map(|(severity, _)| severity), Some(Severity::High));
    assert_eq!(guarded.touched(&effect, true), None);
    effect.kind = EffectKind::FileRead;
    assert_eq!(guarded.touched(&effect, false), None);
}
