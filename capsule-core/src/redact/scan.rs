//! Finds secrets in one text: at each hit of the automaton the text around it, then its shell words.

use super::Span;
use super::names;
use super::patterns::{self, Alphabet, FORMATS, SecretWord, Trigger};
use super::programs::{self, Quoting};
use super::values::{self, Joint};
use super::words::{self, ShellCommand};

/// How deep shell text inside shell text is read.
const DEPTH: u8 = 4;

/// How far a name may reach before its secret-like word.
const NAME_REACH: usize = 64;

/// How much of a value is judged. One that is found to be a secret is replaced to its end, however long.
const VALUE_REACH: usize = 1024;

/// Finds the secrets in `text`, quoted ones too.
pub(super) fn text(text: &[u8], spans: &mut Vec<Span>) {
    nested(text, DEPTH, &mut |span| spans.push(span));
}

fn nested(text: &[u8], depth: u8, found: &mut dyn FnMut(Span)) {
    if text.len() < 4 || !patterns::may_hold_secret(text) {
        return;
    }
    Scan { text, runs: [(0, 0); Alphabet::COUNT], done: 0 }.run(found);
    if depth == 0 || !text.iter().any(u8::is_ascii_whitespace) {
        return;
    }
    let commands = words::commands(text);
    for (index, command) in commands.iter().enumerate() {
        in_command(command, commands.get(index + 1), found);
        for word in command.words.iter().filter(|word| word.quoted) {
            nested(&word.text, depth - 1, &mut |span| found(at_source(span, &word.at)));
        }
    }
}

fn in_command(command: &ShellCommand, next: Option<&ShellCommand>, found: &mut dyn FnMut(Span)) {
    let plain: Vec<&[u8]> = command.words.iter().map(|word| word.text.as_slice()).collect();
    let mut report = |index: usize, span: Span| {
        if let Some(word) = command.words.get(index) {
            found(at_source(span, &word.at));
        }
    };
    programs::secrets(&plain, Quoting::Source, &mut report);
    if let Some(next) = next.filter(|_| command.piped) {
        let reader: Vec<&[u8]> = next.words.iter().map(|word| word.text.as_slice()).collect();
        if programs::reads_secret(&reader) {
            programs::echoed(&plain, &mut report);
        }
    }
}

/// A span of an unquoted word, as a span of the text that it was unquoted from.
fn at_source(span: Span, at: &[usize]) -> Span {
    let start = at.get(span.start).copied().unwrap_or(usize::MAX);
    let last = span.end.checked_sub(1).and_then(|last| at.get(last)).copied().unwrap_or(0);
    Span { start, end: last.saturating_add(1), kind: span.kind }
}

struct Scan<'a> {
    text: &'a [u8],
    /// The last run of each alphabet that was measured: its first measured byte, and its end.
    runs: [(usize, usize); Alphabet::COUNT],
    /// Everything before is dealt with.
    done: usize,
}

