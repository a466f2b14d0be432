//! Raw environment blocks to references: most processes of a session have the environment of another one, and an
//! agent's hundreds differ in `_` or `OLDPWD` only.
//!
//! Two caches stand before the redaction. The first knows whole blocks (one hash and one comparison), the second what is
//! kept of a block: its names and the values of the allow-list. Both compare the bytes, so a crafted collision can
//! give no process another one's environment.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use capsule_core::redact::Redactor;
use capsule_core::{ByteString, EnvRef, EnvTable, is_allowed_value};
use memchr::memchr;

/// How many bytes of blocks are remembered before all are forgotten.
const REMEMBERED_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Environments {
    table: EnvTable,
    hasher: RandomState,
    whole: HashMap<u64, (Arc<[u8]>, EnvRef)>,
    kept: HashMap<u64, (Box<[u8]>, EnvRef)>,
    held: usize,
    last: Option<(Arc<[u8]>, EnvRef)>,
    scratch: Vec<u8>,
}

/// A block's entries: the bytes before the first `=`, and those after it where there is one.
fn entries(block: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let block = block.strip_suffix(b"\0").unwrap_or(block);
    let used = !block.is_empty();
    block.split(|byte| *byte == 0).filter(move |_| used).map(|entry| match memchr(b'=', entry) {
        Some(at) => (entry.get(..at).unwrap_or_default(), entry.get(at + 1..)),
        None => (entry, None),
    })
}

impl Environments {
    /// The number, and the first time the filtered contents, of the environment `block`.
    pub(super) fn reference(&mut self, block: Arc<[u8]>, redactor: &mut Redactor) -> EnvRef {
        if let Some((last, known)) = &self.last
            && (Arc::ptr_eq(last, &block) || **last == *block)
        {
            return known.clone();
        }
        let hash = self.hasher.hash_one(&block);
        if let Some((known_block, known)) = self.whole.get(&hash)
            && **known_block == *block
        {
            let known = known.clone();
            self.last = Some((block, known.clone()));
            return known;
        }
        let made = self.filtered(&block, redactor);
        let known = EnvRef { environment: Arc::clone(&made.environment), whole: false };
        self.held = self.held.saturating_add(block.len());
        self.whole.insert(hash, (Arc::clone(&block), known.clone()));
        self.last = Some((block, known));
        made
    }

    fn filtered(&mut self, block: &[u8], redactor: &mut Redactor) -> EnvRef {
        self.scratch.clear();
        for (name, value) in entries(block) {
            self.scratch.extend_from_slice(name);
            if let Some(value) = value.filter(|_| is_allowed_value(name)) {
                self.scratch.push(b'=');
                self.scratch.extend_from_slice(value);
            }
            self.scratch.push(0);
        }
        let hash = self.hasher.hash_one(&self.scratch);
        if let Some((kept, known)) = self.kept.get(&hash)
            && **kept == *self.scratch
        {
            return known.clone();
        }
        let made = self.made(hash, block, redactor);
        // The table spells environments out again once it is full, and so must whoever remembers references to them.
        if self.held > REMEMBERED_BYTES || made.environment.id % EnvTable::REMEMBERED == 1 {
            self.forget();
        }
        let known = EnvRef { environment: Arc::clone(&made.environment), whole: false };
        self.held = self.held.saturating_add(self.scratch.len());
        self.kept.insert(hash, (self.scratch.as_slice().into(), known));
        made
    }

    fn made(&mut self, hash: u64, block: &[u8], redactor: &mut Redactor) -> EnvRef {
        let mut names = Vec::new();
        let mut values = BTreeMap::new();
        for (name, value) in entries(block) {
            match value {
                Some(value) => {
                    names.push(ByteString::new(name));
                    if is_allowed_value(name)
                        && let Ok(name_text) = std::str::from_utf8(name)
                    {
                        let value = redactor.value(name, value).unwrap_or_else(|| ByteString::new(value));
                        // The first of two entries with one name is what getenv(3) finds.
                        values.entry(name_text.to_owned()).or_insert(value);
                    }
                }
                // No name and a value, but text of the program's own: it may hold anything.
                None => names.push(redactor.text(name).unwrap_or_else(|| ByteString::new(name))),
            }
        }
        self.table.intern(hash, names, values)
    }

    fn forget(&mut self) {
        self.whole.clear();
        self.kept.clear();
        self.last = None;
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(block: &[u8]) -> Arc<[u8]> {
        Arc::from(block)
    }

    #[test]
    fn values_off_the_allow_list_never_leave() {
        let mut environments = Environments::default();
        let block = shared(b"HOME=/root\0API_KEY=hunter2\0odd\0=x\0HOME=/other\0");
        let made = environments.reference(block, &mut Redactor::off());
        assert!(made.whole);
        let names: Vec<_> = made.environment.names.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(names, [&b"HOME"[..], b"API_KEY", b"odd", b"", b"HOME"]);
        assert_eq!(made.environment.values.len(), 1);
        assert_eq!(made.environment.value("HOME").map(ByteString::as_bytes), Some(&b"/root"[..]));
    }

    #[test]
    fn environments_that_differ_in_dropped_values_only_are_one() {
        let mut environments = Environments::default();
        let first = environments.reference(shared(b"HOME=/a\0_=/bin/ls\0"), &mut Redactor::off());
        let second = environments.reference(shared(b"HOME=/a\0_=/bin/cat\0"), &mut Redactor::off());
        let other = environments.reference(shared(b"HOME=/b\0_=/bin/cat\0"), &mut Redactor::off());
        assert_eq!(first.environment.id, second.environment.id);
        assert!(first.whole && !second.whole && other.whole);
        assert_ne!(other.environment.id, first.environment.id);
    }

    #[test]
    fn what_was_forgotten_is_spelled_out_again() {
        let mut environments = Environments::default();
        let mut reading = EnvTable::default();
        for round in 0..3 {
            for n in 0..3000 {
                let block = shared(format!("PWD=/{n}\0").as_bytes());
                let mut read = environments.reference(block, &mut Redactor::off());
                if !read.whole {
                    read.environment =
                        Arc::new(capsule_core::Environment { id: read.environment.id, ..Default::default() });
                }
                reading.resolve(&mut read);
                let expected = format!("/{n}");
                let value = read.environment.value("PWD").map(|v| v.as_bytes().to_vec());
                assert_eq!(value, Some(expected.into_bytes()), "round {round}, environment {n}");
            }
        }
    }

    #[test]
    fn an_empty_block_has_no_names() {
        let made = Environments::default().reference(shared(b""), &mut Redactor::off());
        assert!(made.whole && made.environment.names.is_empty());
    }
}
