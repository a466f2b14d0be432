//! Rules that were written for these tests, in the forms that published ones have.

use std::path::PathBuf;

use capsule_core::{Argv, Severity};

use crate::judge::classify;
use crate::rules::{Origin, RuleFile, Rules};
use crate::verdict::{CommandContext, Input, Verdict};

const ZIPAPP: &str = "\
title: Python Program Packed
id: 00000000-0000-4000-8000-000000000001
status: test
description: A program is packed into one file.
tags:
    - attack.collection
    - attack.t1560.001
logsource:
    category: process_creation
    product: linux
detection:
    selection_img:
        Image|endswith:
            - '/python'
            - '/python3'
            - '/python3.11'
    selection_cli:
        CommandLine|contains|all:
            - ' -m '
            - 'zipapp'
    filter_main_info:
        CommandLine|contains: '--info'
    condition: all of selection_* and not 1 of filter_main_*
falsepositives:
    - Releasing a program
level: medium
";

const SHELL_OF_EDITOR: &str = "\
title: Shell Of An Editor
id: 00000000-0000-4000-8000-000000000002
tags:
    - attack.execution
logsource: { category: process_creation, product: linux }
detection:
    parent:
        ParentImage|endswith: '/nano'
        User: root
    child:
        Image|re: '/(ba|z)?sh$'
    condition: parent and child
level: high
";

const SHADOW: &str = "\
title: Shadow File Read
id: 00000000-0000-4000-8000-000000000003
tags: [attack.credential-access, attack.t1003.008]
logsource: { category: process_creation, product: linux }
detection:
    selection:
        CommandLine|contains: '/etc/shadow'
    condition: selection
level: critical
";

fn rules(files: &[(&str, &str)], change: &str) -> (Rules, super::SigmaReport) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let own = RuleFile { path: PathBuf::from("mine.toml"), origin: Origin::User, text: change.to_owned() };
    let mut rules = Rules::of(vec![own], None).unwrap();
    let report = rules.add_sigma(directory.path()).unwrap();
    (rules, report)
}

fn judge(rules: &Rules, argv: &[&str], context: CommandContext) -> Verdict {
    classify(rules, &Input { argv: Argv::from_iter(argv), cwd: Some("/home/dev/project".into()), context })
}

#[test]
fn a_rule_says_what_it_says_and_nothing_more() {
    let (rules, report) = rules(&[("a/zipapp.yml", ZIPAPP), ("a/b/editor.yml", SHELL_OF_EDITOR)], "");
    assert_eq!((report.loaded, report.skipped.as_slice()), (2, [].as_slice()));
    let verdict = judge(&rules, &["python3", "-m", "zipapp", "src"], CommandContext::default());
    let found = verdict.risks.iter().find(|risk| risk.rule.starts_with("sigma:")).unwrap();
    assert_eq!(found.rule, "sigma:00000000-0000-4000-8000-000000000001");
    assert_eq!((found.severity, &*found.category), (Severity::Medium, "collection"));
    assert_eq!(found.attack, ["T1560.001"]);
    assert_eq!(found.title, "Python Program Packed");
    assert!(found.why.starts_with("A program is packed") && found.innocent.is_some());
    for quiet in [
        &["python3", "-m", "zipapp", "--info", "x.pyz"][..],
        &["python3", "-m", "pytest"],
        &["grep", "python3 -m zipapp", "README.md"],
    ] {
        let verdict = judge(&rules, quiet, CommandContext::default());
        assert!(!verdict.risks.iter().any(|risk| risk.rule.starts_with("sigma:")), "{quiet:?}");
    }
}

#[test]
fn a_rule_may_ask_for_the_parent_the_user_and_the_executable() {
    let (rules, _) = rules(&[("editor.yml", SHELL_OF_EDITOR)], "");
    let loud = |argv: &[&str], exe: Option<&str>, user: &str| {
        let context = CommandContext {
            parent: Some(Argv::from_iter(["nano", "x"])),
            exe: exe.map(Into::into),
            user: Some(user.to_owned()),
            ..CommandContext::default()
        };
        judge(&rules, argv, context).risks.iter().any(|risk| risk.rule.starts_with("sigma:"))
    };
    assert!(loud(&["bash"], Some("/usr/bin/bash"), "root"));
    assert!(loud(&["sh"], Some("/usr/bin/dash"), "root"), "called by another name");
    assert!(loud(&["innocent"], Some("/bin/sh"), "root"));
    assert!(!loud(&["bash"], None, "dev"));
    assert!(!loud(&["ls"], Some("/usr/bin/ls"), "root"));
}

