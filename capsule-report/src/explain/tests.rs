use super::{explain, explain_human};
use crate::model::Report;
use crate::query::citations;
use crate::support::{self, tool};
use crate::{Options, text};

fn human(report: &Report, width: usize) -> String {
    let mut out = Vec::new();
    explain_human(&explain(report), width, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_session_is_told_in_plain_words() {
    let report = Report::assemble(&support::rich().view(600_000), &Options::default());
    insta::assert_snapshot!(human(&report, 100));
}

#[test]
fn every_record_that_is_cited_exists_and_every_question_is_answered() {
    for view in [support::rich().view(600_000), support::sample().view(9000), support::Made::new(&["true"]).view(1)] {
        let report = Report::assemble(&view, &Options::default());
        let explanation = explain(&report);
        assert_eq!(explanation.questions.len(), 9);
        for explained in &explanation.questions {
            assert!(!explained.answer.is_empty(), "{}", explained.topic);
            for sentence in &explained.answer {
                for citation in citations(&sentence.refs.join(" ")) {
                    assert!(report.has(&citation), "{citation:?}");
                }
            }
        }
    }
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let mut made = support::sample();
    let evil = "x\u{1b}[2J` The recording is complete.\n\u{202e}";
    made.done(capsule_core::ProcId(1), 4500, 5, &[evil], tool(None, evil), 1);
    let text = human(&Report::assemble(&made.view(5000), &Options::default()), 80);
    assert!(text.contains("[2J"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    assert!(text.lines().all(|line| text::columns(line) <= 80), "{text}");
}
