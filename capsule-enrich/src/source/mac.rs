//! macOS's libproc and sysctl as a process source. Type-checked for macOS; not run on one yet.

use capsule_core::{Argv, ByteString, Ids, Origin, Pid, ProcSource, Snapshot};

use super::{procargs, sys};
use crate::users::Names;

#[derive(Debug, Default)]
pub(super) struct MacProc {
    names: Names,
}

impl ProcSource for MacProc {
    fn snapshot(&mut self, pid: Pid) -> Option<Snapshot> {
        self.missing(pid, &Snapshot::empty(Origin::Procfs))
    }

    fn missing(&mut self, pid: Pid, known: &Snapshot) -> Option<Snapshot> {
        let basic = sys::basic(pid.0)?;
        let mut late = Snapshot::empty(Origin::Procfs);
        late.ids = Some(Ids { uid: basic.pbi_ruid, euid: basic.pbi_uid, gid: basic.pbi_rgid, egid: basic.pbi_gid });
        late.pgid = Some(basic.pbi_pgid);
        late.sid = sys::session(pid.0);
        // NODEV: no controlling terminal.
        late.tty = match basic.e_tdev {
            u32::MAX => Some(ByteString::default()),
            device => sys::terminal(device).map(ByteString::from),
        };
        if known.exe.is_none() {
            late.exe = sys::path(pid.0).map(ByteString::from);
        }
        if known.cwd.is_none() {
            late.cwd = sys::directory(pid.0).map(ByteString::from);
        }
        Some(late)
    }

    fn command_line(&mut self, pid: Pid) -> Option<Argv> {
        let block = sys::arguments(pid.0).unwrap_or_default();
        Some(procargs::parse(&block).map(|read| read.argv).unwrap_or_default())
    }

    fn environment(&mut self, pid: Pid) -> Option<Vec<u8>> {
        procargs::parse(&sys::arguments(pid.0)?).map(|read| read.environment.to_vec())
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        self.names.user(uid)
    }

    fn group_name(&mut self, gid: u32) -> Option<String> {
        self.names.group(gid)
    }
}
