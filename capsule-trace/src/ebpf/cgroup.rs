//! Cgroup ids to paths within the unified hierarchy.
//!
//! The kernel's id of a cgroup is the inode of its directory. Capsule's own is looked up first, since nearly every
//! process of a session stays in it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use capsule_core::{ByteString, Pid};

/// How many directories a search for one id looks at.
const SEARCHED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Cgroups {
    mount: Option<PathBuf>,
    known: HashMap<u64, Option<ByteString>>,
}

impl Cgroups {
    pub(super) fn new() -> Self {
        let mount = fs::read("/proc/self/mountinfo").ok().and_then(|mounts| unified_mount(&mounts));
        let mut cgroups = Self { mount, known: HashMap::new() };
        if let Some(path) = fs::read("/proc/self/cgroup").ok().and_then(|text| unified_path(&text)) {
            cgroups.remember(&path);
        }
        cgroups
    }

    /// The path of the cgroup that `pid` was in.
    pub(super) fn path(&mut self, id: u64, pid: Pid) -> Option<ByteString> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        if let Some(path) = fs::read(format!("/proc/{}/cgroup", pid.0)).ok().and_then(|text| unified_path(&text)) {
            self.remember(&path);
        }
        if !self.known.contains_key(&id) {
            let found = self.mount.as_deref().and_then(|mount| search(mount, id));
            self.known.insert(id, found);
        }
        self.known.get(&id).cloned().flatten()
    }

    /// Notes the id of a path, as the directory has it: a process may have moved since the record was made.
    fn remember(&mut self, path: &[u8]) {
        let Some(mount) = &self.mount else { return };
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        if let Ok(found) = fs::metadata(mount.join(std::ffi::OsStr::from_bytes(relative))) {
            self.known.insert(found.ino(), Some(ByteString::new(path)));
        }
    }
}

/// Where cgroup2 is mounted whole, by `/proc/PID/mountinfo`.
fn unified_mount(mountinfo: &[u8]) -> Option<PathBuf> {
    mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = fields.nth(4)?;
        let mut rest = fields.skip_while(|field| *field != b"-");
        rest.next()?;
        (rest.next()? == b"cgroup2").then(|| PathBuf::from(std::ffi::OsStr::from_bytes(point)))
    })
}

/// The `0::` line of `/proc/PID/cgroup`.
fn unified_path(text: &[u8]) -> Option<Vec<u8>> {
    text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::")).map(<[u8]>::to_vec)
}

fn search(mount: &Path, id: u64) -> Option<ByteString> {
    let mut left = SEARCHED;
    let mut queue = vec![PathBuf::new()];
    if fs::metadata(mount).ok()?.ino() == id {
        return Some(ByteString::from("/"));
    }
    while let Some(relative) = queue.pop() {
        for entry in fs::read_dir(mount.join(&relative)).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = relative.join(entry.file_name());
            if entry.ino() == id {
                let mut bytes = b"/".to_vec();
                bytes.extend(path.into_os_string().into_vec());
                return Some(ByteString::from(bytes));
            }
            left = left.checked_sub(1)?;
            queue.push(path);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_among_others() {
        let mountinfo = b"30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            31 25 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(mountinfo), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(unified_mount(b"nonsense\n\n"), None);
        assert_eq!(unified_path(b"12:cpu:/a\n0::/user.slice\n"), Some(b"/user.slice".to_vec()));
    }

    #[test]
    fn an_id_without_a_directory_is_absent() {
        assert_eq!(Cgroups::new().path(u64::MAX, Pid(0)), None);
    }
}
