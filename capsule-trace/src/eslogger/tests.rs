//! The eslogger backend against programs that stand in for eslogger. On a Mac it has not run yet.

use std::path::Path;

use capsule_core::{ExitStatus, Pid, RawBody};

use super::*;
use crate::watcher::tests::{lines, losses, record, stand_in};

/// `told NUMBER PID EVENT` prints a line; the stand-in waits for the command, which writes its pid.
const BEGIN: &str = r#"
[ "$*" = "exec fork exit" ] || exit 2
told() {
    printf '{"global_seq_num":%s,"time":"2026-09-01T10:00:00.000000001Z","process":{"audit_token":{"pid":%s}},"event":%s}\n' "$@"
}
sleep 0.2
[ -e root ] && echo early
told 1 9000001 '{"exit":{"stat":0}}'
while [ ! -s root ]; do sleep 0.01; done
root=$(cat root)
"#;

fn tracer(directory: &Path, body: &str) -> Box<dyn Tracer> {
    let options = TraceOptions { linger: crate::tracer::Linger::Detach, ..TraceOptions::default() };
    Box::new(Eslogger::played_by(options, stand_in(directory, body)))
}

#[test]
fn only_the_trees_lines_are_recorded_and_jumps_in_the_numbers_are_losses() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        "{BEGIN}told 2 $root '{{\"exec\":{{}}}}'
         told 3 9000001 '{{\"fork\":{{\"child\":{{\"audit_token\":{{\"pid\":9000002}}}}}}}}'
         told 4 9000002 '{{\"exec\":{{}}}}'
         told 5 $root '{{\"fork\":{{\"child\":{{\"audit_token\":{{\"pid\":9000003}}}}}}}}'
         told 9 9000003 '{{\"exit\":{{\"stat\":0}}}}'
         told 10 9000003 '{{\"exec\":{{}}}}'
         told 11 $root '{{\"exit\":{{\"stat\":1280}}}}'"
    );
    let (outcome, records) =
        record(tracer(dir.path(), &body), dir.path(), "echo $$ > root; sleep 0.3; exit 5", async |_| ());
    let outcome = outcome.unwrap();
    assert_eq!((outcome.root, outcome.left_running), (Some(ExitStatus::Exited(5)), Vec::<Pid>::new()));
    let numbers: Vec<u64> = lines(&records)
        .iter()
        .map(|line| serde_json::from_str::<Head>(line).unwrap().global_seq_num.unwrap())
        .collect();
    assert_eq!(numbers, [2, 5, 9, 11], "a stranger's lines, or those of a pid that has ended, were recorded");
    assert_eq!(losses(&records), [(3, "eslogger lost them".to_owned())]);
    assert_eq!(outcome.coverage.lost, 3);
    let stamped = records.iter().find(|record| matches!(record.body, RawBody::Line { .. })).unwrap().timestamp;
    assert_eq!(stamped.to_seconds_string(), "2026-09-01T10:00:00Z");
}

#[test]
fn eslogger_without_full_disk_access_says_what_to_do_and_the_command_never_ran() {
    let dir = tempfile::tempdir().unwrap();
    let body = "echo 'Failed to create client: not permitted' >&2; exit 1";
    let (outcome, records) = record(tracer(dir.path(), body), dir.path(), "touch ran", async |_| ());
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("not permitted"), "{error}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("Full Disk Access")), "{error:?}");
    assert!(records.is_empty() && !dir.path().join("ran").exists(), "{records:?}");
}

#[test]
fn a_line_that_was_cut_off_is_recorded_for_the_parser_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let body =
        format!("{BEGIN}told 2 $root '{{\"exit\":{{\"stat\":0}}}}'\nprintf '{{\"global_seq_num\":3,\"proc'\nexit 0");
    let (outcome, records) = record(tracer(dir.path(), &body), dir.path(), "echo $$ > root; sleep 0.3", async |_| ());
    assert_eq!(outcome.unwrap().root, Some(ExitStatus::Exited(0)));
    assert_eq!(lines(&records).last().unwrap(), "{\"global_seq_num\":3,\"proc");
    assert!(losses(&records).iter().any(|(_, reason)| reason.contains("ended early")), "{records:?}");
}

#[test]
fn eslogger_is_not_claimed_where_it_is_not() {
    if !Path::new(PROGRAM).exists() {
        assert!(!probe().usable);
    }
}
