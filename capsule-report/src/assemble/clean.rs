//! Leaves out of a report what its reader asked to leave out: the home directory's path, the user's and the machine's
//! names, and secrets, by the detectors that redact at capture (sessions kept with `--keep-secrets`, imported recordings).

use std::cell::RefCell;
use std::collections::HashMap;

use capsule_core::redact::Redactor;
use capsule_core::{Argv, ByteString, SessionMetadata};
use memchr::memmem::Finder;

use crate::options::Redact;

/// Names shorter than this are never replaced inside text: they are parts of too many words.
const SHORTEST_NAME: usize = 3;

/// Replaces what is to be left out.
pub(crate) struct Cleaner {
    secrets: RefCell<Redactor>,
    home: Option<Finder<'static>>,
    names: Vec<(Finder<'static>, &'static [u8])>,
    no_user: bool,
    no_host: bool,
    memory: RefCell<HashMap<ByteString, ByteString>>,
}

impl Cleaner {
    pub(crate) fn new(redact: &Redact, metadata: &SessionMetadata) -> Self {
        let home = redact.home.as_deref().map(|home| home.trim_end_matches('/')).filter(|home| home.len() > 1);
        let mut names = Vec::new();
        let user = metadata.user.name.as_deref().filter(|_| redact.user);
        let host = Some(metadata.host.name.as_str()).filter(|_| redact.host);
        for (name, instead) in [(user, b"user".as_slice()), (host, b"host".as_slice())] {
            if let Some(name) = name.filter(|name| name.len() >= SHORTEST_NAME) {
                names.push((Finder::new(name).into_owned(), instead));
            }
        }
        Self {
            secrets: RefCell::new(redact.secrets.clone()),
            home: home.map(|home| Finder::new(home).into_owned()),
            names,
            no_user: redact.user,
            no_host: redact.host,
            memory: RefCell::default(),
        }
    }

    /// The user's name, standing by itself: however short it is.
    pub(crate) fn user(&self, name: &str) -> String {
        if self.no_user { "user".to_owned() } else { self.text(name) }
    }

    /// The machine's name, standing by itself.
    pub(crate) fn host(&self, name: &str) -> String {
        if self.no_host { "host".to_owned() } else { self.text(name) }
    }

    /// Whether it changes nothing.
    fn idle(&self) -> bool {
        self.home.is_none() && self.names.is_empty() && !self.secrets.borrow().is_on()
    }

    pub(crate) fn bytes(&self, text: &ByteString) -> ByteString {
        if self.idle() {
            return text.clone();
        }
        let short = text.as_bytes().len() <= 512;
        if short && let Some(known) = self.memory.borrow().get(text) {
            return known.clone();
        }
        let cleaned = match self.replaced(text.as_bytes()) {
            Some(bytes) => ByteString::from(bytes),
            None => text.clone(),
        };
        if short {
            let mut memory = self.memory.borrow_mut();
            if memory.len() >= 50_000 {
                memory.clear();
            }
            memory.insert(text.clone(), cleaned.clone());
        }
        cleaned
    }

    pub(crate) fn text(&self, text: &str) -> String {
        match self.replaced(text.as_bytes()) {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None => text.to_owned(),
        }
    }

    pub(crate) fn argv(&self, argv: &Argv) -> Argv {
        // An argument vector shows more than text does: `--password` and its value are neighbours.
        let argv = self.secrets.borrow_mut().argv(argv);
        match self.renamed(argv.as_block()) {
            Some(block) => Argv::from_block(&block),
            None => argv,
        }
    }

    /// The bytes with everything replaced; `None` where nothing is to be.
    fn replaced(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let without = self.secrets.borrow_mut().text(bytes);
        match without {
            Some(text) => Some(self.renamed(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec())),
            None => self.renamed(bytes),
        }
    }

    /// The bytes with directories and names replaced; `None` where nothing is to be.
    fn renamed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        if let Some(home) = &self.home {
            // A home directory ends at a slash, a separator or the end: /home/me is no prefix of /home/melissa.
            out = replace(bytes, home, b"~", |after| !after.is_some_and(is_name_byte));
        }
        for (name, instead) in &self.names {
            let current = out.as_deref().unwrap_or(bytes);
            if let Some(next) = replace_word(current, name, instead) {
                out = Some(next);
            }
        }
        out
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn replace(bytes: &[u8], what: &Finder<'_>, instead: &[u8], ends: impl Fn(Option<u8>) -> bool) -> Option<Vec<u8>> {
    let length = what.needle().len();
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0_usize;
    for found in what.find_iter(bytes) {
        let end = found.saturating_add(length);
        if !ends(bytes.get(end).copied()) {
            continue;
        }
        let made = out.get_or_insert_with(Vec::new);
        made.extend_from_slice(bytes.get(copied..found).unwrap_or_default());
        made.extend_from_slice(instead);
        copied = end;
    }
    if let Some(made) = &mut out {
        made.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    }
    out
}

fn replace_word(bytes: &[u8], what: &Finder<'_>, instead: &[u8]) -> Option<Vec<u8>> {
    let length = what.needle().len();
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0_usize;
    for found in what.find_iter(bytes) {
        let end = found.saturating_add(length);
        let before = found.checked_sub(1).and_then(|index| bytes.get(index).copied());
        if before.is_some_and(is_name_byte) || bytes.get(end).copied().is_some_and(is_name_byte) {
            continue;
        }
        let made = out.get_or_insert_with(Vec::new);
        made.extend_from_slice(bytes.get(copied..found).unwrap_or_default());
        made.extend_from_slice(instead);
        copied = end;
    }
    if let Some(made) = &mut out {
        made.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let home = Finder::new("/home/me").into_owned();
        let names = vec![(Finder::new("me-host").into_owned(), b"host".as_slice())];
        let secrets = RefCell::new(Redactor::new([7; 32]));
        let (no_user, no_host) = (false, true);
        let cleaner = Cleaner { secrets, home: Some(home), names, no_user, no_host, memory: RefCell::default() };
        assert_eq!((cleaner.host("vm").as_str(), cleaner.user("me").as_str()), ("host", "me"));
        cleaner.text(text)
    }

    #[test]
    fn secrets_go_and_what_only_looks_like_one_stays() {
        for secret in [
            "curl -H 'Authorization: Bearer sk-ant-REDACTED'",
            "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz",
            "git clone https://user:ghp_REDACTED@github.com/o/r",
            "psql postgres://admin:hunter2hunter2@db.example/prod",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n-----END OPENSSH PRIVATE KEY-----",
        ] {
            let clean = cleaned(secret);
            assert!(clean.contains("[redacted:"), "{secret} -> {clean}");
            for part in ["abcdefghijklmnop", "wJalrXUtnFEMI", "ghp_", "hunter2", "b3BlbnNz"] {
                assert!(!clean.contains(part), "{clean}");
            }
        }
        for plain in [
            "git checkout 5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b",
            "cat tests/test_credentials.py",
            "grep -rn password docs",
            "docker pull image@sha256:5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b5aa765d61d8327deb882cf99",
            "npm run token-count",
        ] {
            assert_eq!(cleaned(plain), plain);
        }
    }

    #[test]
    fn home_is_replaced_only_where_the_path_component_ends() {
        assert_eq!(
            cleaned("/home/me/x --dir=/home/me /home/melissa /home/me:/bin"),
            "~/x --dir=~ /home/melissa ~:/bin"
        );
        assert_eq!(cleaned("ssh me-host me-hosting some-host"), "ssh host me-hosting some-host");
    }
}
