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

/// More descriptors than this are counted by nobody: a server with thousands would cost milliseconds at each exec.
const MOST_DESCRIPTORS: usize = 128;

/// A reader of `/proc` that allocates only what it gives.
#[derive(Debug)]
pub(super) struct Facts {
    /// Absent where `/proc` is not mounted.
    proc: Option<File>,
    path: Vec<u8>,
    link: Vec<u8>,
    /// What Capsule's own standard descriptors are, where that cannot change: most of the tree's are the same ones.
    own: [Option<ByteString>; 3],
}

/// A snapshot, and whom the process belongs to as this process's user namespace counts.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) facts: Snapshot,
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
    pub(super) fn new() -> Self {
        let mut facts = Self {
            proc: File::open("/proc").ok(),
            path: Vec::with_capacity(64),
            link: vec![0; 8192],
            own: [const { None }; 3],
        };
        let this = std::process::id();
        facts.own = [0, 1, 2].map(|fd| facts.descriptor(this, fd).filter(keeps_its_name));
        facts
    }

    /// What the process is at this moment.
    pub(super) fn snapshot(&mut self, pid: u32) -> Seen {
        let mut facts = Snapshot::empty(Origin::Stopped);
        (facts.sid, facts.pgid) = root_sys::session_and_group(pid);
        facts.exe = self.link(pid, "exe");
        facts.cwd = self.link(pid, "cwd");
        let mut owner = None;
        if let Some((uid, gid, descriptors)) = self.owner_and_size(pid, "fd") {
            owner = Some((uid, gid));
            facts.fds = self.descriptors(pid, descriptors);
        }
        Seen { facts, owner }
    }

    /// Arguments and environment by `/proc`, for stacks that were not understood.
    pub(super) fn vectors(&mut self, pid: u32) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (std::fs::read(format!("/proc/{pid}/cmdline")).ok(), std::fs::read(format!("/proc/{pid}/environ")).ok())
    }

    /// Thread group and parent of a thread, for tracees whose origin was not seen.
    pub(super) fn group_and_parent(tid: u32) -> Option<(u32, u32)> {
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
    fn descriptors(&mut self, pid: u32, count: u64) -> Option<Vec<OpenFile>> {
        let mut found = Vec::with_capacity(3);
        for fd in 0..3_u32 {
            if let Some(target) = self.descriptor(pid, fd) {
                found.push(OpenFile { fd, target });
            }
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count == found.len() {
            return Some(found);
        }
        let mut others: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|fd| *fd > 2)
            .collect();
        others.sort_unstable();
        others.truncate(MOST_DESCRIPTORS);
        for fd in others {
            if let Some(target) = self.descriptor(pid, fd) {
                found.push(OpenFile { fd, target });
            }
        }
        Some(found)
    }

    fn descriptor(&mut self, pid: u32, fd: u32) -> Option<ByteString> {
        let own = usize::try_from(fd).ok().and_then(|fd| self.own.get(fd)?.as_ref());
        if let Some(own) = own
            && sys::same_file(pid, fd)
        {
            return Some(own.clone());
        }
        let name = match fd {
            0 => "fd/0",
            1 => "fd/1",
            2 => "fd/2",
            other => return self.link(pid, &format!("fd/{other}")),
        };
        self.link(pid, name)
    }
}

/// Whether an open file's name stays what it is: those of pipes, sockets and devices do, another may be renamed.
fn keeps_its_name(target: &ByteString) -> bool {
    let target = target.as_bytes();
    [&b"/dev/"[..], b"pipe:[", b"socket:[", b"anon_inode:"].iter().any(|prefix| target.starts_with(prefix))
}
