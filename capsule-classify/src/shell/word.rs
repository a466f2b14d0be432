//! Words: quotes, escapes, expansions and substitutions.

use super::ast::{Part, Word};
use super::read::Reader;

/// Collects a word's parts, joining neighbouring text of the same kind.
#[derive(Default)]
struct Parts {
    parts: Vec<Part>,
    text: String,
    quoted: bool,
    started: bool,
}

impl Parts {
    fn push(&mut self, text: &str, quoted: bool) {
        if self.started && self.quoted != quoted {
            self.flush();
        }
        self.quoted = quoted;
        self.started = true;
        self.text.push_str(text);
    }

    fn flush(&mut self) {
        if self.started {
            self.parts.push(Part::Text { text: std::mem::take(&mut self.text), quoted: self.quoted });
            self.started = false;
        }
    }

    fn part(&mut self, part: Part) {
        self.flush();
        self.parts.push(part);
    }

    fn finish(mut self) -> Vec<Part> {
        self.flush();
        self.parts
    }
}

impl Reader<'_> {
    /// The word at the cursor; `None` where an operator, a blank or the end stands.
    pub(super) fn word(&mut self) -> Option<Word> {
        let start = self.pos;
        let mut parts = Parts::default();
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b')' => break,
                b'(' => {
                    let glob = self
                        .pos
                        .checked_sub(1)
                        .filter(|before| *before >= start)
                        .and_then(|before| self.bytes.get(before))
                        .is_some_and(|b| matches!(b, b'?' | b'*' | b'+' | b'@' | b'!'));
                    if !glob {
                        break;
                    }
                    let from = self.pos;
                    self.skip_balanced();
                    parts.push(self.text.get(from..self.pos).unwrap_or_default(), false);
                }
                b'<' | b'>' => {
                    if self.at(1) != Some(b'(') || self.too_deep() {
                        break;
                    }
                    self.pos += 2;
                    let script = self.parenthesised();
                    parts.part(Part::Process { script, output: byte == b'>' });
                }
                b'\\' => {
                    self.pos += 1;
                    if self.peek() == Some(b'\n') {
                        self.pos += 1;
                    } else {
                        let from = self.pos;
                        self.step();
                        parts.push(self.text.get(from..self.pos).unwrap_or_default(), true);
                    }
                }
                b'\'' => {
                    self.pos += 1;
                    let text = self.until_byte(b'\'');
                    parts.push(&text, true);
                }
                b'"' => {
                    self.pos += 1;
                    parts.flush();
                    let inner = self.quoted_parts(Some(b'"'));
                    if inner.is_empty() {
                        parts.push("", true);
                    }
                    for part in inner {
                        match part {
                            Part::Text { text, .. } => parts.push(&text, true),
                            other => parts.part(other),
                        }
                    }
                }
                b'$' => self.dollar(&mut parts, false),
                b'`' => {
                    let part = self.backticks(false);
                    parts.part(part);
                }
                _ => {
                    let from = self.pos;
                    while self.peek().is_some_and(|b| {
                        !matches!(
                            b,
                            b' ' | b'\t'
                                | b'\n'
                                | b'\r'
                                | b';'
                                | b'&'
                                | b'|'
                                | b'('
                                | b')'
                                | b'<'
                                | b'>'
                                | b'\\'
                                | b'\''
                                | b'"'
                                | b'$'
                                | b'`'
                        )
                    }) {
                        self.pos += 1;
                    }
                    parts.push(self.text.get(from..self.pos).unwrap_or_default(), false);
                }
            }
        }
        (self.pos > start).then(|| Word { parts: parts.finish() })
    }

    /// Moves past one character.
    fn step(&mut self) {
        self.pos += 1;
        while self.peek().is_some_and(|b| b & 0xc0 == 0x80) {
            self.pos += 1;
        }
    }

    fn until_byte(&mut self, end: u8) -> String {
        let from = self.pos;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let len = memchr(end, rest);
        self.pos = (from + len + 1).min(self.bytes.len());
        self.text.get(from..from + len).unwrap_or_default().to_owned()
    }

    /// From an opening parenthesis past the closing one.
    fn skip_balanced(&mut self) {
        let mut open = 0_u32;
        while let Some(byte) = self.peek() {
            self.pos += 1;
            match byte {
                b'(' => open += 1,
                b')' => {
                    open -= 1;
                    if open == 0 {
                        return;
                    }
                }
                b'\n' => return,
                _ => {}
            }
        }
    }

    /// Parts of text in which only `$`, backticks and backslashes mean something, up to `end` or the end of the text.
    pub(super) fn quoted_parts(&mut self, end: Option<u8>) -> Vec<Part> {
        let mut parts = Parts::default();
        while let Some(byte) = self.peek() {
            if Some(byte) == end {
                self.pos += 1;
                break;
            }
            match byte {
                b'\\' => match self.at(1) {
                    Some(b'\n') => self.pos += 2,
                    Some(b'$' | b'`' | b'"' | b'\\') => {
                        self.pos += 1;
                        parts.push(self.text.get(self.pos..=self.pos).unwrap_or_default(), true);
                        self.pos += 1;
                    }
                    _ => {
                        self.pos += 1;
                        parts.push("\\", true);
                    }
                },
                b'$' => self.dollar(&mut parts, true),
                b'`' => {
                    let part = self.backticks(true);
                    parts.part(part);
                }
                _ => {
                    let from = self.pos;
                    while self.peek().is_some_and(|b| !matches!(b, b'\\' | b'$' | b'`') && Some(b) != end) {
                        self.pos += 1;
                    }
                    parts.push(self.text.get(from..self.pos).unwrap_or_default(), true);
                }
            }
        }
        parts.finish()
    }

    /// At a `$`.
    fn dollar(&mut self, parts: &mut Parts, quoted: bool) {
        match self.at(1) {
            Some(b'(') if self.at(2) == Some(b'(') => {
                self.pos += 3;
                self.skip_arithmetic();
                parts.part(Part::Variable { name: "((".to_owned(), default: None, quoted: true });
            }
            Some(b'(') => {
                if self.too_deep() {
                    self.pos += 2;
                    parts.push("$(", quoted);
                    return;
                }
                self.pos += 2;
                let script = self.parenthesised();
                parts.part(Part::Substitution { script, quoted });
            }
            Some(b'{') => {
                self.pos += 2;
                let part = self.braced(quoted);
                parts.part(part);
            }
            Some(b'\'') if !quoted => {
                self.pos += 2;
                let text = self.ansi();
                parts.push(&text, true);
            }
            Some(b'"') if !quoted => self.pos += 1,
            Some(b) if b.is_ascii_alphabetic() || b == b'_' => {
                self.pos += 1;
                let from = self.pos;
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.pos += 1;
                }
                let name = self.text.get(from..self.pos).unwrap_or_default().to_owned();
                parts.part(Part::Variable { name, default: None, quoted });
            }
            Some(b) if b.is_ascii_digit() || matches!(b, b'@' | b'*' | b'#' | b'?' | b'!' | b'$' | b'-') => {
                self.pos += 2;
                parts.part(Part::Variable { name: char::from(b).to_string(), default: None, quoted });
            }
            _ => {
                self.pos += 1;
                parts.push("$", quoted);
            }
        }
    }

    /// After `${`.
    fn braced(&mut self, quoted: bool) -> Part {
        if self.peek().is_some_and(|b| matches!(b, b'#' | b'!')) {
            self.pos += 1;
        }
        let from = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.pos += 1;
        }
        if self.pos == from && self.peek().is_some_and(|b| b != b'}') {
            self.pos += 1;
        }
        let name = self.text.get(from..self.pos).unwrap_or_default().to_owned();
        let mut default = None;
        // The operator and its word; substitutions in it are commands that run.
        let operator = self.pos;
        while self.peek().is_some_and(|b| matches!(b, b':' | b'-' | b'=' | b'+' | b'?')) && self.pos - operator < 2 {
            self.pos += 1;
        }
        let is_default = self
            .text
            .get(operator..self.pos)
            .is_some_and(|operator| matches!(operator, "-" | ":-" | "=" | ":=" | "+" | ":+"));
        if self.too_deep() {
            while self.peek().is_some_and(|b| b != b'}') {
                self.pos += 1;
            }
        } else if self.peek() != Some(b'}') {
            self.depth += 1;
            let parts = self.brace_word();
            self.depth -= 1;
            let has_script = parts.iter().any(|part| matches!(part, Part::Substitution { .. }));
            if is_default || has_script {
                default = Some(Box::new(Word { parts }));
            }
        }
        if self.peek() == Some(b'}') {
            self.pos += 1;
        }
        Part::Variable { name, default, quoted }
    }

    fn brace_word(&mut self) -> Vec<Part> {
        let mut parts = Parts::default();
        while let Some(byte) = self.peek() {
            match byte {
                b'}' => break,
                b'\\' => {
                    self.pos += 1;
                    let from = self.pos;
                    if from < self.bytes.len() {
                        self.step();
                    }
                    parts.push(self.text.get(from..self.pos).unwrap_or_default(), true);
                }
                b'\'' => {
                    self.pos += 1;
                    let text = self.until_byte(b'\'');
                    parts.push(&text, true);
                }
                b'"' => {
                    self.pos += 1;
                    for part in self.quoted_parts(Some(b'"')) {
                        parts.part(part);
                    }
                }
                b'$' => self.dollar(&mut parts, true),
                b'`' => {
                    let part = self.backticks(true);
                    parts.part(part);
                }
                _ => {
                    let from = self.pos;
                    self.step();
                    parts.push(self.text.get(from..self.pos).unwrap_or_default(), true);
                }
            }
        }
        parts.finish()
    }

    /// `$'…'`: escapes as in C; the opening quote is taken.
    fn ansi(&mut self) -> String {
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            self.pos += 1;
            match byte {
                b'\'' => break,
                b'\\' => {
                    let Some(escape) = self.peek() else { break };
                    self.pos += 1;
                    match escape {
                        b'n' => out.push(b'\n'),
                        b't' => out.push(b'\t'),
                        b'r' => out.push(b'\r'),
                        b'a' => out.push(7),
                        b'b' => out.push(8),
                        b'e' | b'E' => out.push(27),
                        b'f' => out.push(12),
                        b'v' => out.push(11),
                        b'x' => self.number(&mut out, 16, 2, 0),
                        b'u' => self.number(&mut out, 16, 4, 0),
                        b'U' => self.number(&mut out, 16, 8, 0),
                        b'0'..=b'7' => self.number(&mut out, 8, 2, u32::from(escape - b'0')),
                        other => out.push(other),
                    }
                }
                other => out.push(other),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn number(&mut self, out: &mut Vec<u8>, radix: u32, digits: usize, start: u32) {
        let mut value = start;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(radix)) else { break };
            value = value.saturating_mul(radix).saturating_add(digit);
            self.pos += 1;
        }
        match u8::try_from(value) {
            Ok(byte) => out.push(byte),
            Err(_large) => {
                let c = char::from_u32(value).unwrap_or('\u{fffd}');
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    /// At an opening backtick.
    fn backticks(&mut self, quoted: bool) -> Part {
        self.pos += 1;
        let mut inner = Vec::new();
        while let Some(byte) = self.peek() {
            self.pos += 1;
            match byte {
                b'`' => break,
                b'\\' if self.peek().is_some_and(|b| matches!(b, b'`' | b'\\' | b'$')) => {
                    inner.extend(self.peek());
                    self.pos += 1;
                }
                other => inner.push(other),
            }
        }
        let text = String::from_utf8_lossy(&inner).into_owned();
        if self.too_deep() {
            return Part::Text { text, quoted: true };
        }
        let mut reader = Reader::new(&text, self.depth + 8);
        let script = reader.list(super::read::End::Text);
        Part::Substitution { script, quoted }
    }
}

fn memchr(needle: u8, haystack: &[u8]) -> usize {
    let at = haystack.iter().position(|b| *b == needle).unwrap_or(haystack.len());
    crate::effort::spent(at);
    at
}
