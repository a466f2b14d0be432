//! The kernel programs: loaded, verified, attached, and what is asked of their maps.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use aya::{Btf, Endianness, include_bytes_aligned};
use aya_obj::btf::BtfKind;
use capsule_core::{Backend, Pid};

use super::object::{self, ObjectError};
use super::{btf, calls, probe, sys};
use crate::error::TraceError;

#[cfg(target_arch = "x86_64")]
static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/capsule.x86_64.bpf.o");
#[cfg(target_arch = "aarch64")]
static OBJECT: &[u8] = include_bytes_aligned!("../../bpf/capsule.aarch64.bpf.o");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static OBJECT: &[u8] = &[];

/// Programs with the tracepoints they go to.
const ALWAYS: [(&str, &str); 3] =
    [("on_fork", "sched_process_fork"), ("on_exec", "sched_process_exec"), ("on_exit", "sched_process_exit")];
const FAILED_EXECS: (&str, &str) = ("on_sys_exit", "sys_exit");
const EFFECTS: (&str, &str) = ("on_effect", "sys_exit");
/// What the kernel's type information calls the last one's tracepoint.
const EFFECTS_TYPE: &str = "btf_trace_sys_exit";

/// `BPF_NOEXIST` of bpf(2).
const NO_EXIST: u64 = 1;
const READ_TYPES: &str = "read the kernel's type information";
const LOAD: &str = "load the kernel programs";
const ATTACH: &str = "attach the kernel programs";
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
/// The initial pid namespace's inode (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;
/// Buffers for one record each, a cpu; as in the C source.
const SCRATCH_PER_CPU: u32 = 2;

/// Programs in the kernel. Dropping them detaches.
pub(super) struct Programs {
    object: object::Programs,
    tracked: HashMap<MapData, u32, u32>,
    lost: PerCpuArray<MapData, u64>,
    ring: Option<RingBuf<MapData>>,
    calls: Array<MapData, u32>,
    /// The ring's size in bytes.
    pub(super) ring_bytes: u32,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").field("ring_bytes", &self.ring_bytes).finish_non_exhaustive()
    }
}

/// The ring's size must be a power of two and a multiple of the page size.
pub(super) fn ring_size(wanted: usize) -> u32 {
    const SMALLEST: u32 = 64 << 10;
    const LARGEST: u32 = 1 << 30;
    u32::try_from(wanted).unwrap_or(LARGEST).clamp(SMALLEST, LARGEST).next_power_of_two()
}

impl Programs {
    /// Loads and verifies the programs; nothing is attached yet.
    pub(super) fn load(ring_bytes: u32) -> Result<Self, TraceError> {
        if OBJECT.is_empty() {
            return Err(TraceError::Unavailable {
                backend: Backend::Ebpf,
                because: format!("there are no kernel programs for {}", std::env::consts::ARCH),
                remedy: None,
            });
        }
        let (kernel, sys_exit) = kernels_types().map_err(|source| failed(READ_TYPES, &source))?;
        let kernel = Btf::parse(&kernel, Endianness::default()).map_err(|source| failed(READ_TYPES, &source))?;
        let sys_exit = sys_exit
            .map_or_else(|| kernel.id_by_type_name_kind(EFFECTS_TYPE, BtfKind::Typedef), Ok)
            .map_err(|source| failed(READ_TYPES, &source))?;
        let cpus = aya::util::nr_cpus().map_err(|(_file, source)| failed("count the cpus", &source))?;
        let scratch = u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(SCRATCH_PER_CPU);
        let sizes = [("ring", ring_bytes), ("scratch", scratch), ("tracked", most_processes())];
        let namespace = pid_namespace().to_ne_bytes();
        let typed = [(EFFECTS.0, sys_exit)];
        let mut object = object::Programs::new(OBJECT, &kernel, &sizes, &[("pid_ns_inum", &namespace)], &typed)
            .map_err(|source| failed(LOAD, &source))?;
        for (name, _) in ALWAYS {
            object.load(name).map_err(|source| failed(LOAD, &source))?;
        }
        let tracked = take(&mut object, "tracked", Map::HashMap)?;
        let lost = take(&mut object, "lost", Map::PerCpuArray)?;
        let ring = take(&mut object, "ring", Map::RingBuf)?;
        let calls = take(&mut object, "calls", Map::Array)?;
        Ok(Self { object, tracked, lost, ring: Some(ring), calls, ring_bytes })
    }

    /// Attaches the programs. From now on the tree of whatever is tracked is recorded.
    pub(super) fn attach(&mut self, failed_execs: bool) -> Result<(), TraceError> {
        for (name, tracepoint) in ALWAYS.into_iter().chain(failed_execs.then_some(FAILED_EXECS)) {
            self.object.attach(name, tracepoint).map_err(|source| failed(ATTACH, &source))?;
        }
        Ok(())
    }

    /// Attaches the program for effects, which is loaded only now: most of it is never needed.
    pub(super) fn attach_effects(&mut self, reads: bool, failed_execs: bool) -> Result<(), TraceError> {
        let effects = calls::all().map(|call| (call.number, call.instruction(reads)));
        let execs = failed_execs.then_some(calls::EXECS).into_iter().flatten();
        for (number, instruction) in effects.chain(execs) {
            let number =
                u32::try_from(number).map_err(|_negative| broken("a call has a negative number".to_owned()))?;
            self.calls.set(number, instruction, 0).map_err(|source| failed("choose system calls", &source))?;
        }
        self.object.attach(EFFECTS.0, EFFECTS.1).map_err(|source| failed(ATTACH, &source))
    }

