//! Which values keep the promise that a name beside them makes.
//!
//! Most of what stands beside `password` or `token` in scripts is none: a variable, a call, a type, a path, a placeholder.

use super::names::Promise;
use super::starts_with_tag;

/// What comes between name and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// A flag's value as an argument of its own, or behind `=` in one: the bytes are what the program gets.
    Argument,
    /// `name=value`, without spaces.
    Equals,
    /// `name: value`, `name = value`: configuration, code, prose.
    Loose,
}

/// Whether `part` is one of `list`, in any case of letters.
pub(super) fn is_any(part: &[u8], list: &[&str]) -> bool {
    list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(part))
}

/// Whether `value`, beside a name that promises this much, is a secret.
pub(super) fn is_secret(promise: Promise, joint: Joint, quoted: bool, name: &[u8], value: &[u8]) -> bool {
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic() || **b >= 0x80).count();
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    if letters + digits == 0 || starts_with_tag(value) || is_reference(value, joint) {
        return false;
    }
    if promise < Promise::Password && is_path(value) && !looks_random(value) {
        return false;
    }
    if joint == Joint::Loose && !quoted {
        // Code and prose: `password = getpass()`, `token: str`, `secret: see below`.
        let symbols =
            value.iter().filter(|b| b.is_ascii_punctuation() && !matches!(b, b'.' | b',' | b'_' | b'-')).count();
        if is_code(value) || value.len() < 4 || (digits == 0 && symbols == 0) {
            return false;
        }
    }
    if joint == Joint::Equals && !quoted && (is_code(value) || value.eq_ignore_ascii_case(name)) {
        return false;
    }
    let constant = name.iter().any(u8::is_ascii_uppercase) && !name.iter().any(u8::is_ascii_lowercase);
    match promise {
        Promise::Password => !is_constant(value),
        Promise::Secret => value.len() >= 4 && !is_constant(value) && !is_constraint(value),
        Promise::Token if joint == Joint::Argument => value.len() >= 4 && !is_constant(value) && !is_constraint(value),
        Promise::Token => {
            let long = value.len() >= 20 && !value.contains(&b' ') && (digits > 0 || joint != Joint::Loose || quoted);
            let mixed = value.len() >= 8 && digits > 0 && !value.contains(&b' ');
            !is_constant(value) && (long || mixed || (constant && value.len() >= 6))
        }
        Promise::Faint => looks_random(value),
    }
}

/// `id=…,src=…`: a description, not a value.
fn is_constraint(value: &[u8]) -> bool {
    [&b"id="[..], b"type=", b"name=", b"env=", b"src="].iter().any(|start| value.starts_with(start))
}

/// A variable, a template's field or a placeholder instead of a value.
fn is_reference(value: &[u8], joint: Joint) -> bool {
    let variable = |rest: &[u8]| match rest.first() {
        Some(b'{' | b'(') => true,
        // In an argument a dollar was not expanded, so it may be part of a password: only NAMES are references.
        Some(_) if joint == Joint::Argument => {
            rest.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        }
        Some(byte) => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'*' | b'@' | b'#' | b'?' | b'$' | b'!'),
        None => true,
    };
    match value {
        [b'$', rest @ ..] => variable(rest),
        [b'`', ..] => joint != Joint::Argument,
        [b'{', .., b'}'] | [b'<', .., b'>'] | [b'%', b'(' | b'{', ..] | [b'%', b's'] => true,
        [b'{' | b'[', ..] => joint != Joint::Argument,
        _ => false,
    }
}

/// Words that stand where a value could, but are none.
fn is_constant(value: &[u8]) -> bool {
    const CONSTANTS: &[&str] = &[
        "true",
        "false",
        "null",
        "none",
        "nil",
        "undefined",
        "yes",
        "no",
        "on",
        "off",
        "auto",
        "str",
        "string",
        "bytes",
        "int",
        "bool",
        "required",
        "optional",
        "0",
        "1",
        "xxx",
        "***",
        "...",
        "redacted",
        "[redacted]",
        "prompt",
        "read",
        "write",
        "basic",
        "digest",
        "bearer",
    ];
    is_any(value, CONSTANTS) || value.iter().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-'))
}

/// `getpass.getpass()`, `os.environ[…]`, `self.token`, `args.password`: a name, then a call, an index or a member.
fn is_code(value: &[u8]) -> bool {
    if !value.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
        return false;
    }
    let path = value.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let owner = value.split(|b| *b == b'.').next().unwrap_or_default();
    let owners = &["self", "this", "os", "process", "args", "config", "settings", "opts", "options", "env"];
    matches!(value.get(path), Some(b'(' | b'[')) || (owner.len() < value.len() && is_any(owner, owners))
}

/// Whether it reads as a file's place: a secret's home, not the secret.
fn is_path(value: &[u8]) -> bool {
    let roots = [&b"/"[..], b"./", b"../", b"~/", b"file:", b"http:", b"https:"];
    let ends =
        [&b".pem"[..], b".key", b".json", b".txt", b".yml", b".yaml", b".pub", b".crt", b".p12", b".py", b".env"];
    roots.iter().any(|root| value.starts_with(root)) || ends.iter().any(|end| value.ends_with(end))
}

/// At least 20 characters of a key's alphabet, of at least three kinds, with many different ones; not hex, not a UUID.
pub(super) fn looks_random(value: &[u8]) -> bool {
    if value.len() < 20 || value.len() > 512 {
        return false;
    }
    if !value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~')) {
        return false;
    }
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let kinds = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    let mut counts = [0_u16; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let length = f64::from(u16::try_from(value.len()).unwrap_or(u16::MAX));
    let entropy: f64 = counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / length).map(|p| -p * p.log2()).sum();
    kinds && entropy >= 3.5
}
