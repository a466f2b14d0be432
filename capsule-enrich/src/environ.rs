//! An environment block to what is kept of it: every name, and the values of the allow-list, without secrets.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use capsule_core::redact::Redactor;
use capsule_core::{ByteString, EnvRef, EnvTable, is_allowed_value};

#[derive(Debug, Default)]
pub(crate) struct Environments {
    table: EnvTable,
    hasher: RandomState,
}

impl Environments {
    /// The number, and the first time the kept contents, of the environment `block`.
    pub(crate) fn reference(&mut self, block: &[u8], redactor: &mut Redactor) -> EnvRef {
        let mut names = Vec::new();
        let mut values = BTreeMap::new();
        for entry in block.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let Some(at) = entry.iter().position(|byte| *byte == b'=') else {
                names.push(redactor.text(entry).unwrap_or_else(|| ByteString::new(entry)));
                continue;
            };
            let (name, value) = (entry.get(..at).unwrap_or_default(), entry.get(at + 1..).unwrap_or_default());
            names.push(ByteString::new(name));
            if is_allowed_value(name)
                && let Ok(text) = std::str::from_utf8(name)
            {
                // The first of two entries with one name is what getenv(3) finds.
                let kept = || redactor.value(name, value).unwrap_or_else(|| ByteString::new(value));
                values.entry(text.to_owned()).or_insert_with(kept);
            }
        }
        let hash = self.hasher.hash_one((&names, &values));
        self.table.intern(hash, names, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_values_are_kept_and_none_is_a_secret() {
        let mut environments = Environments::default();
        let mut redactor = Redactor::new([1; 32]);
        let block = b"HOME=/root\0API_KEY=abc\0PATH=https://u:hunter2@h/\0HOME=/other\0odd\0";
        let made = environments.reference(block, &mut redactor);
        let names: Vec<&[u8]> = made.environment.names.iter().map(ByteString::as_bytes).collect();
        assert_eq!(names, [&b"HOME"[..], b"API_KEY", b"PATH", b"HOME", b"odd"]);
        assert_eq!(made.environment.value("HOME"), Some(&ByteString::from("/root")));
        assert!(!format!("{made:?}").contains("hunter2") && !format!("{made:?}").contains("abc"));
        assert!(made.whole);
        assert!(!environments.reference(block, &mut redactor).whole);
    }
}
