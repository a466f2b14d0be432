use std::sync::OnceLock;

use capsule_core::{Argv, Severity};

use super::*;
use crate::{Input, Rules, classify};

fn recorder() -> Recorder {
    Recorder {
        home: Some("/srv/odd {name}, [1]*/sessions".into()),
        keys: vec!["/etc/capsule/seal.key".into()],
        pids: vec![Pid(1234), Pid(1235)],
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
    ] {
        assert_eq!(worst(argv), None, "{argv:?}");
    }
}

#[test]
fn a_recorder_that_is_not_known_still_makes_rules() {
    let rules = Rules::load_recorded_by::<&Path>(&[], &Recorder::default()).unwrap();
    assert!(rules.explain(RULE).is_some());
    for recorder in [Recorder::default(), recorder()] {
        assert_eq!(Rules::load_recorded_by::<&Path>(&[], &recorder).unwrap().risks.check(), []);
    }
}
