use crate::support::{self, Made, tool, with_role};
use crate::{Options, Report};
use capsule_core::{Role, Severity};

fn shown(made: Made, at: u64) -> String {
    let options = Options::default();
    let mut out = Vec::new();
    super::markdown(&Report::assemble(&made.view(at), &options), &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_session_with_something_of_everything() {
    insta::assert_snapshot!(shown(support::rich(), 50_000));
}

#[test]
fn markup_of_the_traced_program_is_text() {
    let attack = "x`````</details>\n# Big\n![a](http://evil.example/p.png)<img src=x>|*b*@octocat\n````\n~~~~";
    let mut made = Made::new(&["agent", attack]);
    let agent = made.run(None, 0, &["agent", attack], with_role(Role::Agent, attack));
    let proc = made.done(agent, 10, 5, &["x", attack], tool(None, attack), 0);
    made.effect(proc, 11, capsule_core::EffectKind::FileWrite, attack, None);
    made.connect(proc, 11, attack, 1);
    made.risk(proc, Severity::High, "Odd", attack);
    let text = shown(made, 100);
    let (before, block) = text.split_once("<details>").unwrap();
    assert!(!before.contains("<img") && !before.contains("![") && !before.contains("@octocat"), "{before}");
    assert!(before.lines().filter(|line| line.starts_with('#')).count() == 1, "{before}");
    // In the block the fence is longer than any run of backticks inside.
    let fence = block.lines().find(|line| line.starts_with('`')).unwrap().trim_end_matches("text");
    assert_eq!(block.lines().filter(|line| line.starts_with(fence)).count(), 2, "{block}");
    assert!(fence.len() > 4);
}

#[test]
fn many_findings_of_one_rule_are_one_line_that_counts_them() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for n in 0..12 {
        let command = format!("cat key{n}");
        let proc = made.done(agent, 10 + n, 1, &["cat", &format!("key{n}")], tool(None, &command), 0);
        made.risk(proc, Severity::High, "Key read", "why");
        made.risk(proc, Severity::Low, &format!("Odd {n}"), "why");
    }
    let text = shown(made, 100);
    assert_eq!(text.matches("**HIGH** Key read ×12: cat key0").count(), 1, "{text}");
    assert_eq!((text.matches("**HIGH**").count(), text.matches("**LOW**").count()), (1, 7), "{text}");
    assert!(text.contains("- … 5 more"), "{text}");
}
