//! What was asked, in one line: the command without the wrapping that agents put around it.

use capsule_core::{Label, escape_terminal};

use crate::rules::Rules;

/// The longest summary, in bytes.
const LONGEST: usize = 400;

/// The summary, and whether something was looked through.
pub(crate) fn of(rules: &Rules, texts: &[String], label: Label, name: &str) -> (String, bool) {
    let _ = rules;
    if crate::eval::is_shell(name)
        && let Some(code) = shell_code(texts)
    {
        let asked = unwrap_agent(code);
        return (one_line(&asked), true);
    }
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(' ');
            out.push_str(&quoted(text));
        } else {
            out.push_str(crate::knowledge::plain_name(text));
        }
        if out.len() > LONGEST * 4 {
            break;
        }
    }
    (one_line(&out), label == Label::SystemTool && texts.len() > 1)
}

/// The text behind a shell's `-c`.
fn shell_code(texts: &[String]) -> Option<&str> {
    let mut wants = false;
    for text in texts.iter().skip(1) {
        if text.starts_with('-') && text.len() > 1 || text.starts_with('+') {
            wants |= !text.starts_with("--") && text.contains('c');
            continue;
        }
        return wants.then_some(text.as_str());
    }
    None
}

/// The command inside an agent's own wrapping.
pub(crate) fn unwrap_agent(code: &str) -> String {
    // What writes that snapshot wraps nothing: the words below are in its comments.
    if code.trim_start().starts_with("SNAPSHOT_FILE=") {
        return code.to_owned();
    }
    // Claude Code: snapshot, then `eval '…'`, then the directory.
    if code.contains("shell-snapshots/") || code.contains("-cwd") && code.contains("eval ") {
        if let Some((_, rest)) = code.split_once("eval '") {
            let mut out = String::new();
            let mut rest = rest;
            loop {
                let Some((head, tail)) = rest.split_once('\'') else {
                    out.push_str(rest);
                    return out;
                };
                out.push_str(head);
                // A quote within: '"'"' or '\''.
                if let Some(more) = tail.strip_prefix("\"'\"'") {
                    out.push('\'');
                    rest = more;
                } else if let Some(more) = tail.strip_prefix("\\''") {
                    out.push('\'');
                    rest = more;
                } else {
                    return out;
                }
            }
        }
        if let Some((_, rest)) = code.split_once("eval \"") {
            return rest.split("\" <").next().unwrap_or(rest).to_owned();
        }
        if let Some((_, rest)) = code.split_once("eval ") {
            let rest = rest.split(" \\< /dev/null").next().unwrap_or(rest);
            return rest.split(" && pwd -P").next().unwrap_or(rest).replace("\\ ", " ");
        }
    }
    // Codex: its snapshot ends in `exec '/bin/bash' -c '…'`.
    if code.contains("__CODEX_SNAPSHOT")
        && let Some((_, rest)) = code.rsplit_once("-c '")
        && code.contains("exec ")
    {
        return rest.trim_end().trim_end_matches('\'').replace("'\"'\"'", "'").replace("'\\''", "'");
    }
    // Gemini: a subshell between a trap and the exit code; older: braces and pgrep.
    if code.contains("_bgpids_file=")
        && let Some((_, rest)) = code.split_once("EXIT\n")
        && let Some((asked, _)) = rest.rsplit_once("\n)\n")
    {
        return asked.to_owned();
    }
    if code.contains("__code=$?") {
        if let Some((asked, _)) = code.split_once("; }; __code=$?") {
            return asked.strip_prefix("{ ").unwrap_or(asked).to_owned();
        }
        if let Some((asked, _)) = code.split_once("\n__code=$?") {
            return asked.trim_start_matches("{\n").trim_end_matches("\n}").to_owned();
        }
    }
    code.to_owned()
}

fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:=@%+,~^#".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// One line, safe on a terminal, at most [`LONGEST`] bytes.
pub(crate) fn one_line(text: &str) -> String {
    let text = text.trim();
    let mut short = String::new();
    for c in text.chars().take(LONGEST * 2) {
        short.push(c);
    }
    let safe = escape_terminal(short.as_bytes());
    if safe.len() <= LONGEST {
        return safe;
    }
    let mut out = String::with_capacity(LONGEST);
    for c in safe.chars() {
        if out.len() + c.len_utf8() + 3 > LONGEST {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_command_is_found_inside_every_agents_wrapping() {
        for (code, asked) in [
            (
                "source /h/.claude/shell-snapshots/s.sh 2>/dev/null || true && shopt -u extglob && eval 'echo '\"'\"'a b'\"'\"' | wc' < /dev/null && pwd -P >| /tmp/claude-1-cwd",
                "echo 'a b' | wc",
            ),
            (
                "source /h/.claude/shell-snapshots/s.sh && eval 'npm test -- --run' \\< /dev/null && pwd -P >| /tmp/claude-77aa-cwd",
                "npm test -- --run",
            ),
            (
                "{ git log --oneline -5; }; __code=$?; pgrep -g 0 >/tmp/x.tmp 2>&1; exit $__code;",
                "git log --oneline -5",
            ),
            ("shopt -u x; _bgpids_file=/tmp/b\n(\n  trap 'x' EXIT\nls -l\n)\n__code=$?\nexit $__code", "ls -l"),
            ("ls", "ls"),
            (
                "SNAPSHOT_FILE=/h/.claude/shell-snapshots/s.sh\n# One eval per function",
                "SNAPSHOT_FILE=/h/.claude/shell-snapshots/s.sh\n# One eval per function",
            ),
        ] {
            assert_eq!(unwrap_agent(code), asked);
        }
    }

    #[test]
    fn summaries_are_one_short_safe_line() {
        let long = one_line(&"é\n".repeat(1000));
        assert!(long.len() <= LONGEST && !long.contains('\n'));
        assert_eq!(one_line("a\x1b[2Jb"), "a\\e[2Jb");
    }
}
