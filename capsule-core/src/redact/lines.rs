//! Secrets in other programs' lines, whose quoting hides them from a plain search.
//!
//! strace with `-xx` prints every byte as `\xNN`: a search over the line would find nothing. So the strings are read
//! for what they are, redacted as arguments, and written back in the form they had.

use serde_json::Value;

use super::Redactor;
use crate::environ::is_allowed_value;
use crate::quote;

/// A quoted string of a line: where it stands, what it says.
struct Literal {
    start: usize,
    end: usize,
    bytes: Vec<u8>,
    truncated: bool,
    all_hex: bool,
}

/// A line with strings in C's notation. Strings between `[` and `]` are an argument vector; others are free text.
///
/// The second array of an exec is its environment (`strace -v`).
pub(super) fn quoted(redactor: &mut Redactor, line: &[u8]) -> Option<Vec<u8>> {
    let is_exec = memchr::memmem::find(line.get(..line.len().min(128)).unwrap_or_default(), b"execve").is_some();
    let mut arrays = 0_u32;
    let mut out = Vec::new();
    let mut copied = 0;
    let mut array: Option<Vec<Literal>> = None;
    let mut at = 0;
    let mut replace = |out: &mut Vec<u8>, literals: Vec<Literal>, values: Vec<Option<Vec<u8>>>| {
        for (literal, value) in literals.into_iter().zip(values) {
            let Some(value) = value else { continue };
            out.extend_from_slice(line.get(copied..literal.start).unwrap_or_default());
            quote::write(&value, literal.all_hex, out);
            if literal.truncated {
                out.extend_from_slice(b"...");
            }
            copied = literal.end;
        }
    };
    while let Some(found) = line.get(at..).and_then(|rest| memchr::memchr3(b'"', b'[', b']', rest)) {
        at += found;
        match line.get(at) {
            Some(b'[') => {
                array.get_or_insert_default();
                at += 1;
            }
            Some(b']') => {
                if let Some(literals) = array.take() {
                    arrays = arrays.saturating_add(1);
                    let values = if is_exec && arrays == 2 {
                        literals.iter().map(|literal| entry(redactor, &literal.bytes)).collect()
                    } else {
                        vector(redactor, &literals)
                    };
                    replace(&mut out, literals, values);
                }
                at += 1;
            }
            _ => {
                let rest = line.get(at..).unwrap_or_default();
                // A line that was cut off inside a string: whatever can be read of it is read.
                let (read, length) = match quote::read(rest) {
                    Some(read) => (Some((read.bytes, read.truncated)), read.length),
                    None => (torn(rest), rest.len()),
                };
                if let Some((bytes, truncated)) = read {
                    let all_hex = rest.starts_with(b"\"\\x");
                    let literal = Literal { start: at, end: at + length, bytes, truncated, all_hex };
                    match &mut array {
                        Some(literals) => literals.push(literal),
                        None => {
                            let value = free(redactor, &literal.bytes);
                            replace(&mut out, vec![literal], vec![value]);
                        }
                    }
                }
                at += length;
            }
        }
    }
    if let Some(literals) = array.take() {
        let values = vector(redactor, &literals);
        replace(&mut out, literals, values);
    }
    if copied == 0 {
        // No string held one; but an unquoted place might: a path in a `-y` annotation.
        return free(redactor, line);
    }
    out.extend_from_slice(line.get(copied..).unwrap_or_default());
    Some(out)
}

/// The bytes of a string whose end is missing: without its last, perhaps broken, escape.
fn torn(rest: &[u8]) -> Option<(Vec<u8>, bool)> {
    (0..5_usize).find_map(|cut| {
        let mut closed = rest.get(..rest.len().checked_sub(cut)?)?.to_vec();
        closed.push(b'"');
        quote::read(&closed).filter(|read| read.length == closed.len()).map(|read| (read.bytes, false))
    })
}

fn free(redactor: &Redactor, text: &[u8]) -> Option<Vec<u8>> {
    if !super::patterns::may_hold_secret(text) {
        return None;
    }
    let mut spans = Vec::new();
    super::scan::text(text, &mut spans);
    redactor.rewrite(text, spans)
}

/// Per string of a vector, what replaces it.
fn vector(redactor: &Redactor, literals: &[Literal]) -> Vec<Option<Vec<u8>>> {
    let words: Vec<&[u8]> = literals.iter().map(|literal| literal.bytes.as_slice()).collect();
    changed(redactor, &words)
}

fn changed(redactor: &Redactor, words: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
    match redactor.words(words) {
        Some(redacted) => words.iter().zip(redacted).map(|(old, new)| (*old != new).then_some(new)).collect(),
        None => vec![None; words.len()],
    }
}

/// A line of eslogger: a JSON object. Arrays of strings are argument vectors, but for `env`, of which names and allowed
/// values are kept.
pub(super) fn json(redactor: &mut Redactor, line: &[u8]) -> Option<Vec<u8>> {
    let Ok(mut value) = serde_json::from_slice::<Value>(line) else {
        return if redactor.is_on() { free(redactor, line) } else { None };
    };
    if !in_value(redactor, &mut value) {
        return None;
    }
    serde_json::to_vec(&value).ok()
}

/// Redacts inside `value`; says whether anything changed. (serde_json limits how deep a value is nested.)
fn in_value(redactor: &mut Redactor, value: &mut Value) -> bool {
    match value {
        Value::String(text) if redactor.is_on() => match free(redactor, text.as_bytes()) {
            Some(new) => {
                *text = String::from_utf8_lossy(&new).into_owned();
                true
            }
            None => false,
        },
        Value::Array(items) if redactor.is_on() && items.iter().all(Value::is_string) => {
            let words: Vec<&[u8]> = items.iter().filter_map(Value::as_str).map(str::as_bytes).collect();
            let new = changed(redactor, &words);
            let mut any = false;
            for (item, new) in items.iter_mut().zip(new) {
                if let Some(new) = new {
                    *item = Value::String(String::from_utf8_lossy(&new).into_owned());
                    any = true;
                }
            }
            any
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| in_value(redactor, item) | any),
        Value::Object(fields) => fields.iter_mut().fold(false, |any, (name, field)| match field {
            Value::Array(entries) if name == "env" => environment(redactor, entries) | any,
            field => in_value(redactor, field) | any,
        }),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `NAME=value` entries: the name alone, but for allowed names.
fn environment(redactor: &mut Redactor, entries: &mut [Value]) -> bool {
    let mut any = false;
    for item in entries {
        let kept = match item.as_str().map(|text| entry(redactor, text.as_bytes())) {
            Some(Some(kept)) => String::from_utf8_lossy(&kept).into_owned(),
            Some(None) => continue,
            // Not a string: not what the format promises.
            None => String::new(),
        };
        *item = Value::String(kept);
        any = true;
    }
    any
}

/// What is kept of a `NAME=value` entry; `None` where it stays as it is.
fn entry(redactor: &mut Redactor, entry: &[u8]) -> Option<Vec<u8>> {
    let Some(at) = memchr::memchr(b'=', entry) else {
        return redactor.text(entry).map(|redacted| redacted.as_bytes().to_vec());
    };
    let (name, value) = (entry.get(..at).unwrap_or_default(), entry.get(at + 1..).unwrap_or_default());
    if !is_allowed_value(name) {
        return Some(name.to_vec());
    }
    redactor.value(name, value).map(|redacted| [name, b"=", redacted.as_bytes()].concat())
}
