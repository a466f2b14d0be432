//! Makes equal paths and names of a tree share their bytes: thousands of processes run the same few programs in the
//! same few directories.

use std::collections::HashSet;

use capsule_core::ByteString;

/// How many different values are remembered; past it, it starts over.
const REMEMBERED: usize = 8192;
/// Longer values are rarely met twice.
const LONGEST: usize = 512;

/// Remembers values, boundedly.
#[derive(Debug, Default)]
pub(super) struct Interner {
    known: HashSet<ByteString>,
}

impl Interner {
    /// The value, sharing its bytes with an equal one met before.
    pub(super) fn one(&mut self, value: ByteString) -> ByteString {
        if value.as_bytes().len() > LONGEST {
            return value;
        }
        if let Some(known) = self.known.get(&value) {
            return known.clone();
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(value.clone());
        value
    }
}
