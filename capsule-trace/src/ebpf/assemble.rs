//! Kernel records to captures: continuations joined, paths put together, clocks converted, losses told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use capsule_core::{
    Argv, ByteString, ExitStatus, Ids, OpenFile, Origin, Pid, ResourceUsage, Snapshot, SpawnKind, Tid, Timestamp,
};
use nix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::calls::{self, Call, Kind};
use super::cgroup::Cgroups;
use super::collect::LastWords;
use super::wire::{self, Descriptor, Exec, Flags, Head, Record, Usage};
use super::{effect, paths};
use crate::sink::{CaptureBody, ExecCapture, RawSink};

/// `CLOCK_MONOTONIC`, which the kernel stamps records with, to `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// What to add, nanoseconds.
    offset: i128,
}

impl Clock {
    pub(super) fn read() -> Self {
        // The pair that was read in the shortest time is the most exact one.
        let best = (0..5).filter_map(|_| {
            let before = nanos(ClockId::CLOCK_MONOTONIC)?;
            let real = nanos(ClockId::CLOCK_REALTIME)?;
            let after = nanos(ClockId::CLOCK_MONOTONIC)?;
            Some((after - before, real - (before + after) / 2))
        });
        Self { offset: best.min().map_or(0, |(_, offset)| offset) }
    }

    fn timestamp(self, monotonic: u64) -> Timestamp {
        Timestamp(u64::try_from(i128::from(monotonic) + self.offset).unwrap_or(0))
    }

    /// Now.
    pub(super) fn now() -> Timestamp {
        Timestamp(nanos(ClockId::CLOCK_REALTIME).and_then(|now| u64::try_from(now).ok()).unwrap_or(0))
    }
}

fn nanos(clock: ClockId) -> Option<i128> {
    let now = clock_gettime(clock).ok()?;
    Some(i128::from(now.tv_sec()) * 1_000_000_000 + i128::from(now.tv_nsec()))
}

#[derive(Debug, Default, Clone)]
struct Cpu {
    lost: u64,
    last: Option<Timestamp>,
}

/// A record whose continuations are still to come.
#[derive(Debug)]
enum Pending {
    Exec { at: Timestamp, exec: Box<ExecCapture>, arg_len: usize, total: u64, data: Vec<u8>, unreadable: bool },
    Failed { at: Timestamp, pid: Pid, errno: i32, filename: Vec<u8>, data: Vec<u8> },
}

/// Takes the kernel's records, in order, and pushes captures.
#[derive(Debug)]
pub(super) struct Assembler {
    sink: RawSink,
    clock: Clock,
    root: Pid,
    root_executed: bool,
    cpus: Vec<Cpu>,
    pending: HashMap<u32, Pending>,
    env: Option<Arc<[u8]>>,
    cgroups: Cgroups,
    page_kib: u64,
    calls: HashMap<u32, &'static Call>,
    /// Capsule's own processes.
    recorders: Vec<Pid>,
    /// Who set io_uring up.
    io_uring: HashSet<Pid>,
    /// Who ran already and was told of: the kernel may have put it into its table at the same time.
    attached: HashSet<Pid>,
    /// Who wants to hear how the root ended.
    tell_end: Option<oneshot::Sender<ExitStatus>>,
}

const LOST_IN_RING: &str = "the kernel's ring buffer was full";
const NOT_FOLLOWED: &str = "the kernel's table of processes was full: these and their descendants were not followed";
const UNREADABLE: &str = "the memory that holds a program's arguments could not be read";

