use capsule_core::Role;

use crate::support::{self, Made, tool};
use crate::{Filter, Options, Report};

fn shown(made: Made, at: u64, options: &Options) -> String {
    let mut out = Vec::new();
    super::human(&Report::assemble(&made.view(at), options), options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_sample_of_the_issue() {
    insta::assert_snapshot!(shown(support::sample(), 5000, &Options::default()));
}

#[test]
fn a_session_with_something_of_everything() {
    insta::assert_snapshot!(shown(support::rich(), 50_000, &Options::default()));
}

#[test]
fn all_shows_wrappers_helpers_and_inner_processes() {
    let all = shown(support::rich(), 50_000, &Options { all: true, width: 80, ..Options::default() });
    insta::assert_snapshot!(all);
}

#[test]
fn loss_is_said_before_everything_else() {
    let mut made = support::sample();
    made.gap(4500, 12, "ring buffer full");
    let text = shown(made, 5000, &Options::default());
    let third = text.lines().nth(2).unwrap();
    assert_eq!(third, "Record   INCOMPLETE 12 records were lost: ring buffer full");
}

#[test]
fn every_line_fits_the_width_with_wide_and_hostile_text() {
    let mut made = support::rich();
    let long = "ls 日本語ディレクトリ/とても長い名前\u{1b}[31m\u{202e} ".repeat(9);
    let agent = capsule_core::ProcId(1);
    made.done(agent, 47_500, 5, &["ls"], tool(None, &long), 1);
    made.risk(agent, capsule_core::Severity::Medium, "Odd", &long);
    made.gap(48_000, 1, &long);
    for width in [64, 72, 100, 200] {
        let text = shown(made.clone(), 50_000, &Options { width, ..Options::default() });
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
        let wide: Vec<&str> = text.lines().filter(|line| crate::text::columns(line) > width).collect();
        assert!(wide.is_empty(), "{width}: {wide:#?}");
    }
}

#[test]
fn colour_only_adds_escapes() {
    let plain = shown(support::rich(), 50_000, &Options::default());
    let colored = shown(support::rich(), 50_000, &Options { color: true, ..Options::default() });
    let mut stripped = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_ne!(plain, colored);
    assert_eq!(plain, stripped);
}

#[test]
fn ten_thousand_levels_neither_overflow_nor_flood() {
    for role in [Role::Asked, Role::Wrapper, Role::Inner] {
        let text = shown(support::deep(10_000, role), 100_000, &Options::default());
        assert!(text.lines().count() < 60, "{}", text.lines().count());
    }
    let text = shown(support::deep(10_000, Role::Asked), 100_000, &Options::default());
    assert!(text.contains("processes deeper"), "{text}");
    let all = shown(support::deep(10_000, Role::Wrapper), 100_000, &Options { all: true, ..Options::default() });
    assert!(all.lines().count() > 10_000);
    assert!(all.lines().all(|line| crate::text::columns(line) <= 100));
}

#[test]
fn a_hundred_thousand_processes_read_on_a_few_screens() {
    let text = shown(support::wide(100_000), 110_000, &Options::default());
    assert!(text.lines().count() < 80, "{}", text.lines().count());
    assert!(text.contains("25,000"), "{text}");
    assert!(text.contains("100,002 processes, 100,001 operations, 100 failed"), "{text}");
}

#[test]
fn a_filter_keeps_what_fits_and_the_way_to_it() {
    let filter = Some(Filter::parse("failed").unwrap());
    let text = shown(support::rich(), 50_000, &Options { filter, ..Options::default() });
    let tree: Vec<&str> = text.lines().filter(|line| line.contains("── ") || line.contains("∥─ ")).collect();
    assert!(tree.iter().any(|line| line.contains("pytest -q") && line.contains("exit 1")));
    assert!(!tree.iter().any(|line| line.contains("git push") || line.contains("helper")), "{tree:#?}");
    assert!(tree.first().unwrap().contains("[AGENT]"));
    let filter = Some(Filter::parse("nothing-is-called-this").unwrap());
    let text = shown(support::rich(), 50_000, &Options { filter, ..Options::default() });
    assert!(text.contains("none fits the filter\n\nWorkflow Summary:"), "{text}");
}

#[test]
fn one_process_and_what_it_started() {
    let text = shown(support::rich(), 50_000, &Options { proc: Some(capsule_core::ProcId(22)), ..Options::default() });
    let tree: Vec<&str> = text.lines().filter(|line| line.contains("── ") || line.contains("∥─ ")).collect();
    assert_eq!(tree.len(), 3, "{tree:#?}");
}

#[test]
fn repeats_of_one_command_are_one_line() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], support::with_role(Role::Agent, "agent"));
    for n in 0..5 {
        made.done(agent, 10 + n * 10, 2, &["git", "status"], tool(None, "git status"), i32::from(n == 3));
    }
    for n in 0..7 {
        made.done(agent, 100 + n * 10, 2, &["ls", "x"], tool(None, &format!("ls dir{n}")), 0);
    }
    let text = shown(made, 1000, &Options::default());
    assert!(text.contains("git status ×5 (PID 1235…) ✗ 1 failed, first process 5: exit 1"), "{text}");
    assert!(text.contains("ls dir0 (and 6 alike)"), "{text}");
}

#[test]
fn the_narrowest_terminal_still_gets_a_report() {
    for width in [0, 1, 20, 33] {
        let text = shown(support::rich(), 50_000, &Options { width, ..Options::default() });
        assert!(text.contains("Risk Assessment: HIGH"), "{text}");
    }
}
