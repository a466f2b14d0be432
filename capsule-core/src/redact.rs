//! Replaces secrets in arguments, environment values and trace lines before anything is written.
//!
//! A secret becomes `[redacted:<kind>:<fingerprint>]`. The fingerprint is 8 hex digits of a BLAKE3 hash keyed for the
//! session: the same secret shows as the same tag wherever it appears, and nobody without the key can test a guess.
//!
//! Three layers, each linear in the length of its input:
//!
//! 1. one automaton over all literals that any detector starts from (`patterns`); without a hit, which is
//!    the ordinary case, nothing else runs;
//! 2. detectors that start at a hit and look at the text around it: provider formats, PEM blocks, URLs, headers, and
//!    values that stand beside a secret-like name (`names`);
//! 3. the same text read as shell words (`words`), because quoting hides both names and values,
//!    and because what `-p` means depends on the program (`programs`).
//!
//! What is not here: guessing at lone random-looking strings. A git hash, a UUID or a base64 fixture says what
//! a process did; without a secret-like name beside it, it stays.

mod lines;
mod names;
mod patterns;
mod programs;
mod scan;
mod values;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::raw::Backend;
use crate::text::{Argv, ByteString};

/// A found secret: where it stands, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
    kind: &'static str,
}

/// Replaces secrets by keyed fingerprints.
#[derive(Clone)]
pub struct Redactor {
    key: Option<[u8; 32]>,
}

/// The key stays secret.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("on", &self.key.is_some()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Redacts, with fingerprints under `key`: equal secrets get equal tags within one key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key: Some(key) }
    }

    /// Changes nothing (`--keep-secrets`).
    #[must_use]
    pub const fn off() -> Self {
        Self { key: None }
    }

    /// Whether secrets are replaced at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.key.is_some()
    }

    /// The argument vector without its secrets; a cheap clone where it has none.
    pub fn argv(&mut self, argv: &Argv) -> Argv {
        if self.key.is_none() || !patterns::may_hold_secret(argv.as_block()) {
            return argv.clone();
        }
        let words: Vec<&[u8]> = argv.iter().collect();
        match self.words(&words) {
            Some(redacted) => redacted.into_iter().collect(),
            None => argv.clone(),
        }
    }

    /// The value of the environment variable `name` without secrets; `None` where it stays as it is.
    pub fn value(&mut self, name: &[u8], value: &[u8]) -> Option<ByteString> {
        self.key?;
        if let Some(kind) = names::secret_variable(name, value) {
            return Some(ByteString::from(self.tag(kind, value)));
        }
        self.text(value)
    }

    /// Free text (a path, a line) without secrets; `None` where it stays as it is.
    pub fn text(&mut self, text: &[u8]) -> Option<ByteString> {
        self.key?;
        if !patterns::may_hold_secret(text) {
            return None;
        }
        let mut spans = Vec::new();
        scan::text(text, &mut spans);
        self.rewrite(text, spans).map(ByteString::from)
    }

    /// A line of another tracing program's output without secrets; `None` where it stays as it is.
    ///
    /// Quoted and escaped strings (strace's `"\x41\x42"`, eslogger's JSON) are read as what they mean: an argument
    /// array is redacted as an argument vector, and written back in the line's own quoting.
    ///
    /// A line with a whole environment keeps only the values of the allow-list, redaction or not.
    pub fn line(&mut self, source: Backend, line: &[u8]) -> Option<ByteString> {
        if source == Backend::Eslogger {
            return lines::json(self, line).map(ByteString::from);
        }
        self.key?;
        match source {
            Backend::Strace | Backend::Dtrace => lines::quoted(self, line).map(ByteString::from),
            Backend::Eslogger | Backend::Ptrace | Backend::Ebpf | Backend::Replay => self.text(line),
        }
    }

    /// The words of one command; `None` where none holds a secret.
    fn words(&self, words: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
        let mut spans: Vec<Vec<Span>> = vec![Vec::new(); words.len()];
        for (word, found) in words.iter().zip(&mut spans) {
            scan::text(word, found);
        }
        programs::secrets(words, programs::Quoting::Gone, &mut |index, span| {
            if let Some(found) = spans.get_mut(index) {
                found.push(span);
            }
        });
        if spans.iter().all(Vec::is_empty) {
            return None;
        }
        let redacted = words.iter().zip(spans).map(|(word, found)| self.rewrite(word, found).unwrap_or(word.to_vec()));
        Some(redacted.collect())
    }

    /// `text` with `spans` replaced; `None` where there are none.
    fn rewrite(&self, text: &[u8], mut spans: Vec<Span>) -> Option<Vec<u8>> {
        spans.retain(|span| span.start < span.end && span.end <= text.len());
        if spans.is_empty() {
            return None;
        }
        // The longest of those that start together comes first; what overlaps it only extends it.
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut out = Vec::with_capacity(text.len() + 32);
        let mut done = 0;
        let mut rest = spans.into_iter().peekable();
        while let Some(mut span) = rest.next() {
            while let Some(next) = rest.next_if(|next| next.start < span.end) {
                span.end = span.end.max(next.end);
                if patterns::is_specific(next.kind) && !patterns::is_specific(span.kind) {
                    span.kind = next.kind;
                }
            }
            out.extend_from_slice(text.get(done..span.start).unwrap_or_default());
            out.extend_from_slice(&self.tag(span.kind, text.get(span.start..span.end).unwrap_or_default()));
            done = span.end;
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        Some(out)
    }

    fn tag(&self, kind: &str, secret: &[u8]) -> Vec<u8> {
        let key = self.key.unwrap_or_default();
        let hash = blake3::keyed_hash(&key, secret).to_hex();
        let short: String = hash.chars().take(8).collect();
        format!("[redacted:{kind}:{short}]").into_bytes()
    }
}

/// Whether `text` begins with a whole tag of this module's own making.
fn starts_with_tag(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"[redacted:") else { return false };
    let Some(colon) = rest.iter().take(40).position(|b| *b == b':') else { return false };
    let (kind, rest) = rest.split_at(colon);
    kind.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && rest.get(1..9).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        && rest.get(9) == Some(&b']')
}