    /// The reading end of the ring. There is one.
    pub(super) fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        self.ring.take()
    }

    /// Follows `pid` and everything that comes of it.
    pub(super) fn track(&mut self, pid: Pid) -> Result<(), TraceError> {
        self.tracked.insert(pid.0, 1, 0).map_err(|source| failed("follow the command", &source))
    }

    /// The same for a process that may be followed already: then `false`.
    pub(super) fn track_new(&mut self, pid: Pid) -> Result<bool, TraceError> {
        match self.tracked.insert(pid.0, 1, NO_EXIST) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(failed("follow the process", &error)),
        }
    }

    /// Stops following one process; whether it was followed until now.
    pub(super) fn untrack(&mut self, pid: Pid) -> bool {
        self.tracked.remove(&pid.0).is_ok()
    }

    /// Whether a process is followed.
    pub(super) fn follows(&self, pid: Pid) -> bool {
        self.tracked.get(&pid.0, 0).is_ok()
    }

    /// The processes of the tree that live now.
    pub(super) fn alive(&self) -> Vec<Pid> {
        let mut alive: Vec<Pid> = self.tracked.keys().filter_map(Result::ok).map(Pid).collect();
        alive.sort_unstable();
        alive
    }

    /// Whether any process of the tree lives.
    pub(super) fn any_alive(&self) -> bool {
        self.tracked.keys().next().is_some()
    }

    /// Stops following everything.
    pub(super) fn forget(&mut self, pids: &[Pid]) {
        for pid in pids {
            // It may have ended by itself meanwhile.
            self.untrack(*pid);
        }
    }

    /// How many records each cpu could not put into the ring.
    pub(super) fn lost(&self) -> Vec<u64> {
        self.lost.get(&0, 0).map(|values| values.iter().copied().collect()).unwrap_or_default()
    }

    /// How many processes were not followed because the table was full.
    pub(super) fn untracked(&self) -> u64 {
        self.lost.get(&1, 0).map_or(0, |values| values.iter().sum())
    }
}

/// The types that the programs name, out of the kernel's; and the number that one which is not among them has there, where
/// these are not all.
fn kernels_types() -> io::Result<(Vec<u8>, Option<u32>)> {
    let mut file = File::open(VMLINUX)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    // Before Linux 6.16 it can only be read, a page at a time.
    let mapped = sys::Mapped::new(&file, len);
    if let Some(found) = mapped.as_ref().ok().and_then(|mapped| btf::subset(mapped.bytes(), btf::WANTED, EFFECTS_TYPE))
    {
        return Ok((found.types, Some(found.named)));
    }
    let mut whole = Vec::with_capacity(len);
    file.read_to_end(&mut whole)?;
    Ok(match btf::subset(&whole, btf::WANTED, EFFECTS_TYPE) {
        Some(found) => (found.types, Some(found.named)),
        None => (whole, None),
    })
}

/// The inode of the pid namespace that pids are to be given in; 0 for the initial one.
fn pid_namespace() -> u32 {
    match std::fs::metadata("/proc/self/ns/pid") {
        Ok(found) if found.ino() != INITIAL_PID_NAMESPACE => u32::try_from(found.ino()).unwrap_or(0),
        _ => 0,
    }
}

/// Whether the number of a thread that executed a program is known: the kernel tells it for its initial pid namespace only.
pub(super) fn names_threads() -> bool {
    pid_namespace() == 0
}

/// As many as there can be, within reason: room for all of them is made at once.
fn most_processes() -> u32 {
    const REASON: u32 = 65_536;
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse().ok());
    most.unwrap_or(REASON).clamp(1024, REASON)
}

/// A map of the object, as what it is used for.
fn take<T: TryFrom<Map>>(
    object: &mut object::Programs,
    name: &'static str,
    kind: fn(MapData) -> Map,
) -> Result<T, TraceError> {
    let map = object.take_map(name).map_err(|error: ObjectError| broken(error.to_string()))?;
    T::try_from(kind(map)).map_err(|_other_type| broken(format!("the map `{name}` is of another type")))
}

fn broken(because: String) -> TraceError {
    TraceError::BrokeOff { backend: Backend::Ebpf, because }
}

/// An error with what its sources say and, where the kernel refused, what is missing.
fn failed(action: &'static str, error: &(dyn Error + 'static)) -> TraceError {
    let mut text = error.to_string();
    let mut errno = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            errno = io.raw_os_error().or(errno);
        }
        next = error.source();
        if let Some(source) = next {
            let source = source.to_string();
            if !text.contains(&source) {
                text = format!("{text}: {source}");
            }
        }
    }
    let facts = probe::Facts::read();
    let refused = matches!(errno, Some(libc::EPERM | libc::EACCES)).then(|| facts.refused());
    let (because, remedy) = facts.missing().or(refused).unwrap_or_else(|| (format!("cannot {action}: {text}"), None));
    TraceError::Unavailable { backend: Backend::Ebpf, because, remedy }
}
