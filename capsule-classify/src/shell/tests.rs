//! What the reader must see, and what it must survive.

use super::{Command, GroupKind, Script, parse};

/// The programs of all simple commands, in order, bodies included.
fn programs(script: &Script) -> Vec<String> {
    let mut out = Vec::new();
    for item in &script.items {
        for command in &item.commands {
            match command {
                Command::Simple(simple) => out.extend(simple.words.first().map(super::Word::flat)),
                Command::Group(group) => {
                    if let GroupKind::Function(name) = &group.kind {
                        out.push(format!("{name}()"));
                    }
                    out.extend(programs(&group.body));
                }
            }
        }
    }
    out
}

fn check(text: &str, expect: &[&str]) {
    assert_eq!(programs(&parse(text)), expect, "{text}");
}

#[test]
fn commands_are_found_in_every_construct() {
    check("cd /x && git log --oneline | head -5; FOO=bar make", &["cd", "git", "head", "make"]);
    check("if test -f x; then cat x; elif y; then z; else rm x; fi; echo", &["test", "cat", "y", "z", "rm", "echo"]);
    check("for f in *.c; do gcc \"$f\"; done | tee log", &["gcc", "tee"]);
    check("while read -r l; do echo $l; done < f", &["read", "echo"]);
    check("case $x in a|b) foo;; (c) bar ;; *) baz; esac; end", &[":", "foo", "bar", "baz", "end"]);
    check("f() { rm x; }; function g { ls; }; f", &["f()", "rm", "g()", "ls", "f"]);
    check("(cd a; ls) & { b; } || c", &["cd", "ls", "b", "c"]);
    check("[[ -f x && $y == z ]] && go build", &["test", "go"]);
    check("! grep x y", &["grep"]);
    check("time -p make", &["make"]);
    check("(( x + 1 )); ls", &["ls"]);
    check("a=(1 2 3) ; b", &["b"]);
    check(":(){ :|:& };:", &[":()", ":", ":", ":"]);
    check("ls # rm -rf /", &["ls"]);
    check("echo a#b", &["echo"]);
    check("cmd 2>&1 >/dev/null | next", &["cmd", "next"]);
}

#[test]
fn documents_are_text_and_not_commands() {
    check("cat <<'EOF' > x\nrm -rf /\nEOF\necho done", &["cat", "echo"]);
    check("cat <<-A; cat <<B\n\tx\n\tA\ny\nB\nls", &["cat", "cat", "ls"]);
    check("git commit -m \"$(cat <<'EOF'\nfix: it's (done)\nEOF\n)\" && git push", &["git", "git"]);
    check("cat << EOF", &["cat"]);
}

#[test]
fn hostile_text_ends_soon() {
    for text in [
        format!("echo {}id{}", "$(".repeat(10_000), ")".repeat(10_000)),
        "(".repeat(100_000),
        "{ ".repeat(50_000),
        "if true; then ".repeat(10_000),
        "case x in (".repeat(10_000),
        "`".repeat(9_999),
        "echo `\\`".repeat(5_000),
        "${".repeat(50_000),
        "${a:-".repeat(20_000),
        "f() ".repeat(20_000),
        "$((".repeat(20_000),
        "x=(".repeat(20_000),
        "<(".repeat(20_000),
        "\"$(".repeat(20_000),
        "cat <<A ".repeat(20_000),
        format!("echo '{}", "a".repeat(200_000)),
        "for ".repeat(20_000),
        "[[ ".repeat(20_000),
        "!(".repeat(50_000),
        "!".repeat(50_000),
    ] {
        let script = parse(&text);
        assert!(script.items.len() <= text.len());
    }
}