impl Scan<'_> {
    fn run(&mut self, found: &mut dyn FnMut(Span)) {
        for (start, end, trigger) in patterns::hits(self.text) {
            if start < self.done {
                continue;
            }
            let span = match trigger {
                Trigger::Format(index) => self.format(index, start, end),
                Trigger::Jwt => self.jwt(start, end),
                Trigger::Pem => self.pem(start, end),
                Trigger::Url => self.url(end),
                Trigger::Bearer => self.bearer(end),
                Trigger::Telegram => self.telegram(start, end),
                Trigger::Sql => self.sql(end),
                Trigger::Name(SecretWord::Authorization) => self.authorization(end),
                Trigger::Name(word) => self.named(word, start, end),
                Trigger::Tag => {
                    let tag = self.text.get(start..).filter(|rest| super::starts_with_tag(rest)).unwrap_or_default();
                    self.done += memchr::memchr(b']', tag).map_or(0, |at| start + at + 1 - self.done);
                    None
                }
                Trigger::Program => None,
            };
            if let Some(span) = span {
                self.done = span.end.max(self.done);
                found(span);
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|before| self.byte(before))
    }

    fn part(&self, start: usize, end: usize) -> &[u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Where the run of `alphabet` that covers `start` ends. Each byte is looked at once per alphabet.
    fn run_end(&mut self, start: usize, alphabet: Alphabet) -> usize {
        let Some(run) = self.runs.get_mut(alphabet as usize) else { return start };
        if !(run.0..run.1).contains(&start) {
            let rest = self.text.get(start..).unwrap_or_default();
            let length = rest.iter().position(|b| !alphabet.has(*b)).unwrap_or(rest.len());
            *run = (start, start + length);
        }
        run.1
    }

    /// Whether a letter or digit stands before `at`. (After a backslash it is part of an escape: `\nAKIA…`.)
    fn is_inside_word(&self, at: usize) -> bool {
        self.before(at).is_some_and(|b| b.is_ascii_alphanumeric()) && !(at >= 2 && self.byte(at - 2) == Some(b'\\'))
    }

    fn format(&mut self, index: usize, start: usize, end: usize) -> Option<Span> {
        let format = FORMATS.get(index)?;
        if self.part(start, end) != format.prefix.as_bytes() {
            return None;
        }
        if format.apart && self.is_inside_word(start) {
            return None;
        }
        let stop = self.run_end(end, format.alphabet);
        if stop - end < format.min {
            return None;
        }
        // The end of a long run is not looked at: a digit comes early in a random key.
        let head = self.part(end, stop.min(end + 256));
        (!format.digit || head.iter().any(u8::is_ascii_digit)).then_some(Span { start, end: stop, kind: format.kind })
    }

    /// `header.payload.signature` (RFC 7519); the first two begin with `{"` in base64url.
    fn jwt(&mut self, start: usize, end: usize) -> Option<Span> {
        if self.part(start, end) != b"eyJ" || self.is_inside_word(start) {
            return None;
        }
        let first = self.run_end(start, Alphabet::Word);
        if first - start < 12 || !self.text.get(first..).is_some_and(|rest| rest.starts_with(b".eyJ")) {
            return None;
        }
        let second = self.run_end(first + 1, Alphabet::Word);
        let end = if self.byte(second) == Some(b'.') { self.run_end(second + 1, Alphabet::Word) } else { second };
        Some(Span { start, end: end.max(second), kind: "jwt" })
    }

    fn pem(&self, start: usize, end: usize) -> Option<Span> {
        let label = self.part(end, (end + 64).min(self.text.len()));
        let close = memchr::memmem::find(label, b"-----")?;
        memchr::memmem::find(label.get(..close)?, b"PRIVATE KEY")?;
        let body = end + close + 5;
        let rest = self.text.get(body..)?;
        let stop = match memchr::memmem::find(rest, b"-----END") {
            Some(at) => {
                let tail = rest.get(at + 8..).unwrap_or_default();
                let label = tail.get(..tail.len().min(64)).unwrap_or_default();
                body + at + 8 + memchr::memmem::find(label, b"-----").map_or(0, |at| at + 5)
            }
            None => self.text.len(),
        };
        Some(Span { start, end: stop, kind: "private-key" })
    }

    /// The password in `scheme://user:password@host`, or a token in the user's place.
    fn url(&self, end: usize) -> Option<Span> {
        let stops = |b: &u8| matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\') || *b <= b' ';
        let rest = self.text.get(end..)?;
        let authority = rest.get(..rest.iter().take(4096).position(stops).unwrap_or(rest.len().min(4096)))?;
        let at = memchr::memrchr(b'@', authority)?;
        let userinfo = authority.get(..at)?;
        match memchr::memchr(b':', userinfo) {
            Some(colon) => {
                let password = userinfo.get(colon + 1..)?;
                let reference = password.first().is_some_and(|b| matches!(b, b'$' | b'{' | b'<'));
                let given = !password.is_empty() && !reference && !super::starts_with_tag(password);
                given.then_some(Span { start: end + colon + 1, end: end + at, kind: "url-password" })
            }
            None => values::looks_random(userinfo).then_some(Span { start: end, end: end + at, kind: "token" }),
        }
    }

    fn bearer(&mut self, end: usize) -> Option<Span> {
        let start = end + self.spaces(end);
        let stop = self.run_end(start, Alphabet::Wide);
        let value = self.part(start, stop.min(start + VALUE_REACH));
        let plausible = value.len() >= 16 && value.iter().any(u8::is_ascii_digit) && !super::starts_with_tag(value);
        plausible.then_some(Span { start, end: stop, kind: "token" })
    }

    /// `123456789:AA…`, 35 characters after the colon.
    fn telegram(&mut self, start: usize, end: usize) -> Option<Span> {
        let digits = self.text.get(..start)?.iter().rev().take(12).take_while(|b| b.is_ascii_digit()).count();
        let stop = self.run_end(end, Alphabet::Word);
        let fits = (8..=11).contains(&digits) && stop - end == 33 && self.part(start, end) == b":AA";
        fits.then_some(Span { start: start - digits, end: stop, kind: "telegram-token" })
    }

    /// `IDENTIFIED BY 'password'`.
    fn sql(&self, end: usize) -> Option<Span> {
        let (start, stop, quoted) = self.value(end + self.spaces(end), usize::MAX)?;
        let value = self.part(start, stop);
        // Backticks are prose's quotes, not SQL's.
        let quoted = quoted && self.before(start) != Some(b'`');
        (quoted && !value.is_empty() && !super::starts_with_tag(value)).then_some(Span {
            start,
            end: stop,
            kind: "password",
        })
    }

    /// `Authorization: Bearer X`: everything after the scheme.
    fn authorization(&self, end: usize) -> Option<Span> {
        let joint = self.joint(end)?;
        let (mut start, mut stop, _) = self.value(joint.at, VALUE_REACH)?;
        let line = self.part(joint.at, (joint.at + VALUE_REACH).min(self.text.len()));
        const SCHEMES: &[&[u8]] = &[b"bearer", b"basic", b"token", b"digest", b"apikey", b"negotiate", b"key", b"ssws"];
        let scheme = SCHEMES.iter().find(|scheme| {
            let head = self.part(start, start + scheme.len());
            head.eq_ignore_ascii_case(scheme)
        });
        if let Some(scheme) = scheme {
            start += scheme.len();
            start += self.spaces(start);
            let rest = self.text.get(start..)?;
            let ends = |b: &u8| matches!(b, b'"' | b'\'' | b'\n' | b'\r' | b',' | b'\\' | b'`' | b';') || *b == b' ';
            stop = start + rest.iter().take(VALUE_REACH).position(ends).unwrap_or(rest.len().min(VALUE_REACH));
        } else if line.starts_with(b"AWS4-HMAC") {
            let signature = memchr::memmem::find(line, b"Signature=")? + joint.at + 10;
            let rest = self.text.get(signature..)?;
            let digits = rest.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
            return Some(Span { start: signature, end: signature + digits, kind: "authorization" });
        }
        let value = self.part(start, stop);
        let plausible = value.len() >= 4
            && !matches!(value.first(), Some(b'$' | b'{' | b'<' | b'%' | b'`' | b'+'))
            && !super::starts_with_tag(value)
            && (scheme.is_some() || value.iter().any(u8::is_ascii_digit));
        if plausible && stop - start >= VALUE_REACH {
            let rest = self.text.get(stop..)?;
            stop += rest.iter().position(|b| matches!(b, b'"' | b'\'' | b'\\') || *b <= b' ').unwrap_or(rest.len());
        }
        plausible.then_some(Span { start, end: stop, kind: "authorization" })
    }

    /// `name=value`, `name: value`, `"name": "value"`.
    fn named(&self, word: SecretWord, start: usize, end: usize) -> Option<Span> {
        let word_end = if word == SecretWord::Signature { end - 1 } else { end };
        let joint = self.joint(word_end)?;
        let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let name_start =
            (start.saturating_sub(NAME_REACH)..start).rev().take_while(|at| self.byte(*at).is_some_and(in_name));
        let mut from = name_start.last().unwrap_or(start);
        // `\nPASSWORD=`: the letter belongs to an escape.
        if from > 0 && from < start && self.byte(from - 1) == Some(b'\\') {
            from += 1;
        }
        let name = self.part(from, joint.name_end);
        let (mut value_start, mut value_end, quoted) = self.value(joint.at, VALUE_REACH)?;
        let promise = names::promise(name, word, start - from, word_end - from)?;
        if quoted && joint.kind == Joint::Loose && self.closes(from, value_start, joint) {
            return None;
        }
        if word == SecretWord::Cookie && joint.kind == Joint::Loose && !quoted {
            // `Cookie: a=b; c=d`: the header's whole value.
            let rest = self.text.get(value_start..)?;
            let ends = |b: &u8| matches!(b, b'"' | b'\'' | b'\n' | b'\r');
            value_end =
                value_start + rest.iter().take(VALUE_REACH).position(ends).unwrap_or(rest.len().min(VALUE_REACH));
            let value = self.part(value_start, value_end);
            let given = value.contains(&b'=') && !value.starts_with(b"$") && !super::starts_with_tag(value);
            if given && value.len() >= VALUE_REACH {
                value_end = value_start + rest.iter().position(ends).unwrap_or(rest.len());
            }
            return given.then_some(Span { start: value_start, end: value_end, kind: "cookie" });
        }
        if joint.kind == Joint::Equals {
            // `password=a&user=b`: a query or a form; the secret ends where the next name begins.
            value_end = value_start + query_value(self.part(value_start, value_end));
        }
        let long = value_end - value_start >= VALUE_REACH;
        if self.part(value_start, value_end).starts_with(b"Bearer ") {
            value_start += 7;
        }
        let value = self.part(value_start, value_end);
        if !values::is_secret(promise, joint.kind, quoted, name, value) {
            return None;
        }
        if long {
            value_end = self.value(joint.at, usize::MAX)?.1;
        }
        Some(Span { start: value_start, end: value_end, kind: promise.kind() })
    }

    /// Whether the quote before `value_start` ends a text that the name is part of: `prompt='Password: '`.
    fn closes(&self, name_start: usize, value_start: usize, joint: Link) -> bool {
        let opened = self.before(name_start).filter(|b| matches!(b, b'"' | b'\''));
        !joint.closed && opened.is_some() && opened == self.before(value_start)
    }

    fn spaces(&self, at: usize) -> usize {
        self.text.get(at..).unwrap_or_default().iter().take(16).take_while(|b| matches!(b, b' ' | b'\t')).count()
    }

    /// What joins the name whose secret-like word ends at `end` to a value.
    fn joint(&self, end: usize) -> Option<Link> {
        let rest = self.text.get(end..)?;
        let tail =
            rest.iter().take(NAME_REACH).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
        let name_end = end + tail;
        let mut at = name_end;
        // The name's own closing quote, `"name": …`, perhaps escaped.
        let slashes = self.text.get(at..)?.iter().take(8).take_while(|b| **b == b'\\').count();
        let closed = matches!(self.byte(at + slashes), Some(b'"' | b'\''));
        if closed {
            at += slashes + 1;
            at += usize::from(self.byte(at) == Some(b']'));
        }
        let spaces = self.spaces(at);
        at += spaces;
        let mark = self.byte(at)?;
        let follows = self.byte(at + 1);
        match mark {
            b'=' if matches!(follows, Some(b'=' | b'~')) => return None,
            b'=' if follows == Some(b'>') => at += 2,
            b'=' => at += 1,
            b':' if follows == Some(b'=') => at += 2,
            b':' if follows == Some(b':') || (follows == Some(b'/') && self.byte(at + 2) == Some(b'/')) => return None,
            b':' => at += 1,
            _ => return None,
        }
        let after = self.spaces(at);
        let tight = mark == b'=' && spaces == 0 && after == 0 && !closed;
        Some(Link { name_end, at: at + after, kind: if tight { Joint::Equals } else { Joint::Loose }, closed })
    }

    /// The value that begins at `at`: where it starts and ends without its quotes, and whether it has them. Of a
    /// value longer than `reach`, its beginning.
    fn value(&self, at: usize, reach: usize) -> Option<(usize, usize, bool)> {
        let rest = self.text.get(at..)?;
        let slashes = rest.iter().take(8).take_while(|b| **b == b'\\').count();
        let quote = rest.get(slashes).copied().filter(|b| matches!(b, b'"' | b'\'' | b'`'));
        let Some(quote) = quote else {
            let ends = |b: &u8| {
                matches!(b, b'"' | b'\'' | b'`' | b';' | b'|' | b',' | b'<' | b'>' | b')' | b'}') || *b <= b' '
            };
            let end = rest.iter().take(reach).position(ends).unwrap_or(rest.len().min(reach));
            return Some((at, at + end, false));
        };
        let start = at + slashes + 1;
        let inner = self.text.get(start..)?;
        let mut before = 0;
        for (offset, byte) in inner.iter().enumerate().take(reach) {
            if *byte == quote && before <= slashes {
                return Some((start, start + offset - before.min(slashes), true));
            }
            before = if *byte == b'\\' { before + 1 } else { 0 };
        }
        Some((start, start + inner.len().min(reach), true))
    }
}

#[derive(Clone, Copy)]
struct Link {
    name_end: usize,
    at: usize,
    kind: Joint,
    /// The name has a closing quote of its own.
    closed: bool,
}

/// Where a form's value ends: before `&name=`.
fn query_value(value: &[u8]) -> usize {
    let is_name = |rest: &[u8]| {
        let name = rest
            .iter()
            .take(64)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']'));
        let length = name.count();
        length > 0 && rest.get(length) == Some(&b'=')
    };
    memchr::memchr_iter(b'&', value).find(|at| is_name(value.get(at + 1..).unwrap_or_default())).unwrap_or(value.len())
}