impl Assembler {
    pub(super) fn new(sink: RawSink, root: Pid) -> Self {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            sink,
            clock: Clock::read(),
            root,
            root_executed: false,
            cpus: Vec::new(),
            pending: HashMap::new(),
            env: None,
            cgroups: Cgroups::new(),
            page_kib: page.and_then(|bytes| u64::try_from(bytes).ok()).map_or(4, |bytes| bytes / 1024),
            calls: calls::all().filter_map(|call| Some((u32::try_from(call.number).ok()?, call))).collect(),
            recorders: Vec::new(),
            io_uring: HashSet::new(),
            attached: HashSet::new(),
            tell_end: None,
        }
    }

    /// The same, told which processes are Capsule's own.
    pub(super) fn recorded_by(self, recorders: &[Pid]) -> Self {
        Self { recorders: recorders.to_vec(), ..self }
    }

    /// The same for a tree that ran already: of `told` everything is known, and the root runs what it is.
    pub(super) fn attached(self, told: impl IntoIterator<Item = Pid>, tell_end: oneshot::Sender<ExitStatus>) -> Self {
        Self { root_executed: true, attached: told.into_iter().collect(), tell_end: Some(tell_end), ..self }
    }

    /// Takes one record as it was in the ring.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Some((head, record)) = wire::parse(bytes) else {
            self.sink.loss(Clock::now(), 1, None, "a record of the kernel programs could not be read");
            return;
        };
        let at = self.clock.timestamp(head.time);
        self.count_losses(usize::from(head.cpu), head.lost, at);
        if !matches!(record, Record::More { .. }) {
            // The rest of an earlier record of this thread was lost, and is in the count.
            self.pending.remove(&head.tid);
        }
        match record {
            Record::Fork { .. } if self.attached.contains(&Pid(head.pid)) => {}
            Record::Fork { parent, how } => {
                let how = match how {
                    1 => SpawnKind::Vfork,
                    2 => SpawnKind::Clone,
                    _ => SpawnKind::Fork,
                };
                self.sink.push(at, CaptureBody::Spawn { parent: Some(Pid(parent)), child: Pid(head.pid), how });
            }
            Record::Exec(exec) => self.exec(at, head, &exec),
            Record::More { data, last } => self.more(head, data, last),
            Record::Exit { status, usage } => {
                let (pid, status) = (Pid(head.pid), exit_status(status));
                self.attached.remove(&pid);
                let rusage = Some(resource_usage(&usage, self.page_kib));
                self.sink.push(at, CaptureBody::Exit { pid, status, rusage });
                if pid == self.root
                    && let Some(tell) = self.tell_end.take()
                {
                    // Nobody hears it when the recording was given up.
                    let _unheard = tell.send(status);
                }
            }
            Record::Call(call) => self.called(at, Pid(head.pid), &call),
            Record::ExecFailed { errno, filename, data, whole } => {
                let pid = Pid(head.pid);
                if pid == self.root && !self.root_executed {
                    return; // Capsule's own search of PATH for the command
                }
                let failed = Pending::Failed { at, pid, errno, filename: filename.to_vec(), data: data.to_vec() };
                if whole {
                    self.complete(failed);
                } else {
                    self.pending.insert(head.tid, failed);
                }
            }
        }
    }

    fn called(&mut self, at: Timestamp, pid: Pid, record: &wire::CallRecord<'_>) {
        if pid == self.root && !self.root_executed {
            return; // Capsule's own, before the command
        }
        let Some(call) = self.calls.get(&record.number) else { return };
        if call.kind == Kind::IoUring && record.result >= 0 {
            self.io_uring.insert(pid);
        }
        if let Some(effect) = effect::effect(call, record, &self.recorders) {
            self.sink.push(at, CaptureBody::Effect { pid, effect: Box::new(effect) });
        }
    }

    /// How many processes can do things through io_uring, unseen.
    pub(super) fn io_uring_users(&self) -> usize {
        self.io_uring.len()
    }

    /// Tells what was lost since the last record of a cpu.
    fn count_losses(&mut self, cpu: usize, lost: u64, at: Timestamp) {
        if cpu >= self.cpus.len() {
            self.cpus.resize(cpu + 1, Cpu::default());
        }
        let Some(known) = self.cpus.get_mut(cpu) else { return };
        let since = known.last.replace(at);
        let more = lost.saturating_sub(known.lost);
        if more > 0 {
            known.lost = lost;
            self.sink.loss(at, more, since, LOST_IN_RING);
        }
    }

    /// The end of the recording.
    pub(super) fn finish(&mut self, last_words: &LastWords) {
        self.pending.clear();
        for (cpu, lost) in last_words.lost.iter().enumerate() {
            self.count_losses(cpu, *lost, Clock::now());
        }
        if last_words.untracked > 0 {
            self.sink.loss(Clock::now(), last_words.untracked, None, NOT_FOLLOWED);
        }
        for pid in &last_words.left_running {
            self.sink.push(Clock::now(), CaptureBody::LeftRunning { pid: *pid });
        }
    }

    fn exec(&mut self, at: Timestamp, head: Head, exec: &Exec<'_>) {
        let pid = Pid(head.pid);
        self.root_executed |= pid == self.root;
        let snapshot = Snapshot {
            exe: path(exec.exe, head.flags, Flags::EXE_DELETED, Flags::EXE_CUT),
            cwd: path(exec.cwd, head.flags, Flags::CWD_DELETED, Flags::CWD_CUT),
            ids: Some(Ids { uid: exec.uid, euid: exec.euid, gid: exec.gid, egid: exec.egid }),
            tty: Some(terminal(exec.tty_major, exec.tty_minor, exec.tty_name)),
            sid: Some(exec.sid),
            pgid: Some(exec.pgid),
            cgroup: self.cgroups.path(exec.cgroup, pid),
            fds: descriptors(exec.fds),
            ns_pid: (exec.ns_pid != 0).then_some(exec.ns_pid),
            ..Snapshot::empty(Origin::Kernel)
        };
        let capture = ExecCapture {
            pid,
            // In another namespace than the initial one the former thread's number is not known.
            from_tid: (exec.old_tid != head.tid && head.tid == head.pid).then_some(Tid(exec.old_tid)),
            filename: Some(exec.filename.to_vec()),
            argv: Argv::default(),
            env: None,
            snapshot: Some(snapshot),
        };
        let unreadable = head.flags.has(Flags::UNREADABLE);
        let arg_len = usize::try_from(exec.arg_len).unwrap_or(usize::MAX);
        let total = exec.arg_len.saturating_add(exec.env_len);
        let capture = Box::new(capture);
        if exec.data.len() as u64 >= total {
            self.executed(at, capture, exec.data, arg_len, unreadable);
        } else {
            let data = exec.data.to_vec();
            self.pending.insert(head.tid, Pending::Exec { at, exec: capture, arg_len, total, data, unreadable });
        }
    }

    fn more(&mut self, head: Head, more: &[u8], last: bool) {
        let Some(mut pending) = self.pending.remove(&head.tid) else { return };
        let complete = match &mut pending {
            Pending::Exec { data, unreadable, total, .. } => {
                data.extend_from_slice(more);
                *unreadable |= head.flags.has(Flags::UNREADABLE);
                if last && (data.len() as u64) < *total {
                    return; // a part in between was lost, and is in the count
                }
                last
            }
            Pending::Failed { data, .. } => {
                data.extend_from_slice(more);
                last
            }
        };
        if complete {
            self.complete(pending);
        } else {
            self.pending.insert(head.tid, pending);
        }
    }

    fn complete(&mut self, pending: Pending) {
        match pending {
            Pending::Exec { at, exec, arg_len, data, unreadable, .. } => {
                self.executed(at, exec, &data, arg_len, unreadable);
            }
            Pending::Failed { at, pid, errno, filename, data } => {
                let body =
                    CaptureBody::ExecFailed { pid, filename: Some(filename), argv: Argv::from_block(&data), errno };
                self.sink.push(at, body);
            }
        }
    }

    fn executed(&mut self, at: Timestamp, mut exec: Box<ExecCapture>, data: &[u8], arg_len: usize, unreadable: bool) {
        let (args, env) = data.split_at_checked(arg_len).unwrap_or((data, &[]));
        if unreadable {
            // What was read of it is not told apart from what was not: none of it is evidence.
            self.sink.loss(at, 1, None, UNREADABLE);
        } else {
            exec.argv = Argv::from_block(args);
            exec.env = Some(self.environment(env));
        }
        self.sink.push(at, CaptureBody::Exec(exec));
    }

    /// The block, shared with the exec before where it is the same.
    fn environment(&mut self, block: &[u8]) -> Arc<[u8]> {
        match &self.env {
            Some(known) if **known == *block => Arc::clone(known),
            _ => {
                let new: Arc<[u8]> = Arc::from(block);
                self.env = Some(Arc::clone(&new));
                new
            }
        }
    }
}

