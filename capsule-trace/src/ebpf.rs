//! The eBPF tracer: small programs in the kernel that record one process tree at its forks, execs and exits.
//!
//! ```text
//!  fork, exec, exit ─► capsule.bpf.c ─► ring ─► collect (copies) ─► assemble (joins) ─► RawSink
//!                      only the tree    16 MiB    one thread           one thread
//! ```
//!
//! The command is an ordinary child: nothing stops it, it may use ptrace itself, setuid programs keep their privileges.
//! What the kernel cannot record because the ring is full it counts, and the counts become loss records.

mod assemble;
mod attach;
mod btf;
mod calls;
mod cgroup;
mod collect;
mod effect;
mod load;
mod object;
mod paths;
mod probe;
mod second;
mod sys;
mod wire;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use capsule_core::{Backend, Coverage, ExitStatus, Pid, SpawnKind};
use nix::sys::signal::{self, Signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::assemble::{Assembler, Clock};
use self::collect::{Collector, LastWords};
use self::load::Programs;
pub(crate) use self::second::Witnessed;
use crate::backend::Probe;
use crate::command::sys::Held;
use crate::command::{Inherited, Launch};
use crate::daemon;
use crate::error::TraceError;
use crate::root;
use crate::running;
use crate::sink::{CaptureBody, RawSink};
use crate::tracer::{Control, DEFAULT_RING_BYTES, EffectLevel, Linger, Outcome, Running, TraceOptions, Tracer};

/// How long killed processes may take to end before they are given up on.
const DEATH_TAKES: Duration = Duration::from_secs(5);
/// How often it is looked whether the last descendant has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Programs that [`probe`] loaded, for the recording that usually follows.
static LOADED: Mutex<Option<Programs>> = Mutex::new(None);

/// Whether the programs load here: found out by loading them.
pub(crate) fn probe() -> Probe {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let facts = probe::Facts::read();
    if loaded.is_some() {
        return Probe::usable(Backend::Ebpf, facts.usable_because());
    }
    if let Some((because, remedy)) = facts.missing() {
        return Probe::unusable(Backend::Ebpf, because, remedy.as_deref());
    }
    match Programs::load(load::ring_size(DEFAULT_RING_BYTES)) {
        Ok(programs) => {
            *loaded = Some(programs);
            Probe::usable(Backend::Ebpf, facts.usable_because())
        }
        Err(TraceError::Unavailable { because, remedy, .. }) => {
            Probe::unusable(Backend::Ebpf, because, remedy.as_deref())
        }
        Err(error) => Probe::unusable(Backend::Ebpf, error.to_string(), error.remedy()),
    }
}

/// Reads records of the kernel programs that were kept, each after its length (4 bytes, the machine's order), and pushes
/// what they say. `root` is the command's own process.
///
/// What cannot be read becomes a loss record. It exists so that the decoder can be tried with any bytes at all.
pub fn replay_ring(records: &[u8], root: Pid, sink: RawSink) {
    collect::replay(records, Assembler::new(sink, root).recorded_by(&[Pid(1)]));
}

/// Who killed a recorder, by what the kernel programs recorded last and nobody read any more. `left` is what the recorder
/// left behind, and `signal` what killed it. `None`: somebody outside the tree, or it is not in there.
#[must_use]
pub fn killer(left: OwnedFd, recorder: Pid, signal: i32) -> Option<Pid> {
    collect::killer(left, recorder, signal)
}

/// The eBPF backend.
#[derive(Debug)]
pub(crate) struct Bpf {
    options: TraceOptions,
    /// How many batches may wait between the ring and the sink.
    batches: usize,
}

impl Bpf {
    pub(crate) fn new(options: TraceOptions) -> Self {
        Self { options, batches: collect::BATCHES }
    }
}

impl Tracer for Bpf {
    fn backend(&self) -> Backend {
        Backend::Ebpf
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        Box::pin(run(*self, launch, sink, control))
    }

    fn may_attach(&self, pid: Pid) -> Result<(), TraceError> {
        running::may_look_into(Backend::Ebpf, running::process_of(pid.0))
    }

    fn attach(self: Box<Self>, pid: Pid, sink: RawSink, control: Control) -> Running {
        Box::pin(attach::attach(*self, pid, sink, control))
    }
}

/// A recording under way. Dropping it before its end kills the tree, unless it is to live on.
#[derive(Debug)]
struct Recording {
    programs: Programs,
    collector: Option<Collector>,
    sink: RawSink,
    root: Pid,
    /// Told how the root ended.
    ended: oneshot::Receiver<ExitStatus>,
    lives_on: bool,
}

async fn run(bpf: Bpf, launch: Launch, sink: RawSink, mut control: Control) -> Result<Outcome, TraceError> {
    Inherited::remember();
    let options = bpf.options.clone();
    let mut recording = in_thread(move || start(&bpf, &launch, sink)).await?;
    control.tell_started(recording.root);
    let cancel = control.cancel.clone();
    let status = recording.until_root_ends(&cancel).await;
    if let Some(status) = status {
        control.tell_root_ended(status);
    }
    recording.until_tree_ends(&options, &cancel).await;
    recording.finish(status, &options).await
}

/// Starts a recording in a thread: all of it may block.
async fn in_thread(
    start: impl FnOnce() -> Result<Recording, TraceError> + Send + 'static,
) -> Result<Recording, TraceError> {
    let (started_tx, started) = oneshot::channel();
    std::thread::Builder::new()
        .name("capsule-start".to_owned())
        .spawn(move || {
            // Given up meanwhile: what was started is dropped, and so killed.
            drop(started_tx.send(start()));
        })
        .map_err(|source| TraceError::System { action: "start the tracer's thread", source })?;
    started.await.map_err(|_panicked| TraceError::BrokeOff {
        backend: Backend::Ebpf,
        because: "the thread that starts the recording panicked".to_owned(),
    })?
}

/// The programs, loaded: those of [`probe`] where they fit.
fn load(options: &TraceOptions) -> Result<Programs, TraceError> {
    let ring_bytes = load::ring_size(options.ring_bytes);
    let ready = LOADED.lock().unwrap_or_else(PoisonError::into_inner).take();
    match ready.filter(|programs| programs.ring_bytes == ring_bytes) {
        Some(programs) => Ok(programs),
        None => Programs::load(ring_bytes),
    }
}

/// Attaches the programs that the options ask for.
fn attach_programs(programs: &mut Programs, options: &TraceOptions) -> Result<(), TraceError> {
    let failed_execs = wants_failed_execs(options);
    match options.effects {
        EffectLevel::Off => programs.attach(failed_execs),
        // One program at each system call's end is enough.
        level => {
            programs.attach(false)?;
            programs.attach_effects(level == EffectLevel::All, failed_execs)
        }
    }
}

fn no_ring() -> TraceError {
    TraceError::BrokeOff { backend: Backend::Ebpf, because: "the ring has a reader already".to_owned() }
}

/// Loads, forks, attaches and releases the command.
fn start(bpf: &Bpf, launch: &Launch, sink: RawSink) -> Result<Recording, TraceError> {
    let mut programs = load(&bpf.options)?;
    let held = Held::fork(launch)?;
    let pid = held.pid();
    programs.track(pid)?;
    attach_programs(&mut programs, &bpf.options)?;
    let forked = Clock::now();
    let ring = programs.take_ring().ok_or_else(no_ring)?;
    sink.push(forked, CaptureBody::Spawn { parent: None, child: pid, how: SpawnKind::Root });
    let assembler = Assembler::new(sink.clone(), pid).recorded_by(&bpf.options.recorders);
    let collector = Collector::start(ring, assembler, bpf.batches)
        .map_err(|source| TraceError::System { action: "start the tracer's threads", source })?;
    let ended = wait_for(pid)?;
    let recording = Recording { programs, collector: Some(collector), sink, root: pid, ended, lives_on: false };
    let released = held.release().map_err(|source| TraceError::System { action: "release the child", source })?;
    match released.failure() {
        Some(failure) => Err(failure),
        None => Ok(recording),
    }
}

/// Waits for the command in a thread of its own: its end, and its job-control stops, which Capsule follows.
fn wait_for(root: Pid) -> Result<oneshot::Receiver<ExitStatus>, TraceError> {
    let (tx, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("capsule-wait".to_owned())
        .spawn(move || {
            if let Ok((status, _usage)) = root::wait_for_end(root) {
                // Nobody hears it when the recording was given up.
                let _unheard = tx.send(status);
            }
        })
        .map_err(|source| TraceError::System { action: "start the tracer's thread", source })?;
    Ok(ended)
}

fn kill(pids: &[Pid]) {
    for pid in pids {
        // It may have ended by itself meanwhile. Pids are below 2^22.
        let number = nix::unistd::Pid::from_raw(i32::try_from(pid.0).unwrap_or(i32::MAX));
        let _ended_already = signal::kill(number, Signal::SIGKILL);
    }
}

impl Recording {
    /// Waits for the root's end. When cancelled, kills the tree first. `None`: it cannot be waited for.
    async fn until_root_ends(&mut self, cancel: &CancellationToken) -> Option<ExitStatus> {
        tokio::select! {
            status = &mut self.ended => return status.ok(),
            () = cancel.cancelled() => {}
        }
        self.kill_tree().await;
        // Somebody who sleeps in the kernel for good does not even die.
        tokio::time::timeout(DEATH_TAKES, &mut self.ended).await.ok()?.ok()
    }

    /// Waits for the last descendant's end, as far as the user wants to.
    async fn until_tree_ends(&mut self, options: &TraceOptions, cancel: &CancellationToken) {
        let patience = match options.linger {
            Linger::Wait => None,
            Linger::Auto | Linger::Detach | Linger::Kill => Some(options.grace),
        };
        let begun = Instant::now();
        let mut last = (Instant::now(), Vec::new());
        while self.programs.any_alive() {
            if cancel.is_cancelled() || (options.linger == Linger::Kill && begun.elapsed() > options.grace) {
                self.kill_tree().await;
                return;
            }
            if patience.is_some_and(|patience| begun.elapsed() >= patience) && !self.stays(options, &mut last) {
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY.max(begun.elapsed() / 20).min(Duration::from_millis(100))) => {}
            }
        }
    }

    /// Whether somebody is left who does the session's work, and processes came or went lately.
    fn stays(&self, options: &TraceOptions, last: &mut (Instant, Vec<Pid>)) -> bool {
        let Some(stay_with) = daemon::wanted(options) else { return false };
        let alive = self.programs.alive();
        if alive != last.1 {
            *last = (Instant::now(), alive);
        }
        last.0.elapsed() < daemon::IDLE && daemon::any(last.1.iter().copied(), stay_with)
    }

    /// Kills until nobody is left: somebody may be forking meanwhile.
    async fn kill_tree(&self) {
        let begun = Instant::now();
        loop {
            let alive = self.programs.alive();
            if alive.is_empty() || begun.elapsed() > DEATH_TAKES {
                return;
            }
            kill(&alive);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets go of who is left, reads what the ring holds, says what was lost.
    async fn finish(mut self, root: Option<ExitStatus>, options: &TraceOptions) -> Result<Outcome, TraceError> {
        let broke_off =
            || TraceError::BrokeOff { backend: Backend::Ebpf, because: "the tracer's thread panicked".to_owned() };
        let left_running = self.programs.alive();
        self.programs.forget(&left_running);
        self.lives_on = true;
        let collector = self.collector.take().ok_or_else(broke_off)?;
        let last_words = LastWords {
            lost: self.programs.lost(),
            untracked: self.programs.untracked(),
            left_running: left_running.clone(),
        };
        let io_uring_users = collector.finish(last_words).await.ok_or_else(broke_off)?;
        let coverage = coverage(self.sink.lost(), options, left_running.len(), io_uring_users);
        Ok(Outcome { root, coverage, left_running })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.lives_on {
            return;
        }
        let begun = Instant::now();
        while self.programs.any_alive() && begun.elapsed() < DEATH_TAKES {
            kill(&self.programs.alive());
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn wants_failed_execs(options: &TraceOptions) -> bool {
    // They change nothing for the command.
    options.failed_execs.unwrap_or(true)
}

fn coverage(lost: u64, options: &TraceOptions, left_running: usize, io_uring_users: usize) -> Coverage {
    let mut hooks = ["sched_process_fork", "sched_process_exec", "sched_process_exit"].map(str::to_owned).to_vec();
    let mut not_seen = Vec::new();
    let (failed_execs, effects) = (wants_failed_execs(options), options.effects);
    if failed_execs || effects != EffectLevel::Off {
        hooks.push("sys_exit".to_owned());
        if cfg!(target_arch = "x86_64") {
            not_seen
                .push("failed execs and effects of 32-bit programs: their system calls have other numbers".to_owned());
        }
    }
    if !failed_execs {
        not_seen.push("failed execs: not asked for".to_owned());
    }
    match effects {
        EffectLevel::Off => not_seen.push("file, network and privilege effects: not asked for".to_owned()),
        level => {
            if level == EffectLevel::Writes {
                not_seen.push("files that were only read: not asked for".to_owned());
            }
            not_seen.push("symbolic links in the paths of renames, removals and the like: not resolved".to_owned());
            if io_uring_users > 0 {
                let whose = if io_uring_users == 1 { "process" } else { "processes" };
                not_seen.push(format!("what {io_uring_users} {whose} did through io_uring"));
            }
        }
    }
    not_seen.push("descriptors above 63 that are open at an exec".to_owned());
    if !load::names_threads() {
        not_seen.push("which thread executed a program: not told outside of the initial pid namespace".to_owned());
    }
    if left_running > 0 {
        not_seen.push(format!("{left_running} processes lived on; what they did later is not recorded"));
    }
    Coverage { backend: Backend::Ebpf, hooks, lost, not_seen }
}

#[cfg(test)]
mod tests;
