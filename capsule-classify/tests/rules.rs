//! Rules as data: the embedded ones hold, users' files extend and override them, and mistakes are explained.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::Write as _;

use capsule_classify::{Input, Rules, RulesError, classify};
use capsule_core::{Argv, Severity};

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn worst(rules: &Rules, argv: &[&str]) -> Option<Severity> {
    let input = Input { argv: Argv::from_iter(argv), cwd: Some("/home/dev/project".into()), ..Input::default() };
    classify(rules, &input).worst()
}

#[test]
fn the_embedded_rules_are_whole() {
    let rules = Rules::load::<&str>(&[]).unwrap();
    assert_eq!(rules.check(), Vec::<String>::new());
    assert!(rules.list().len() > 100 && rules.programs_known() > 1500);
    let categories: std::collections::BTreeSet<String> = rules.list().into_iter().map(|rule| rule.category).collect();
    assert_eq!(categories.len(), 17, "{categories:?}");
}

#[test]
fn every_category_is_a_documented_one_and_every_technique_looks_like_one() {
    const KNOWN: &[&str] = &[
        "credential-access",
        "exfiltration",
        "download-execute",
        "reverse-shell",
        "command-and-control",
        "persistence",
        "privilege-change",
        "container-escape",
        "defense-evasion",
        "suspicious-execution",
        "destructive-action",
        "supply-chain",
        "agent-tampering",
        "discovery",
        "lateral-movement",
        "collection",
        "resource-hijacking",
    ];
    for rule in Rules::builtin().list() {
        assert!(KNOWN.contains(&rule.category.as_str()), "{}", rule.id);
        assert!(!rule.attack.is_empty(), "{}", rule.id);
        for id in rule.attack {
            let digits = id.strip_prefix('T').unwrap();
            assert!(digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') && digits.len() >= 4, "{id}");
        }
    }
}

#[test]
fn a_user_lowers_silences_and_adds() {
    let rules = Rules::load(&[file(
        r#"
        [[change]]
        rule = "credential.dotenv"
        severity = "off"
        because = "only samples here"

        [[change]]
        rule = "destroy.power"
        severity = "low"

        [[rule]]
        id = "own.deploy"
        title = "Deployment"
        why = "Deploys."
        category = "destructive-action"
        severity = "high"
        match = [{ on = ["run"], program = ["deployctl-own"], args = "prod" }]

        [program.deployctl-own]
        workflow = "net"
        "#,
    )
    .path()])
    .unwrap();
    assert_eq!(worst(&rules, &["cat", ".env"]), None);
    assert_eq!(worst(&rules, &["reboot"]), Some(Severity::Low));
    assert_eq!(worst(&rules, &["deployctl-own", "prod"]), Some(Severity::High));
    let input = Input { argv: Argv::from_iter(["reboot"]), ..Input::default() };
    let verdict = classify(&rules, &input);
    assert!(verdict.risks[0].adjusted.as_deref().unwrap().contains("rule of the user"));
}

#[test]
fn mistakes_name_file_line_and_what_to_do() {
    for (text, line, word) in [
        ("schema = 1\n[[rule]]\nid = 'x'\n", 2, "missing field"),
        ("schema = 1\n\n[program.x]\nworkfow = 'net'\n", 4, "unknown field"),
        ("schema = 9\n", 1, "schema 9"),
        ("[program.x]\nworkflow = 'nett'\n", 1, "unknown workflow"),
        ("[[change]]\nrule = 'no.such'\nseverity = 'low'\n", 2, "no rule is called"),
        (
            "[[rule]]\nid='a.b'\ntitle=''\nwhy=''\ncategory='discovery'\nseverity='low'\nmatch=[{args='('}]\n",
            2,
            "regular expression",
        ),
        ("[[rule]]\nid='a.b'\ntitle=''\nwhy=''\ncategory='discovery'\nseverity='awful'\nmatch=[]\n", 2, "severity"),
    ] {
        let file = file(text);
        let error = Rules::load(&[file.path()]).unwrap_err();
        let RulesError::Invalid { line: at, message, .. } = &error else { panic!("{error}") };
        assert_eq!(*at, line, "{text}: {error}");
        assert!(message.contains(word), "{text}: {error}");
    }
    assert!(matches!(Rules::load(&["/nonexistent/rules.toml"]), Err(RulesError::Read { .. })));
}
