//! Working directories, followed through chdir. Processes that share one (`CLONE_FS`) see each other's changes.

use std::collections::HashMap;

use capsule_core::ByteString;

/// Names a directory that one process has, or several share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DirectoryId(u64);

#[derive(Debug)]
struct Entry {
    path: Option<ByteString>,
    holders: u32,
}

#[derive(Debug, Default)]
pub(super) struct Directories {
    entries: HashMap<DirectoryId, Entry>,
    last: u64,
}

impl Directories {
    pub(super) fn add(&mut self, path: Option<ByteString>) -> DirectoryId {
        self.last += 1;
        let id = DirectoryId(self.last);
        self.entries.insert(id, Entry { path, holders: 1 });
        id
    }

    pub(super) fn share(&mut self, id: DirectoryId) -> DirectoryId {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.holders += 1;
        }
        id
    }

    pub(super) fn drop_one(&mut self, id: DirectoryId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.holders = entry.holders.saturating_sub(1);
            if entry.holders == 0 {
                self.entries.remove(&id);
            }
        }
    }

    pub(super) fn get(&self, id: DirectoryId) -> Option<&ByteString> {
        self.entries.get(&id)?.path.as_ref()
    }

    pub(super) fn set(&mut self, id: DirectoryId, path: Option<ByteString>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.path = path;
        }
    }
}