/// A path from its names; absent where the walk did not reach the root.
fn path(names: &[u8], flags: Flags, deleted: u32, cut: u32) -> Option<ByteString> {
    (!flags.has(cut)).then(|| paths::from_names(names, flags.has(deleted)))
}

/// Open descriptors as readlink(2) of /proc/PID/fd/N says them; absent where any of them is not known.
fn descriptors(bytes: &[u8]) -> Option<Vec<OpenFile>> {
    let mut found: Vec<OpenFile> = Vec::new();
    for open in wire::descriptors(bytes) {
        let target = if open.flags.has(Flags::FD_SAME) {
            found.last().map(|last| last.target.clone())
        } else {
            descriptor(&open)
        };
        found.push(OpenFile { fd: open.fd, target: target? });
    }
    Some(found)
}

fn descriptor(open: &Descriptor<'_>) -> Option<ByteString> {
    const KIND: u32 = 0o170_000;
    const PIPE: u32 = 0o010_000;
    const SOCKET: u32 = 0o140_000;
    if !open.flags.has(Flags::WALK_PSEUDO) {
        return path(open.names, open.flags, Flags::WALK_DELETED, Flags::WALK_CUT);
    }
    let name = open.names.strip_suffix(b"\0").unwrap_or(open.names);
    match (open.mode & KIND, name) {
        (PIPE, _) => Some(ByteString::from(format!("pipe:[{}]", open.inode))),
        (SOCKET, _) => Some(ByteString::from(format!("socket:[{}]", open.inode))),
        (_, b"") => None,
        (_, [b'[', ..]) => Some(ByteString::from([b"anon_inode:", name].concat())),
        // memfd_create(2), shared memory.
        _ => Some(paths::from_names(name, true)),
    }
}

