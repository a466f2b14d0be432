//! Which names promise a secret beside them.
//!
//! A name is read by its parts (`AWS_SECRET_ACCESS_KEY`, `clientSecret`, `--db-password`): the secret-like word
//! must be a part of it, and nothing after it may say that the value is about a secret rather than one
//! (`password-file`, `token_type`, `secret_name`).

use super::patterns::SecretWord;
use super::values::{Joint, is_any, is_secret};

/// How much a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Promise {
    /// Only a value that looks random is a secret.
    Faint,
    /// A value that could be a token is one.
    Token,
    /// Any value but a path is a secret.
    Secret,
    /// Any value is a secret.
    Password,
}

impl Promise {
    /// The kind that a tag shows.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Secret => "secret",
            Self::Token | Self::Faint => "token",
        }
    }
}

/// Parts that turn the name into a name of something else when they follow the secret-like word.
const ABOUT: &[&str] = &[
    "access",
    "arn",
    "algorithm",
    "auth",
    "bits",
    "budget",
    "cache",
    "callback",
    "change",
    "check",
    "class",
    "count",
    "counter",
    "dir",
    "directory",
    "endpoint",
    "env",
    "exists",
    "expired",
    "expires",
    "expiration",
    "expiry",
    "fd",
    "field",
    "file",
    "filename",
    "files",
    "format",
    "func",
    "function",
    "generator",
    "hint",
    "host",
    "id",
    "ids",
    "index",
    "is",
    "label",
    "length",
    "len",
    "less",
    "limit",
    "list",
    "location",
    "manager",
    "mgr",
    "handler",
    "cls",
    "getter",
    "max",
    "min",
    "mode",
    "name",
    "names",
    "path",
    "paths",
    "pattern",
    "policy",
    "prefix",
    "prompt",
    "provider",
    "ref",
    "regex",
    "required",
    "reset",
    "rotation",
    "scope",
    "scopes",
    "server",
    "service",
    "size",
    "spec",
    "stdin",
    "store",
    "suffix",
    "table",
    "template",
    "test",
    "tests",
    "timeout",
    "ttl",
    "type",
    "types",
    "uri",
    "url",
    "usage",
    "user",
    "username",
    "validator",
    "vault",
    "version",
];

/// Parts that make a flag a question or an order about secrets when they come first.
const ASKS: &[&str] = &[
    "ask", "create", "delete", "disable", "enable", "get", "ignore", "is", "list", "max", "min", "no", "num", "print",
    "prompt", "require", "reset", "show", "skip", "use", "with", "without", "n", "total",
];

/// Parts that make a key one to protect when they come before it.
const PROTECTED_KEYS: &[&str] = &[
    "access",
    "account",
    "api",
    "app",
    "application",
    "auth",
    "client",
    "consumer",
    "customer",
    "decryption",
    "deploy",
    "encryption",
    "enc",
    "hmac",
    "license",
    "master",
    "private",
    "priv",
    "secret",
    "server",
    "service",
    "shared",
    "signing",
    "storage",
    "subscription",
    "token",
    "write",
    "admin",
    "root",
    "session",
    "webhook",
    "ingest",
    "push",
];

/// The parts of a name: split at everything but letters and digits, and where a capital follows a small letter.
fn parts(name: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while name.get(at).is_some_and(|b| !b.is_ascii_alphanumeric()) {
            at += 1;
        }
        let start = at;
        let mut before = *name.get(at)?;
        while let Some(&byte) = name.get(at).filter(|b| b.is_ascii_alphanumeric()) {
            if byte.is_ascii_uppercase() && before.is_ascii_lowercase() {
                break;
            }
            before = byte;
            at += 1;
        }
        Some((start, name.get(start..at)?))
    })
}

/// What `name` promises, when `word` was found at `from..to` in it.
pub(super) fn promise(name: &[u8], word: SecretWord, from: usize, to: usize) -> Option<Promise> {
    let first = parts(name).next()?;
    // The part that the word ends in, what came before, and what follows it.
    let mut before: Option<&[u8]> = None;
    let mut holder: Option<(usize, &[u8])> = None;
    let mut about = false;
    for (start, part) in parts(name) {
        if start + part.len() < to {
            before = Some(part);
        } else if start < to {
            holder = Some((start, part));
        } else if is_any(part, ABOUT) {
            about = true;
        }
    }
    let (start, part) = holder?;
    let tail = name.get(to..start + part.len()).unwrap_or_default();
    let starts_part = from <= start;
    let plural = matches!(tail, b"s" | b"S");
    if !plural && !tail.iter().all(u8::is_ascii_digit) {
        // `tokenizer`, `secretary`, `passport`, `keyboard`; but `secretkey`, `passwordhash`.
        let known = [&b"key"[..], b"hash", b"value", b"base"].iter().any(|ok| tail.eq_ignore_ascii_case(ok));
        if !known || word == SecretWord::Key {
            return None;
        }
    }
    let promise = match word {
        SecretWord::Password => Promise::Password,
        SecretWord::Pass => {
            let whole = name.eq_ignore_ascii_case(b"pwd") || name.eq_ignore_ascii_case(b"oldpwd");
            let stuck = part.to_ascii_lowercase();
            let program =
                [&b"sshpass"[..], b"dbpass", b"userpass", b"pgpass", b"mysqlpwd", b"dbpwd"].contains(&&stuck[..]);
            if whole || plural || !(starts_part || program) {
                return None;
            }
            Promise::Password
        }
        SecretWord::Secret => Promise::Secret,
        SecretWord::Token if plural => return None,
        SecretWord::Token => Promise::Token,
        SecretWord::Key => {
            let stuck = name.get(start..from).unwrap_or_default();
            let makes = if stuck.is_empty() { before.unwrap_or_default() } else { stuck };
            if plural {
                return None;
            }
            let secret_before = before.is_some_and(|part| part.eq_ignore_ascii_case(b"secret"));
            match (is_any(makes, PROTECTED_KEYS), secret_before) {
                (true, true) => Promise::Secret,
                (true, false) => Promise::Token,
                (false, _) if makes.is_empty() => return None,
                (false, _) => Promise::Faint,
            }
        }
        SecretWord::Auth if starts_part && !plural => Promise::Token,
        SecretWord::Auth => return None,
        SecretWord::Cookie => Promise::Faint,
        SecretWord::Signature => Promise::Token,
        SecretWord::Authorization => return None,
    };
    if about || (first.1.len() < name.len() && is_any(first.1, ASKS)) {
        return Some(Promise::Faint);
    }
    Some(promise)
}

/// The strongest promise that any secret-like word in `name` makes.
pub(super) fn promise_of(name: &[u8]) -> Option<Promise> {
    if name.is_empty() || name.len() > 128 {
        return None;
    }
    super::patterns::hits(name)
        .filter_map(|(from, to, trigger)| match trigger {
            super::patterns::Trigger::Name(word) => promise(name, word, from, to),
            _ => None,
        })
        .max()
}

/// The kind of secret that the environment variable `name` holds in `value`.
pub(super) fn secret_variable(name: &[u8], value: &[u8]) -> Option<&'static str> {
    let promise = promise_of(name)?;
    is_secret(promise, Joint::Equals, false, name, value).then(|| promise.kind())
}
