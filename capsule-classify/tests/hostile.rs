//! Arguments are hostile: any bytes, any length, any nesting, and still a verdict.

use capsule_classify::{Input, Rules, classify};
use capsule_core::Argv;
use proptest::prelude::*;

fn rules() -> &'static Rules {
    static RULES: std::sync::OnceLock<Rules> = std::sync::OnceLock::new();
    RULES.get_or_init(Rules::builtin)
}

fn judge(rules: &Rules, argv: &[&[u8]]) {
    let verdict = classify(rules, &Input { argv: Argv::from_iter(argv), cwd: Some("/x".into()), ..Input::default() });
    assert!(verdict.summary.len() <= 400, "{}", verdict.summary.len());
    assert!(!verdict.summary.chars().any(char::is_control));
    assert!(verdict.risks.len() <= 64);
}

#[test]
fn long_and_deep_arguments_get_a_verdict() {
    let rules = Rules::builtin();
    for text in [
        format!("echo {}id{}", "$(".repeat(10_000), ")".repeat(10_000)),
        "(".repeat(131_072),
        "a".repeat(131_072),
        "sudo ".repeat(26_000),
        "bash -c ".repeat(16_000),
        "eval ".repeat(26_000),
        "a|".repeat(65_000),
        "a;".repeat(65_000),
        "x=$x$x;".repeat(18_000),
        "f(){ f|f& };".repeat(10_000),
        "f(){ g;g; };g(){ h;h; };h(){ i;i; };i(){ f;f; };f".to_owned(),
        "{a,b}".repeat(26_000),
        "cat <<A\n".repeat(16_000),
        "echo x > f; cat f > g; cat g >> f;".repeat(3_000),
        "find / -exec ".repeat(9_000),
        "\"'`\\".repeat(32_000),
        "python3 -c 'exec(\"'".repeat(6_000),
        "/../".repeat(30_000),
        "base64 -d <<< QUFB | ".repeat(5_000),
        "xargs ".repeat(20_000),
        format!("x={}; echo {}", "y".repeat(30_000), "$x".repeat(40_000)),
        format!("x={}; {}", "y".repeat(30_000), "echo $x >> f;".repeat(7_000)),
        format!("find {} -exec echo {} \\;", "a".repeat(60_000), "{}".repeat(30_000)),
        format!("echo {} | xargs -I{{}} echo {}", "a".repeat(60_000), "{}".repeat(30_000)),
        format!("printf %s {}", "a ".repeat(60_000)),
        "'a'+".repeat(30_000),
    ] {
        judge(&rules, &[b"bash", b"-c", text.as_bytes()]);
        judge(&rules, &[text.as_bytes()]);
        judge(&rules, &[b"python3", b"-c", text.as_bytes()]);
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        judge(&rules, &words);
    }
}

#[test]
fn bytes_that_are_not_text_get_a_verdict() {
    let rules = Rules::builtin();
    judge(&rules, &[b"\xff\xfe", b"\x1b[2J", b"", b"\xe2\x80\xae"]);
    judge(&rules, &[b""]);
    judge(&rules, &[]);
    judge(&rules, &[b"[kworker/0:1]"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_shell_text_gets_a_verdict(text in "[a-z \\$\\(\\)\\{\\}`'\"|&;<>\\\\\n=/*~#!-]{0,300}") {
        judge(rules(), &[b"bash", b"-c", text.as_bytes()]);
    }
}
