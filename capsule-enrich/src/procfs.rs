//! `/proc`: reads what a process is now. Parsers are pure functions over bytes, apart from the reading.

mod cgroup;
mod stat;
mod status;

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;

use capsule_core::{Argv, ByteString, OpenFile, Origin, Pid, ProcSource, Snapshot};

use crate::users::Names;

/// Descriptors that are listed at most.
const DESCRIPTORS: usize = 256;
/// How much of a file is read at most.
const LIMIT: u64 = 1 << 20;

/// Linux's `/proc`.
#[derive(Debug, Default)]
pub(crate) struct LinuxProc {
    names: Names,
}

impl ProcSource for LinuxProc {
    fn snapshot(&mut self, pid: Pid) -> Option<Snapshot> {
        self.missing(pid, &Snapshot::empty(Origin::Procfs))
    }

    fn missing(&mut self, pid: Pid, known: &Snapshot) -> Option<Snapshot> {
        // One question tells of a process that is gone, the usual case with short-lived ones.
        fs::metadata(format!("/proc/{pid}")).ok()?;
        let mut late = Snapshot::empty(Origin::Procfs);
        if known.exe.is_none() {
            late.exe = link(pid, "exe");
        }
        if known.cwd.is_none() {
            late.cwd = link(pid, "cwd");
        }
        if (known.sid.is_none() || known.pgid.is_none() || known.tty.is_none())
            && let Some(stat) = read(pid, "stat").and_then(|text| stat::parse(&text))
        {
            late.sid = Some(stat.sid);
            late.pgid = Some(stat.pgid);
            late.tty = Some(stat::terminal(stat.tty).into());
        }
        if known.cgroup.is_none() {
            late.cgroup = read(pid, "cgroup").and_then(|text| cgroup::unified(&text).map(ByteString::new));
        }
        if known.ids.is_none()
            && let Some(status) = read(pid, "status")
        {
            (late.ids, late.ns_pid) = (status::ids(&status), status::inner_pid(&status, pid.0));
        }
        if known.fds.is_none() {
            late.fds = descriptors(pid);
        }
        Some(late)
    }

    fn command_line(&mut self, pid: Pid) -> Option<Argv> {
        // Nothing to be read is an answer too: not the arguments that were asked about.
        Some(Argv::from_block(&read(pid, "cmdline").unwrap_or_default()))
    }

    fn environment(&mut self, pid: Pid) -> Option<Vec<u8>> {
        read(pid, "environ")
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        self.names.user(uid)
    }

    fn group_name(&mut self, gid: u32) -> Option<String> {
        self.names.group(gid)
    }
}

fn read(pid: Pid, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/{name}")).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn link(pid: Pid, name: &str) -> Option<ByteString> {
    let target = fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    Some(ByteString::from(target.into_os_string().into_vec()))
}

fn descriptors(pid: Pid) -> Option<Vec<OpenFile>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut open: Vec<OpenFile> = entries
        .flatten()
        .take(DESCRIPTORS)
        .filter_map(|entry| {
            let fd = entry.file_name().to_str()?.parse().ok()?;
            Some(OpenFile { fd, target: link(pid, &format!("fd/{fd}"))? })
        })
        .collect();
    open.sort_by_key(|file| file.fd);
    Some(open)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Files of a process that named itself `a) S (b`, newline, ` c`, in a session of its own.
    #[test]
    fn captured_files_are_read() {
        let stat = stat::parse(include_bytes!("../testdata/stat")).unwrap();
        assert_eq!((stat.pgid, stat.sid, stat.tty), (12302, 12302, 0));
        let status = include_bytes!("../testdata/status");
        assert_eq!(status::ids(status).map(|ids| (ids.uid, ids.egid)), Some((0, 0)));
        assert_eq!(status::inner_pid(status, 12302), None);
        assert_eq!(cgroup::unified(include_bytes!("../testdata/cgroup")), Some(&b"/"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text: Vec<u8>) {
            stat::parse(&text);
            status::ids(&text);
            status::inner_pid(&text, 7);
            cgroup::unified(&text);
        }

        #[test]
        fn cut_files_are_taken(length in 0_usize..1200) {
            let status = include_bytes!("../testdata/status");
            let stat = include_bytes!("../testdata/stat");
            status::ids(&status[..length.min(status.len())]);
            stat::parse(&stat[..length.min(stat.len())]);
        }
    }

    #[test]
    fn this_process_is_described_as_it_is() {
        let me = LinuxProc::default().snapshot(Pid(std::process::id())).unwrap();
        let exe = std::env::current_exe().unwrap().into_os_string().into_vec();
        let cwd = std::env::current_dir().unwrap().into_os_string().into_vec();
        assert_eq!((me.exe, me.cwd), (Some(exe.into()), Some(cwd.into())));
        assert_eq!(me.ids.map(|ids| ids.uid), Some(nix::unistd::getuid().as_raw()));
        assert!(me.sid.is_some() && me.pgid.is_some() && me.fds.is_some_and(|fds| fds.len() >= 3));
    }

    #[test]
    fn what_is_known_is_not_read_again() {
        let mut source = LinuxProc::default();
        let me = Pid(std::process::id());
        let known = Snapshot { cwd: None, ..source.snapshot(me).unwrap() };
        let late = source.missing(me, &known).unwrap();
        assert!(late.cwd.is_some());
        assert_eq!(Snapshot { cwd: None, ..late }, Snapshot::empty(Origin::Procfs));
    }

    #[test]
    fn arguments_and_environment_are_those_of_the_process() {
        let mut source = LinuxProc::default();
        let me = Pid(std::process::id());
        let args: Argv = std::env::args_os().map(|arg| arg.into_vec()).collect();
        assert_eq!(source.command_line(me), Some(args));
        assert!(source.environment(me).is_some_and(|block| block.contains(&b'=')));
    }

    #[test]
    fn a_process_that_is_gone_is_nothing() {
        assert_eq!(LinuxProc::default().snapshot(Pid(u32::MAX)), None);
    }
}
