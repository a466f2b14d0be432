//! Twice as long an argument takes about twice the effort, whatever it is made of.

use capsule_core::Argv;

use super::of;
use crate::judge::classify;
use crate::rules::Rules;
use crate::verdict::Input;

/// The shapes that have broken readers of shells, in a size of one's choice.
fn shapes(n: usize) -> Vec<(&'static str, String)> {
    let mut shapes: Vec<(&'static str, String)> = [
        "$(",
        "`",
        "(",
        "{ ",
        "${x:-",
        "\"$(",
        "<(",
        "a|",
        "a;",
        "a&&",
        "sudo ",
        "env A=b ",
        "bash -c ",
        "eval ",
        "xargs ",
        "\"'",
        "\\",
        "cat <<A\n",
        "if a; then ",
        "for i in a; do ",
        "while a; do ",
        "case x in a) ",
        "f(){ f|f& };",
        "x=$x$x;",
        "{a,b}",
        "find / -exec ",
        "../",
        "/../",
        "a.",
        "%41",
        "\u{441}at ",
        "\u{202e}x ",
        "> f ",
        "2>&1 ",
        "*?[",
        "-o x ",
        "http://a.b/ ",
        "AAAA",
        "\u{0}",
    ]
    .iter()
    .map(|unit| (*unit, unit.repeat(n)))
    .collect();
    shapes.push(("closed substitutions", format!("echo {}id{}", "$(".repeat(n), ")".repeat(n))));
    shapes.push(("a host of many labels", format!("curl http://{}com/x", "a.".repeat(n))));
    shapes.push(("a path of many parts", format!("cat /{}x", "a/".repeat(n))));
    shapes.push(("a replaced mark", format!("echo {} | xargs -I{{}} echo {}", "a".repeat(n), "{}".repeat(n))));
    shapes.push(("decoded and decoded", format!("{} | base64 -d", "echo QUFB | base64 -d | ".repeat(n / 8))));
    shapes
}

/// Expansions that make more of the text than it is: what they make is bounded.
fn multiplying(n: usize) -> Vec<String> {
    vec![
        format!("x={}; echo {}", "y".repeat(n), "$x ".repeat(n)),
        format!("x={}; {}", "y".repeat(n), "echo $x >> f;".repeat(n / 4)),
        "x=$x$x$x;".repeat(n),
        format!("f(){{ g;g; }};g(){{ h;h; }};h(){{ echo {}; }};{}", "z".repeat(n), "f;".repeat(n)),
    ]
}

/// The effort of an argument vector.
fn effort(rules: &Rules, argv: &[&str]) -> u64 {
    let input = Input { argv: Argv::from_iter(argv), cwd: Some("/home/dev/project".into()), ..Input::default() };
    of(|| {
        let verdict = classify(rules, &input);
        assert!(verdict.risks.len() <= 64 && verdict.summary.len() <= 400);
    })
}

#[test]
fn effort_grows_with_the_length_and_not_faster() {
    const SMALL: usize = 1000;
    const TIMES: usize = 4;
    let rules = Rules::builtin();
    let mut wrong = Vec::new();
    for ((name, small), (_, large)) in shapes(SMALL).into_iter().zip(shapes(SMALL * TIMES)) {
        for how in [&["bash", "-c"][..], &["python3", "-c"], &["node", "-e"], &["awk"], &[]] {
            let whole = |text: &str| effort(&rules, &how.iter().copied().chain([text]).collect::<Vec<_>>());
            let (before, after) = (whole(&small), whole(&large));
            // A constant part is in both.
            if after > before * TIMES as u64 * 3 / 2 + 50_000 {
                wrong.push(format!("{how:?} {name:?}: {before} then {after}"));
            }
        }
        let words = |text: &str| effort(&rules, &text.split(' ').collect::<Vec<_>>());
        let (before, after) = (words(&small), words(&large));
        if after > before * TIMES as u64 * 3 / 2 + 50_000 {
            wrong.push(format!("as words {name:?}: {before} then {after}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_multiplies_is_bounded() {
    let rules = Rules::builtin();
    for n in [4000, 16_000, 40_000] {
        for text in multiplying(n) {
            let effort = effort(&rules, &["bash", "-c", &text]);
            assert!(effort < 16 * (2 << 20) + 200 * text.len() as u64, "{n} {:?}: {effort}", text.get(..20));
        }
    }
}

#[test]
fn effort_is_counted() {
    let rules = Rules::builtin();
    let (short, long) = (effort(&rules, &["bash", "-c", "ls"]), effort(&rules, &["bash", "-c", &"ls a; ".repeat(100)]));
    assert!(short > 0 && long > short * 20, "{short} {long}");
}
