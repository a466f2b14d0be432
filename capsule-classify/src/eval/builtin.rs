//! The shell's own commands and the small change of scripts: what they do to variables, directories and what follows.

use std::rc::Rc;

use super::{Done, Eval, MAX_DEPTH};
use crate::flow::{Arg, Flow, Taint};
use crate::place::Classes;
use crate::risk::{Verb, flag};

impl Eval<'_> {
    /// A variable is set: rules know some by name.
    pub(crate) fn assignment(&mut self, name: &str, value: &str, taint: Taint, flags: u32) {
        if self.rules.risks.knows("(assign)") {
            let arg = Arg::plain(&format!("{name}={value}"));
            self.judge(Verb::Run, name, Classes::default(), taint, flags, "(assign)", Some(value), &[arg]);
        }
    }

    pub(crate) fn builtin(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, piped: bool) -> Option<Done> {
        let rest = args.get(1..).unwrap_or_default();
        Some(match name {
            ":" | "true" | "false" | "sleep" | "wait" | "test" | "[" | "[[" | "return" | "exit" | "break"
            | "continue" | "shift" | "shopt" | "hash" | "getopts" | "let" | "set" | "unset" | "trap" | "umask"
            | "ulimit" | "disown" | "bg" | "fg" | "logout" | "unalias" | "bind" | "complete" | "compgen" | "setopt"
            | "unsetopt" | "autoload" | "zmodload" | "emulate" | "enable" | "usleep" => Done::plumbing(),
            "cd" | "pushd" | "popd" => {
                let back = name == "popd" || name == "cd" && rest.iter().any(|arg| arg.text == "-" && !arg.dynamic);
                if back {
                    std::mem::swap(&mut self.cwd, &mut self.cwd_before);
                } else if let Some(to) = rest.iter().find(|arg| !arg.text.starts_with('-')) {
                    self.cwd_before.clone_from(&self.cwd);
                    if to.dynamic {
                        self.cwd = None;
                    } else {
                        self.cwd = Some(self.at(&to.text).into_owned());
                    }
                } else if name == "cd" {
                    self.cwd_before.clone_from(&self.cwd);
                    self.cwd = Some("~".to_owned());
                }
                Done::plumbing()
            }
            "export" | "declare" | "typeset" | "local" | "readonly" => {
                for arg in rest {
                    if let Some((variable, value)) = arg.text.split_once('=') {
                        self.assignment(variable, value, arg.taint, flags);
                        let text = (!arg.dynamic).then(|| Rc::from(value));
                        if self.vars.len() < 1024 {
                            self.vars.insert(variable.to_owned(), Flow { taint: arg.taint, text, present: true });
                        }
                    }
                }
                let mut done = Done::plumbing();
                if rest.is_empty() || rest.iter().all(|arg| arg.text.starts_with('-')) {
                    done.out.taint = Taint::SENSITIVE;
                }
                done
            }
            "echo" | "printf" => self.echo(name, rest),
            "read" | "mapfile" | "readarray" => {
                // Whoever reads lines from elsewhere does so in a loop.
                let mut line = stdin.clone();
                if line.present && name == "read" {
                    line.taint = line.taint.and(Taint::MANY);
                }
                for arg in rest.iter().filter(|arg| !arg.text.starts_with('-')) {
                    if self.vars.len() < 1024 {
                        self.vars.insert(arg.text.clone(), line.clone());
                    }
                }
                if rest.is_empty() {
                    self.vars.insert("REPLY".to_owned(), stdin.clone());
                }
                Done::plumbing()
            }
            "eval" => {
                let taint = rest.iter().fold(Taint::NONE, |all, arg| all.and(arg.taint));
                let text = rest.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
                let dynamic = rest.iter().any(|arg| arg.dynamic);
                if taint != Taint::NONE {
                    self.deed(Verb::Execute, "eval", taint, flags, "eval", Some(&text));
                }
                if dynamic && text.starts_with("$()") { Done::plumbing() } else { self.shell_text(&text, stdin, flags) }
            }
            "source" | "." => {
                let Some(file) = rest.iter().find(|arg| !arg.text.starts_with("--")) else {
                    return Some(Done::plumbing());
                };
                let flow = self.written(&file.text).cloned().unwrap_or_default();
                let flow = if file.text == "/dev/stdin" { stdin.clone() } else { flow };
                let taint = flow.taint.and(file.taint);
                let classes = self.path_classes(&file.text);
                self.judge(
                    Verb::Execute,
                    &file.text,
                    classes,
                    taint,
                    flags | flag::SCRIPT,
                    "source",
                    flow.text.as_deref(),
                    &[],
                );
                if let Some(text) = flow.text
                    && self.depth + 2 < MAX_DEPTH
                {
                    let inner = self.shell_text(&text, stdin, flags);
                    return Some(Done { plumbing: inner.work.is_none(), work: inner.work, ..Done::plumbing() });
                }
                if self.rules.places.is_secret(self.path_classes(&file.text)) {
                    return Some(Done::plumbing());
                }
                Done::plumbing()
            }
            "alias" => Done::plumbing(),
            "history" | "fc" if !rest.iter().any(|arg| arg.text.starts_with("-c") || arg.text.starts_with("-w")) => {
                let _ = piped;
                Done::work(Some(capsule_core::Workflow::SystemExploration)).with(Taint::SENSITIVE)
            }
            "whoami" | "id" | "hostname" | "uname" | "hostnamectl" | "ifconfig" => {
                Done::work(Some(capsule_core::Workflow::SystemExploration)).with(Taint::HOST)
            }
            "pgrep" | "pidof" | "pidofproc" | "ps" | "pstree" => {
                let taint = match name {
                    _ if rest.iter().any(|arg| crate::recorder::is_named(&arg.text)) => Taint::RECORDER,
                    "ps" | "pstree" => Taint::PROCESSES,
                    _ if rest.iter().any(|arg| matches!(arg.text.as_str(), "-a" | "-l" | "-af" | "-fa")) => {
                        Taint::PROCESSES
                    }
                    _ => Taint::NONE,
                };
                Done::work(Some(capsule_core::Workflow::SystemExploration)).with(taint)
            }
            "which" | "type" => {
                let mut done = Done::work(Some(capsule_core::Workflow::SystemExploration));
                if let [one] = rest
                    && !one.dynamic
                {
                    done.out = Flow::literal(&one.text);
                }
                done
            }
            "printenv" => {
                let taint = if rest.is_empty() { Taint::SENSITIVE } else { Taint::NONE };
                Done::work(Some(capsule_core::Workflow::SystemExploration)).with(taint)
            }
            "mysqldump" | "pg_dump" | "pg_dumpall" | "mongodump" | "mariadb-dump" | "mongoexport" | "mydumper" => {
                Done::work(None).with(Taint::DUMP)
            }
            _ => return None,
        })
    }

    fn echo(&mut self, name: &str, rest: &[Arg]) -> Done {
        let mut escapes = name == "printf";
        let mut words = rest;
        if name == "echo" {
            while let Some((first, tail)) = words.split_first() {
                match first.text.as_str() {
                    "-n" | "-E" => words = tail,
                    "-e" | "-ne" | "-en" => {
                        escapes = true;
                        words = tail;
                    }
                    _ => break,
                }
            }
        }
        let taint = words.iter().fold(Taint::NONE, |all, arg| all.and(arg.taint));
        let dynamic = words.iter().any(|arg| arg.dynamic);
        let mut text = if name == "printf" {
            format_text(words)
        } else {
            words.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        let mut hidden = Taint::NONE;
        if escapes && text.contains('\\') {
            let (plain, spelled) = unescape(&text);
            if spelled > 1 {
                hidden = Taint::HIDDEN;
            }
            text = plain;
        }
        let mut done = Done::plumbing();
        done.out = Flow::literal(&text);
        done.out.taint = taint.and(hidden);
        if dynamic && text.starts_with("$()") && words.len() == 1 {
            done.out.text = None;
        }
        done
    }
}

