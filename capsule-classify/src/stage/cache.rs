//! Verdicts of commands seen before, bounded: two generations, the older one forgotten when the younger is full.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;

use capsule_core::{Argv, ByteString};

use crate::verdict::Verdict;

/// How many verdicts one generation holds.
const GENERATION: usize = 4096;
/// Longer argument vectors are not remembered: they hardly repeat.
const LONGEST: usize = 8 * 1024;

/// A verdict, with the parts that every action repeats ready to be shared.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) verdict: Verdict,
    pub(super) tool: ByteString,
    pub(super) summary: ByteString,
}

impl Known {
    pub(super) fn of(verdict: Verdict) -> Self {
        Self {
            tool: ByteString::from(verdict.tool.as_str()),
            summary: ByteString::from(verdict.summary.as_str()),
            verdict,
        }
    }
}

#[derive(Debug)]
struct Entry {
    argv: Argv,
    cwd: Option<ByteString>,
    root: bool,
    elevated: bool,
    known: Arc<Known>,
}

impl Entry {
    fn is(&self, argv: &Argv, cwd: Option<&ByteString>, root: bool, elevated: bool) -> bool {
        self.root == root && self.elevated == elevated && self.cwd.as_ref() == cwd && self.argv == *argv
    }
}

/// The memory of verdicts.
#[derive(Debug, Default)]
pub(super) struct VerdictCache {
    hasher: RandomState,
    young: HashMap<u64, Entry>,
    old: HashMap<u64, Entry>,
}

impl VerdictCache {
    pub(super) fn get(
        &mut self,
        argv: &Argv,
        cwd: Option<&ByteString>,
        root: bool,
        elevated: bool,
        judge: impl FnOnce() -> Known,
    ) -> Arc<Known> {
        if argv.as_block().len() > LONGEST {
            return Arc::new(judge());
        }
        let mut hasher = self.hasher.build_hasher();
        argv.as_block().hash(&mut hasher);
        cwd.hash(&mut hasher);
        (root, elevated).hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(entry) = self.young.get(&hash).filter(|entry| entry.is(argv, cwd, root, elevated)) {
            return Arc::clone(&entry.known);
        }
        let entry = match self.old.remove(&hash).filter(|entry| entry.is(argv, cwd, root, elevated)) {
            Some(entry) => entry,
            None => Entry { argv: argv.clone(), cwd: cwd.cloned(), root, elevated, known: Arc::new(judge()) },
        };
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        let known = Arc::clone(&entry.known);
        self.young.insert(hash, entry);
        known
    }
}
