//! Rules as data: the embedded ones hold, users' files extend and override them, and mistakes are explained.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::Write as _;

use capsule_classify::{Expectations, Input, Origin, RuleFile, Rules, RulesError, classify};
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
    assert!(
        verdict.risks[0]
            .adjusted
            .as_deref()
            .unwrap()
            .contains("lowered from medium to low by a rule given with --rules")
    );
    let verdict = classify(&rules, &Input { argv: Argv::from_iter(["cat", ".env"]), ..Input::default() });
    let silenced = verdict.silenced.first().unwrap();
    assert_eq!(silenced.rule, "credential.dotenv");
    assert!(silenced.because.contains("silenced, was medium, by a rule given"), "{}", silenced.because);
    assert!(silenced.because.contains("only samples here"), "{}", silenced.because);
    assert!(rules.explain("destroy.power").unwrap().changes[0].starts_with("lowered from medium to low"));
}

#[test]
fn mistakes_name_file_line_and_what_to_do() {
    for (text, line, word) in [
        ("schema = 1\n[[rule]]\nid = 'x'\n", 2, "missing field"),
        ("schema = 1\n\n[program.x]\nworkfow = 'net'\n", 4, "unknown field"),
        ("schema = 9\n", 1, "schema 9"),
        ("[program.x]\nworkflow = 'nett'\n", 2, "unknown workflow"),
        ("[[change]]\nrule = 'no.such'\nseverity = 'low'\n", 2, "no rule is called"),
        (
            "[[rule]]\nid='a.b'\ntitle=''\nwhy=''\ncategory='discovery'\nseverity='low'\nmatch=[{args='('}]\n",
            7,
            "regular expression",
        ),
        (
            "# awful\n[[rule]]\nid='a.b'\ntitle='t'\nwhy='w'\ncategory='discovery'\nseverity='low'\nmatch=[\n  { on=['run'],\n    place=['kredential'] },\n]\n",
            10,
            "unknown place",
        ),
        (
            "[program.x]\nwhen = [\n  { args = 'a', workflow = 'net' },\n  { args = 'b(', workflow = 'net' },\n]\n",
            4,
            "regular expression",
        ),
        ("[[rule]]\nid='a.b'\ntitle=''\nwhy=''\ncategory='discovery'\nseverity='awful'\nmatch=[]\n", 6, "severity"),
    ] {
        let file = file(text);
        let error = Rules::load(&[file.path()]).unwrap_err();
        let RulesError::Invalid { line: at, message, .. } = &error else { panic!("{error}") };
        assert_eq!(*at, line, "{text}: {error}");
        assert!(message.contains(word), "{text}: {error}");
    }
    assert!(matches!(Rules::load(&["/nonexistent/rules.toml"]), Err(RulesError::Read { .. })));
}

#[test]
fn a_rule_that_nearly_is_there_is_offered() {
    let file = file("[[change]]\nrule = 'credential.dotenvs'\nseverity = 'low'\n");
    let text = Rules::load(&[file.path()]).unwrap_err().to_string();
    assert!(text.contains("did you mean `credential.dotenv`"), "{text}");
}

#[test]
fn later_files_win_and_say_who_they_are() {
    let change = |severity: &str| format!("[[change]]\nrule = 'destroy.power'\nseverity = '{severity}'\n");
    let of = |origin, severity: &str| RuleFile { path: "x.toml".into(), origin, text: change(severity) };
    let rules = Rules::of(vec![of(Origin::User, "high"), of(Origin::Project, "low")], None).unwrap();
    let verdict = classify(&rules, &Input { argv: Argv::from_iter(["reboot"]), ..Input::default() });
    assert_eq!(verdict.worst(), Some(Severity::Low));
    let adjusted = verdict.risks[0].adjusted.as_deref().unwrap();
    assert!(adjusted.starts_with("lowered from high to low by a rule of the project (x.toml)"), "{adjusted}");
}

#[test]
fn tests_of_rules_come_out_as_written_or_say_what_came() {
    let rules = Rules::builtin();
    let good = file(
        r#"
        [[test]]
        name = "a key"
        command = "cat ~/.ssh/id_rsa"
        label = "SystemTool"
        workflow = "SecurityOperation"
        findings = ["credential.private-key=high", "credential-access"]
        without = ["exfiltration"]

        [[test]]
        argv = ["ls", "-la"]
        severity = "none"
        "#,
    );
    let tests = Expectations::read(good.path(), &rules).unwrap();
    assert_eq!((tests.len(), tests.check(&rules)), (2, Vec::new()));

    let bad = file(
        "[[test]]\nargv = ['cat', '.env']\nat-most = 'low'\n\n[[test]]\ncommand = 'ls'\nworkflow = 'none'\nfindings = ['discovery']\n",
    );
    let failures = Expectations::read(bad.path(), &rules).unwrap().check(&rules);
    let [first, second] = failures.as_slice() else { panic!("{failures:?}") };
    assert_eq!((first.line, first.name.as_str()), (1, "cat .env"));
    assert!(
        first.wrong[0].contains("low at most expected, medium came; found: credential.dotenv (medium)"),
        "{first:?}"
    );
    assert_eq!((second.line, second.wrong.len()), (5, 2));
}

#[test]
fn a_test_that_cannot_fail_is_a_mistake() {
    let rules = Rules::builtin();
    for (text, line, word) in [
        ("[[test]]\nname = 'x'\ncommand = 'ls'\n", 1, "cannot fail"),
        ("[[test]]\nlabel = 'Tool'\n", 1, "either"),
        ("[[test]]\ncommand = 'ls'\n\nlabel = 'Tule'\n", 4, "unknown label"),
        ("[[test]]\ncommand = 'ls'\nfindings = ['credential.dotenvs']\n", 3, "no rule or category"),
        ("[[test]]\ncommand = 'ls'\nseverety = 'low'\n", 3, "unknown field"),
    ] {
        let error = Expectations::read(file(text).path(), &rules).unwrap_err();
        let RulesError::Invalid { line: at, message, .. } = &error else { panic!("{error}") };
        assert_eq!(*at, line, "{text}: {error}");
        assert!(message.contains(word), "{text}: {error}");
    }
}

#[test]
fn every_rule_shows_how_it_is_written() {
    let own = file(
        "[[rule]]\nid = 'a.b'\ntitle = 't'\nwhy = 'w'\ncategory = 'discovery'\nseverity = 'low'\nmatch = []\n\n[[path]]\nclass = 'c'\nis = []\n",
    );
    let rules = Rules::load(&[own.path()]).unwrap();
    for rule in rules.list() {
        let text = rules.written(&rule.id).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", rule.id));
        assert_eq!(table["rule"][0]["id"].as_str(), Some(rule.id.as_str()));
    }
}