#[test]
fn one_deed_is_one_finding() {
    for (level, rule, other) in [
        ("critical", "sigma:00000000-0000-4000-8000-000000000003", "Capsule's rule credential.shadow"),
        ("high", "credential.shadow", "Sigma rule \"Shadow File Read\""),
        ("low", "credential.shadow", "Sigma rule \"Shadow File Read\""),
    ] {
        let (rules, _) = rules(&[("shadow.yml", &SHADOW.replace("critical", level))], "");
        let verdict = judge(&rules, &["cat", "/etc/shadow"], CommandContext::default());
        let found: Vec<_> = verdict.risks.iter().filter(|risk| risk.category == "credential-access").collect();
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(one.rule, rule, "{one:?}");
        assert!(one.why.contains(other) && one.attack.iter().any(|id| id == "T1003.008"), "{one:?}");
        assert!(one.severity >= Severity::High);
    }
}

#[test]
fn a_user_changes_sigma_rules_as_any_other() {
    let change =
        "[[change]]\nrule = 'sigma:00000000-0000-4000-8000-000000000001'\nseverity = 'off'\nbecause = 'we pack'\n";
    let (rules, _) = rules(&[("zipapp.yml", ZIPAPP)], change);
    let verdict = judge(&rules, &["python3", "-m", "zipapp"], CommandContext::default());
    assert!(!verdict.risks.iter().any(|risk| risk.rule.starts_with("sigma:")));
    assert!(verdict.silenced.iter().any(|it| it.rule.starts_with("sigma:") && it.because.contains("we pack")));
    let listed = rules.explain("sigma:00000000-0000-4000-8000-000000000001").unwrap();
    assert!(listed.changes.first().unwrap().contains("mine.toml"), "{:?}", listed.changes);
}

#[test]
fn what_cannot_be_used_says_why_and_where() {
    let field = SHADOW.replace("CommandLine", "TargetFilename").replace("0003", "0004");
    let ahead = SHADOW.replace("CommandLine|contains: '/etc", "CommandLine|re: '(?=x)/etc").replace("0003", "0005");
    let windows = SHADOW.replace("linux", "windows");
    let old = SHADOW.replace("tags:", "status: deprecated\ntags:").replace("0003", "0006");
    let modifier = SHADOW.replace("|contains", "|sounds_like").replace("0003", "0007");
    let (rules, report) = rules(
        &[
            ("ahead.yml", &ahead),
            ("broken.yml", "title: [\n"),
            (
                "correlation.yml",
                "title: x\ncorrelation:\n    type: event_count\n    rules: [a]\n    group-by: [User]\n    timespan: 1m\n    condition: { gte: 3 }\n",
            ),
            ("deprecated.yml", &old),
            ("field.yml", &field),
            ("modifier.yml", &modifier),
            ("notes.txt", "no rule"),
            ("shadow.yml", SHADOW),
            ("twice.yml", SHADOW),
            ("windows.yml", &windows),
        ],
        "",
    );
    assert_eq!((report.loaded, report.elsewhere), (1, 1), "{report:#?}");
    let why = |name: &str| {
        let skipped =
            report.skipped.iter().find(|it| it.path.ends_with(name)).unwrap_or_else(|| panic!("{name}: {report:#?}"));
        (skipped.line, skipped.message.as_str(), skipped.hint.as_deref().unwrap_or_default())
    };
    assert_eq!(why("field.yml").0, 7);
    assert!(why("field.yml").1.contains("TargetFilename") && why("field.yml").2.contains("CommandLine"));
    assert!(why("deprecated.yml").1.contains("deprecated"));
    assert!(why("twice.yml").1.contains("already"));
    assert!(why("correlation.yml").1.contains("correlation"));
    assert!(why("broken.yml").0 > 0, "{:?}", why("broken.yml"));
    assert!(why("modifier.yml").1.contains("sounds_like"), "{:?}", why("modifier.yml"));
    assert!(why("ahead.yml").1.contains("look"), "{:?}", why("ahead.yml"));
    // What was left out does no harm to what is in.
    assert!(judge(&rules, &["cat", "/etc/shadow"], CommandContext::default()).worst() == Some(Severity::Critical));
}

#[test]
fn long_arguments_are_looked_at_once() {
    let (rules, _) = rules(&[("zipapp.yml", ZIPAPP), ("shadow.yml", SHADOW), ("editor.yml", SHELL_OF_EDITOR)], "");
    let long = "a -m ".repeat(26_000);
    let verdict = judge(&rules, &["python3", &long, "zipapp"], CommandContext::default());
    assert!(verdict.risks.iter().any(|risk| risk.rule.starts_with("sigma:") && risk.subject.len() <= 400));
}
