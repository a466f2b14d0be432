//! What `/proc` says of a process that stands still at its exec.
//!
//! Only what is cheap and perishable is read here: executable, directory, standard descriptors, ids, session. The
//! terminal and the cgroup cost as much as everything else together and outlive a tiny process in their parents; they are left to
//! whoever enriches the record.

use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use capsule_core::{ByteString, Ids, OpenFile, Origin, Snapshot};

use super::sys;
use crate::root::sys as root_sys;

/// So many inherited descriptors are compared with a process's.
const MOST_INHERITED: usize = 16;
/// More descriptors than this are counted by nobody: a server with thousands would cost milliseconds at each exec.
const MOST_DESCRIPTORS: usize = 128;

/// A reader of `/proc` that allocates only what it gives.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Absent where `/proc` is not mounted.
    proc: Option<File>,
    path: Vec<u8>,
    link: Vec<u8>,
    /// What Capsule itself inherited and hands on, where its name cannot change: most of the tree's descriptors are these.
    inherited: Vec<OpenFile>,
}

/// A snapshot, and whom the process belongs to as this process's user namespace counts.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) facts: Snapshot,
    owner: Option<(u32, u32)>,
}

impl Seen {
    /// Takes the ids that the program was told, in its own user namespace. Another namespace shows as another owner: then
    /// the program's view is not ours.
    pub(super) fn settle_ids(&mut self, told: Option<Ids>) {
        self.facts.ids = told.filter(|ids| self.owner == Some((ids.euid, ids.egid)));
    }
}

impl Facts {
    pub(crate) fn new() -> Self {
        let mut facts = Self {
            proc: File::open("/proc").ok(),
            path: Vec::with_capacity(64),
            link: vec![0; 8192],
            inherited: Vec::new(),
        };
        let this = std::process::id();
        for fd in numbers("/proc/self/fd").into_iter().filter(|fd| sys::is_handed_on(*fd)) {
            let target = facts.descriptor(this, fd).filter(keeps_its_name);
            facts.inherited.extend(target.map(|target| OpenFile { fd, target }));
        }
        facts.inherited.truncate(MOST_INHERITED);
        facts
    }

    /// What the process is at this moment.
    pub(crate) fn snapshot(&mut self, pid: u32) -> Seen {
        let mut facts = Snapshot::empty(Origin::Stopped);
        (facts.sid, facts.pgid) = root_sys::session_and_group(pid);
        facts.exe = self.link(pid, "exe");
        facts.cwd = self.link(pid, "cwd");
        let mut owner = None;
        if let Some((uid, gid, descriptors)) = self.owner_and_size(pid, "fd") {
            owner = Some((uid, gid));
            facts.fds = Some(self.descriptors(pid, descriptors));
        }
        Seen { facts, owner }
    }

    /// Arguments and environment by `/proc`, for stacks that were not understood.
    pub(crate) fn vectors(&mut self, pid: u32) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (std::fs::read(format!("/proc/{pid}/cmdline")).ok(), std::fs::read(format!("/proc/{pid}/environ")).ok())
    }

    /// Thread group and parent of a thread, for tracees whose origin was not seen.
    pub(crate) fn group_and_parent(tid: u32) -> Option<(u32, u32)> {
        let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let field = |name: &str| -> Option<u32> {
            status.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.trim().parse().ok())
        };
        Some((field("Tgid:")?, field("PPid:")?))
    }

    fn path(&mut self, pid: u32, name: &str) -> Option<&CStr> {
        self.path.clear();
        write!(self.path, "{pid}/{name}\0").ok()?;
        CStr::from_bytes_with_nul(&self.path).ok()
    }

    fn link(&mut self, pid: u32, name: &str) -> Option<ByteString> {
        self.path(pid, name)?;
        let path = CStr::from_bytes_with_nul(&self.path).ok()?;
        let length = sys::read_link(self.proc.as_ref()?.as_fd(), path, &mut self.link)?;
        self.link.get(..length).map(ByteString::new)
    }

    fn owner_and_size(&mut self, pid: u32, name: &str) -> Option<(u32, u32, u64)> {
        self.path(pid, name)?;
        let path = CStr::from_bytes_with_nul(&self.path).ok()?;
        sys::owner_and_size(self.proc.as_ref()?.as_fd(), path)
    }

    /// The open descriptors, of which the kernel says there are `count` (0 before Linux 6.2, which does not say).
    fn descriptors(&mut self, pid: u32, count: u64) -> Vec<OpenFile> {
        let mut found: Vec<OpenFile> =
            self.inherited.iter().filter(|file| sys::same_file(pid, file.fd)).cloned().collect();
        for fd in 0..3_u32 {
            self.add(pid, fd, &mut found);
        }
        if usize::try_from(count) != Ok(found.len()) {
            for fd in numbers(&format!("/proc/{pid}/fd")).into_iter().filter(|fd| *fd > 2).take(MOST_DESCRIPTORS) {
                self.add(pid, fd, &mut found);
            }
        }
        found.sort_unstable_by_key(|file| file.fd);
        found
    }

    /// Adds what the descriptor `fd` is, where it is open and not among those found.
    fn add(&mut self, pid: u32, fd: u32, found: &mut Vec<OpenFile>) {
        if found.iter().all(|file| file.fd != fd)
            && let Some(target) = self.descriptor(pid, fd)
        {
            found.push(OpenFile { fd, target });
        }
    }

    fn descriptor(&mut self, pid: u32, fd: u32) -> Option<ByteString> {
        match fd {
            0 => self.link(pid, "fd/0"),
            1 => self.link(pid, "fd/1"),
            2 => self.link(pid, "fd/2"),
            other => self.link(pid, &format!("fd/{other}")),
        }
    }
}

/// The numbers that name the entries of a directory in `/proc`, in order.
pub(crate) fn numbers(path: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether an open file's name stays what it is: those of pipes, sockets and devices do, another may be renamed.
fn keeps_its_name(target: &ByteString) -> bool {
    let target = target.as_bytes();
    [&b"/dev/"[..], b"pipe:[", b"socket:[", b"anon_inode:"].iter().any(|prefix| target.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn descriptors_are_all_there_in_order_with_or_without_a_count() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fd = u32::try_from(file.as_file().as_raw_fd()).unwrap();
        let mut facts = Facts::new();
        let (this, path) = (std::process::id(), file.path().to_str().unwrap().as_bytes());
        for count in [0, 1] {
            let found = facts.descriptors(this, count);
            assert!(found.is_sorted_by_key(|file| file.fd));
            assert!(found.iter().any(|open| open.fd == fd && open.target.as_bytes() == path), "{found:?}");
            for inherited in &facts.inherited {
                assert!(found.contains(inherited), "{inherited:?}");
            }
        }
        // Opened by this process and closed on exec: nobody inherits it.
        assert!(facts.inherited.iter().all(|open| open.fd != fd));
    }
}
