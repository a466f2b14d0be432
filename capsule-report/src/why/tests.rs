//! Questions to sessions made by hand.

use capsule_core::EffectKind;

use super::*;
use crate::support::rich;

fn ask(question: &str) -> Why {
    why(&rich().view(60_000), question, &Options::default())
}

#[test]
fn a_path_is_found_by_each_of_its_names_and_leads_back_to_the_agent() {
    for question in ["/home/user/project/src/main.py", "src/main.py", "./src/main.py", "main.py"] {
        let why = ask(question);
        assert_eq!(why.subject, Subject::Path, "{question}");
        let first = &why.answers[0];
        assert_eq!((first.what.as_str(), first.kind.as_deref()), ("wrote", Some("file_write")), "{question}");
        let summaries: Vec<String> = first.chain.iter().map(|link| link.summary.to_lossy().into_owned()).collect();
        assert_eq!(summaries, ["claude -p 'fix the bug'", "sed -i s/a/b/ src/main.py", "sed -i s/a/b/ src/main.py"]);
        assert_eq!(first.chain[0].role, "agent");
        assert!(!first.events.is_empty());
        // Readers come after writers.
        let kinds: Vec<&str> = why.answers.iter().filter_map(|answer| answer.kind.as_deref()).collect();
        assert_eq!(kinds, ["file_write", "file_write", "file_read", "file_read"]);
    }
    assert!(ask("ain.py").answers.is_empty());
}

#[test]
fn a_host_is_found_with_and_without_its_port() {
    for question in ["140.82.121.4", "140.82.121.4:22"] {
        let why = ask(question);
        assert_eq!((why.subject, why.answers.len()), (Subject::Host, 1), "{question}");
        assert_eq!(why.answers[0].chain.last().unwrap().summary, ByteString::from("git push origin main"));
    }
    assert!(ask("140.82.121.4:443").answers.is_empty());
    let named = why(&crate::support::sample().view(6000), "api.github.com", &Options::default());
    assert_eq!((named.subject, named.answers[0].what.as_str()), (Subject::Host, "named in its arguments"));
}

#[test]
fn a_process_is_found_by_pid_and_by_number() {
    let by_number = ask("proc:1");
    assert_eq!((by_number.subject, by_number.answers.len()), (Subject::Process, 1));
    assert_eq!(ask("1234").answers, by_number.answers);
    assert!(ask("proc:99999").answers.is_empty());
}

#[test]
fn text_on_a_terminal_stays_text() {
    let mut made = rich();
    made.effect(ProcId(1), 49_000, EffectKind::FileWrite, "/tmp/\u{1b}[2Jx", None);
    let mut out = Vec::new();
    why_human(&why(&made.view(60_000), "/tmp/\u{1b}[2Jx", &Options::default()), &mut out).unwrap();
    assert!(!out.contains(&0x1b), "{}", out.escape_ascii());
    assert!(out.starts_with(b"wrote /tmp/"));
}