/// `printf` with `%s` filled in.
fn format_text(words: &[Arg]) -> String {
    let Some((format, values)) = words.split_first() else { return String::new() };
    let mut out = String::new();
    let mut values = values.iter();
    if values.len() > 1 && format.text == "%s" {
        // The format is used again for each value.
        return values.map(|value| value.text.as_str()).collect();
    }
    let mut chars = format.text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '%' {
            match chars.peek() {
                Some('s' | 'b') => {
                    chars.next();
                    if let Some(value) = values.next() {
                        out.push_str(&value.text);
                    }
                    continue;
                }
                Some('%') => {
                    chars.next();
                }
                _ => {}
            }
        }
        out.push(c);
    }
    for value in values {
        out.push(' ');
        out.push_str(&value.text);
    }
    out
}

/// `\n`, `\t`, `\xHH`, `\0NNN`; with how many letters and digits were spelled as numbers, for which there is no need:
/// quotes, colours and control characters are.
pub(crate) fn unescape(text: &str) -> (String, usize) {
    let mut spelled = 0;
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some(escape) = bytes.get(at) else { break };
        at += 1;
        let digits = |from: usize, radix: u32, most: usize| {
            let mut value = 0_u32;
            let mut len = 0;
            while len < most {
                match bytes.get(from + len).and_then(|b| char::from(*b).to_digit(radix)) {
                    Some(digit) => value = value * radix + digit,
                    None => break,
                }
                len += 1;
            }
            (u8::try_from(value & 0xff).unwrap_or(0), len)
        };
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let (value, len) = digits(at, 16, 2);
                at += len;
                spelled += usize::from(value.is_ascii_alphanumeric());
                out.push(value);
            }
            b'0'..=b'7' => {
                let start = if *escape == b'0' { at } else { at - 1 };
                let (value, len) = digits(start, 8, 3);
                at = start + len;
                spelled += usize::from(value.is_ascii_alphanumeric());
                out.push(value);
            }
            other => {
                out.push(b'\\');
                out.push(*other);
            }
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), spelled)
}
