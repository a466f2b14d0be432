//! Expansion of words: variables, substitutions, braces.

use std::rc::Rc;

use super::{Eval, heavier};
use crate::flow::{Arg, Flow, Taint};
use crate::shell::{Part, Word};

/// How many words one brace expression may make.
const BRACES: usize = 64;

impl Eval<'_> {
    /// The arguments that a word comes to.
    pub(crate) fn expand(&mut self, word: &Word) -> Vec<Arg> {
        if let [Part::Text { text, quoted }] = word.parts.as_slice() {
            if !*quoted && text.contains('{') && text.contains(['}', ',']) {
                return braces(text).into_iter().map(|text| Arg { text, ..Arg::default() }).collect();
            }
            return vec![Arg::plain(text)];
        }
        let mut out: Vec<Arg> = Vec::new();
        let mut current = Arg::default();
        let mut open = false;
        for part in &word.parts {
            match part {
                Part::Text { text, .. } => {
                    current.text.push_str(text);
                    open = true;
                }
                Part::Variable { name, default, quoted } => {
                    if name == "IFS" {
                        if !quoted {
                            out.push(std::mem::take(&mut current));
                            open = false;
                        }
                        continue;
                    }
                    let mut flow = self.variable(name, default.as_deref());
                    self.bound(&mut flow);
                    current.taint = current.taint.and(flow.taint);
                    match flow.text {
                        Some(text) if !*quoted && text.contains([' ', '\n', '\t']) => {
                            let mut pieces = text.split_whitespace().peekable();
                            while let Some(piece) = pieces.next() {
                                current.text.push_str(piece);
                                if pieces.peek().is_some() {
                                    let taint = current.taint;
                                    out.push(std::mem::take(&mut current));
                                    current.taint = taint;
                                }
                            }
                        }
                        Some(text) => current.text.push_str(&text),
                        None => {
                            current.text.push('$');
                            current.text.push_str(name);
                            current.dynamic = true;
                        }
                    }
                    open = true;
                }
                Part::Substitution { script, quoted } => {
                    let saved = self.inner;
                    let done = if self.depth + 1 < super::MAX_DEPTH {
                        self.depth += 1;
                        let done = self.script(script, &Flow::default(), 0);
                        self.depth -= 1;
                        done
                    } else {
                        super::Done::default()
                    };
                    self.inner = heavier(saved, done.work);
                    current.taint = current.taint.and(done.out.taint);
                    let mut out_flow = done.out;
                    self.bound(&mut out_flow);
                    match out_flow.text {
                        Some(text) if *quoted => current.text.push_str(text.trim_end_matches('\n')),
                        Some(text) => {
                            let mut pieces = text.split_whitespace().peekable();
                            while let Some(piece) = pieces.next() {
                                current.text.push_str(piece);
                                if pieces.peek().is_some() {
                                    let taint = current.taint;
                                    out.push(std::mem::take(&mut current));
                                    current.taint = taint;
                                }
                            }
                        }
                        None => {
                            current.text.push_str("$()");
                            current.dynamic = true;
                        }
                    }
                    open = true;
                }
                Part::Process { script, output } => {
                    let saved = self.inner;
                    self.depth += 1;
                    let done = self.script(script, &Flow::default(), 0);
                    self.depth -= 1;
                    self.inner = heavier(saved, done.work);
                    let text = if *output { "/dev/fd/62".to_owned() } else { "/dev/fd/63".to_owned() };
                    current.taint = current.taint.and(done.out.taint);
                    // What it says can be read like a file.
                    if !*output {
                        self.files.insert(text.clone(), done.out);
                    }
                    current.text.push_str(&text);
                    current.dynamic = true;
                    open = true;
                }
            }
        }
        if open {
            out.push(current);
        }
        crate::effort::spent(out.iter().map(|arg| arg.text.len()).sum());
        out
    }

    /// Keeps text that is repeated again and again from filling the memory.
    fn bound(&mut self, flow: &mut Flow) {
        let length = flow.text.as_deref().map_or(0, str::len);
        self.expanded += length;
        if self.expanded > super::EXPANDED {
            flow.text = None;
        } else {
            crate::effort::spent(length);
        }
    }

    fn variable(&mut self, name: &str, default: Option<&Word>) -> Flow {
        if let Some(flow) = self.vars.get(name) {
            return flow.clone();
        }
        if let Some(word) = default {
            let parts = self.expand(word);
            let taint = parts.iter().fold(Taint::NONE, |all, part| all.and(part.taint));
            let text = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" ");
            return Flow { taint, text: Some(Rc::from(text)), present: true };
        }
        match name {
            "HOME" => Flow::literal("~"),
            "PWD" => match &self.cwd {
                Some(cwd) => Flow::literal(cwd),
                None => Flow::literal("."),
            },
            "TMPDIR" => Flow::literal("/tmp"),
            "SHELL" | "BASH" => Flow::literal("/bin/bash"),
            "HOSTNAME" | "USER" | "LOGNAME" => Flow { taint: Taint::HOST, text: None, present: true },
            _ => {
                // A variable named after a secret holds one.
                let secret = name.len() > 4
                    && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
                    && ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"]
                        .iter()
                        .any(|part| name.contains(part));
                Flow { taint: if secret { Taint::SENSITIVE } else { Taint::NONE }, text: None, present: true }
            }
        }
    }
}

/// `a{b,c}d` → `abd acd`; `{1..9}` and everything unusual stays as it is.
fn braces(text: &str) -> Vec<String> {
    let mut done = vec![String::new()];
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('{') {
        for one in &mut done {
            one.push_str(head);
        }
        let Some((inside, after)) = tail.split_once('}') else {
            for one in &mut done {
                one.push('{');
            }
            rest = tail;
            continue;
        };
        if !inside.contains(',') || inside.contains('{') || done.len() * inside.split(',').count() > BRACES {
            for one in &mut done {
                one.push('{');
            }
            rest = tail;
            continue;
        }
        let mut next = Vec::new();
        for choice in inside.split(',') {
            for one in &done {
                next.push(format!("{one}{choice}"));
            }
        }
        done = next;
        rest = after;
    }
    for one in &mut done {
        one.push_str(rest);
    }
    done.retain(|one| !one.is_empty());
    done
}

#[cfg(test)]
mod tests {
    use super::braces;

    #[test]
    fn braces_make_words_and_odd_ones_stay() {
        assert_eq!(braces("{cat,/etc/shadow}"), ["cat", "/etc/shadow"]);
        assert_eq!(braces("src/{a,b}.rs"), ["src/a.rs", "src/b.rs"]);
        assert_eq!(braces("{}"), ["{}"]);
        assert_eq!(braces("a{1..3}"), ["a{1..3}"]);
        assert_eq!(braces("{a"), ["{a"]);
        assert!(braces(&"{a,b}".repeat(200)).len() <= 64);
    }
}