fn terminal(major: u32, minor: u32, name: &[u8]) -> ByteString {
    match major {
        0 => ByteString::default(),
        // Unix98 pseudo-terminals.
        136..=143 => ByteString::from(format!("/dev/pts/{minor}")),
        _ => ByteString::from([b"/dev/", name].concat()),
    }
}

/// As `wait(2)` gives it.
fn exit_status(status: u32) -> ExitStatus {
    let byte = |shift: u32| i32::try_from((status >> shift) & 0xff).unwrap_or(0);
    match byte(0) & 0x7f {
        0 => ExitStatus::Exited(byte(8)),
        signal => ExitStatus::Signaled { signal, core_dumped: status & 0x80 != 0 },
    }
}

/// As `wait4(2)` counts: the process and the children it waited for. The kernel samples the split between user and system
/// time and measures their sum; it scales the one by the other, and so does this.
fn resource_usage(usage: &Usage, page_kib: u64) -> ResourceUsage {
    let sampled = usage.utime.saturating_add(usage.stime);
    let system = match (usage.stime, usage.utime) {
        (0, _) => 0,
        (_, 0) => usage.runtime,
        (stime, _) => {
            let scaled = u128::from(stime) * u128::from(usage.runtime) / u128::from(sampled.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        }
    };
    let user = usage.runtime.saturating_sub(system);
    ResourceUsage {
        user_us: user.saturating_add(usage.cutime) / 1000,
        system_us: system.saturating_add(usage.cstime) / 1000,
        max_rss_kib: usage.maxrss.saturating_mul(page_kib),
        major_faults: usage.major_faults,
        blocks_in: usage.blocks_in,
        blocks_out: usage.blocks_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_wait_does() {
        assert_eq!(exit_status(3 << 8), ExitStatus::Exited(3));
        assert_eq!(exit_status(9), ExitStatus::Signaled { signal: 9, core_dumped: false });
        assert_eq!(exit_status(0x8b), ExitStatus::Signaled { signal: 11, core_dumped: true });
    }
}
