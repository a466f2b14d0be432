//! A program of the system's own that watches (macOS's dtrace and eslogger), as a tracer.
//!
//! The command is a child of Capsule, held until the watching program has said that it sees events; then it is released
//! and inherits from Capsule alone. The program prints a line for each event. [`Watcher`] says of a line whether it
//! belongs to the tree and who is born or ends by it; this driver starts, reads, waits, ends, and says what is missing.
//!
//! Neither program can hold the command back: what they lose, they lose in the kernel, and it becomes a gap.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capsule_core::{Backend, Coverage, ExitStatus, Pid, ResourceUsage, SpawnKind, Timestamp};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::command::sys::Held;
use crate::command::{Inherited, Launch};
use crate::error::TraceError;
use crate::lines::Lines;
use crate::root;
use crate::sink::{CaptureBody, RawSink};
use crate::tracer::{Control, Linger, Outcome, TraceOptions};

/// How long the program may take until it sees events: dtrace compiles and enables its probes meanwhile.
const READY_TAKES: Duration = Duration::from_secs(30);
/// How often a program that says nothing by itself is given something to see.
const CANARY_EVERY: Duration = Duration::from_millis(50);
/// How long the last lines may take after the processes they tell of have ended.
const LATE: Duration = Duration::from_secs(2);
/// How long killed processes may take to end before they are given up on.
const DEATH_TAKES: Duration = Duration::from_secs(5);
/// How much of the program's messages is kept, in bytes.
const MESSAGES: usize = 4096;

/// What a line of the program says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// The program sees events.
    pub(crate) ready: bool,
    /// The line is of the tree, and recorded.
    pub(crate) ours: bool,
    /// A process of the tree that begins.
    pub(crate) born: Option<u32>,
    /// A process of the tree that ends.
    pub(crate) ended: Option<u32>,
    /// How many events were lost before this line.
    pub(crate) lost: u64,
    /// When it happened, where the line says it; else the moment of reading.
    pub(crate) at: Option<Timestamp>,
}

/// A program that watches.
pub(crate) trait Watcher: Send + 'static {
    /// Which backend it is.
    fn backend(&self) -> Backend;

    /// The program, which is to watch `root` and what comes of it. Its input may be set; its outputs are set here.
    fn command(&self, root: Pid) -> Command;

    /// What is written to the program's standard input.
    fn input(&self) -> Option<String> {
        None
    }

    /// What makes an event happen, for a program that says nothing until one does.
    fn canary(&self) -> Option<Command> {
        None
    }

    /// What a line says, where `live` are the living processes of the tree.
    fn line(&mut self, line: &[u8], live: &BTreeSet<u32>) -> Told;

    /// Whether what the program writes to its standard error is part of the record.
    fn records_messages(&self) -> bool {
        false
    }

    /// The error that the program's last words mean, when it ended before it saw anything.
    fn refusal(&self, words: &str) -> TraceError;

    /// What was hooked and what cannot be seen.
    fn coverage(&self) -> Coverage;
}

struct State<W> {
    watcher: W,
    live: BTreeSet<u32>,
    ready: bool,
    /// The program's output has ended.
    over: bool,
    /// How many of its outputs are still read.
    open: usize,
    /// The program was told to end.
    told_to_end: bool,
    messages: Vec<u8>,
}

struct Shared<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
    root_ended: Notify,
}

impl<W> Shared<W> {
    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Vec<u32> {
        self.state().live.iter().copied().filter(|pid| root::sys::exists(*pid)).collect()
    }

    fn kill_tree(&self) {
        for pid in self.living() {
            root::sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// Kills the tree when nobody waits for it any more.
struct Guard<W>(Arc<Shared<W>>);

impl<W> Drop for Guard<W> {
    fn drop(&mut self) {
        self.0.kill_tree();
    }
}

type Done = oneshot::Receiver<Result<Finished, TraceError>>;

struct Finished {
    root: ExitStatus,
    /// Processes whose end no line told although they are gone.
    untold: u64,
}

/// Runs `launch` under `watcher`; the contract is that of [`Tracer::run`](crate::tracer::Tracer::run).
pub(crate) async fn run<W: Watcher>(
    watcher: W,
    options: TraceOptions,
    launch: Launch,
    sink: RawSink,
    control: Control,
) -> Result<Outcome, TraceError> {
    Inherited::remember();
    let backend = watcher.backend();
    let state = State {
        watcher,
        live: BTreeSet::new(),
        ready: false,
        over: false,
        open: 0,
        told_to_end: false,
        messages: Vec::new(),
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), root_ended: Notify::new() });
    let guard = Guard(Arc::clone(&shared));
    let cancel = control.cancel.clone();
    let (done_tx, mut done) = oneshot::channel();
    let (end_tx, end) = std::sync::mpsc::channel();
    let (for_thread, to_thread) = (Arc::clone(&shared), sink.clone());
    let thread = std::thread::Builder::new().name(format!("capsule-{backend}")).spawn(move || {
        let _unheard = done_tx.send(trace(&launch, &for_thread, &to_thread, control, &end));
    });
    let thread = thread.map_err(|source| TraceError::System { action: "start the tracer's threads", source })?;
    let mut left_running = Vec::new();
    let ended = watch_over(&shared, &options, &cancel, &mut done, &mut left_running, end_tx).await;
    drop(guard);
    let broke_off = || TraceError::BrokeOff { backend, because: "a thread of it panicked".to_owned() };
    thread.join().map_err(|_panic| broke_off())?;
    let finished = ended.ok_or_else(broke_off)??;
    for pid in &left_running {
        sink.push(now(), CaptureBody::LeftRunning { pid: *pid });
    }
    if finished.untold > 0 {
        sink.loss(
            now(),
            finished.untold,
            None,
            format!("{backend} did not tell how {} processes ended", finished.untold),
        );
    }
    let coverage = Coverage { lost: sink.lost(), ..shared.state().watcher.coverage() };
    Ok(Outcome { root: Some(finished.root), coverage, left_running })
}

/// Waits for the end of the tree and brings it about where time or the user demand it; then has the program ended, by
/// dropping `end`. `None`: a thread panicked.
async fn watch_over<W: Watcher>(
    shared: &Shared<W>,
    options: &TraceOptions,
    cancel: &CancellationToken,
    done: &mut Done,
    left_running: &mut Vec<Pid>,
    end: std::sync::mpsc::Sender<()>,
) -> Option<Result<Finished, TraceError>> {
    let kill = tokio::select! {
        // Only a failure ends it before the root has ended.
        ended = &mut *done => return ended.ok(),
        () = cancel.cancelled() => true,
        () = shared.root_ended.notified() => {
            let grace = async {
                match options.linger {
                    Linger::Wait => std::future::pending().await,
                    _ => tokio::time::sleep(options.grace).await,
                }
            };
            tokio::select! {
                () = nobody_lives(shared) => false,
                () = cancel.cancelled() => true,
                () = grace => options.linger == Linger::Kill,
            }
        }
    };
    if kill {
        let begun = Instant::now();
        while !shared.living().is_empty() && begun.elapsed() < DEATH_TAKES {
            shared.kill_tree();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // The ends of those who are gone may still be on their way.
    let begun = Instant::now();
    while begun.elapsed() < LATE && !shared.state().over && shared.living().len() < shared.state().live.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    left_running.extend(shared.living().into_iter().map(Pid));
    drop(end);
    done.await.ok()
}

async fn nobody_lives<W>(shared: &Shared<W>) {
    while !shared.living().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the first thread does: starts both, waits for the root's end, then until the program is to end, and ends it.
fn trace<W: Watcher>(
    launch: &Launch,
    shared: &Arc<Shared<W>>,
    sink: &RawSink,
    mut control: Control,
    end: &std::sync::mpsc::Receiver<()>,
) -> Result<Finished, TraceError> {
    let failed = |action| move |source| TraceError::System { action, source };
    let held = Held::fork(launch)?;
    let root = held.pid();
    let forked = now();
    shared.state().live.insert(root.0);
    let give_up = |held: Held, error| {
        drop(held);
        // It ends by itself; its end is taken so that no zombie stays.
        let _gone = root::wait_for_end(root);
        shared.state().live.clear();
        error
    };
    let mut program = match start(shared, root) {
        Ok(program) => program,
        Err(error) => return Err(give_up(held, error)),
    };
    let readers = read(&mut program, shared, sink).map_err(failed("start a thread"));
    let readers = match readers.and_then(|readers| wait_until_ready(shared).map(|()| readers)) {
        Ok(readers) => readers,
        Err(error) => {
            stop(shared, &mut program);
            return Err(give_up(held, error));
        }
    };
    sink.push(forked, CaptureBody::Spawn { parent: None, child: root, how: SpawnKind::Root });
    let released = held.release().map_err(failed("release the child"))?;
    let failure = released.failure();
    if failure.is_none() {
        control.tell_started(root);
    }
    let (status, rusage) = root::wait_for_end(root).map_err(failed("wait for the command"))?;
    if let Some(failure) = failure {
        stop(shared, &mut program);
        return Err(failure);
    }
    control.tell_root_ended(status);
    shared.root_ended.notify_one();
    // Nothing is ever sent: the other side drops its end.
    let _over = end.recv();
    stop(shared, &mut program);
    for reader in readers {
        let _read = reader.join();
    }
    Ok(Finished { root: status, untold: untold_ends(shared, sink, root, status, rusage) })
}

/// How many ended although no line told so. Of the root Capsule itself knows how, and tells it.
fn untold_ends<W>(shared: &Shared<W>, sink: &RawSink, root: Pid, status: ExitStatus, rusage: ResourceUsage) -> u64 {
    let mut live = std::mem::take(&mut shared.state().live);
    if live.remove(&root.0) {
        sink.push(now(), CaptureBody::Exit { pid: root, status, rusage: Some(rusage) });
    }
    live.iter().filter(|pid| !root::sys::exists(**pid)).count().try_into().unwrap_or(u64::MAX)
}

/// Starts the program, in a group of its own, where the terminal's signals do not reach it (and because eslogger does not
/// report processes of its own group).
fn start<W: Watcher>(shared: &Shared<W>, root: Pid) -> Result<Child, TraceError> {
    let (mut command, input, backend) = {
        let state = shared.state();
        (state.watcher.command(root), state.watcher.input(), state.watcher.backend())
    };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut program = command.spawn().map_err(|error| TraceError::Unavailable {
        backend,
        because: format!("cannot start {}: {error}", command.get_program().to_string_lossy()),
        remedy: None,
    })?;
    if let (Some(input), Some(mut stdin)) = (input, program.stdin.take()) {
        // A program that does not read says why when it ends.
        let _written = io::Write::write_all(&mut stdin, input.as_bytes());
    }
    Ok(program)
}

type Reader = std::thread::JoinHandle<()>;

/// Reads what the program prints, and what it says of itself, until it ends.
fn read<W: Watcher>(program: &mut Child, shared: &Arc<Shared<W>>, sink: &RawSink) -> io::Result<Vec<Reader>> {
    let mut readers = Vec::new();
    let backend = shared.state().watcher.backend();
    if let Some(output) = program.stdout.take() {
        shared.state().open += 1;
        let (shared, sink) = (Arc::clone(shared), sink.clone());
        readers.push(std::thread::Builder::new().name(format!("capsule-{backend}-read")).spawn(move || {
            each_line(output, |line| take(&shared, &sink, line));
            let mut state = shared.state();
            state.over = true;
            state.open -= 1;
            let early = state.ready && !state.told_to_end;
            drop(state);
            shared.changed.notify_all();
            if early {
                sink.loss(now(), 0, None, format!("{backend} ended early"));
            }
        })?);
    }
    if let Some(errors) = program.stderr.take() {
        shared.state().open += 1;
        let (shared, sink) = (Arc::clone(shared), sink.clone());
        readers.push(std::thread::Builder::new().name(format!("capsule-{backend}-errors")).spawn(move || {
            each_line(errors, |line| {
                let mut state = shared.state();
                let room = MESSAGES.saturating_sub(state.messages.len()).min(line.len());
                let kept = line.get(..room).unwrap_or_default();
                state.messages.extend_from_slice(kept);
                if room > 0 {
                    state.messages.push(b'\n');
                }
                let recorded = state.ready && state.watcher.records_messages();
                drop(state);
                if recorded {
                    sink.push(now(), CaptureBody::Line { source: backend, text: line.to_vec() });
                }
            });
            shared.state().open -= 1;
            shared.changed.notify_all();
        })?);
    }
    Ok(readers)
}

fn take<W: Watcher>(shared: &Shared<W>, sink: &RawSink, line: &[u8]) {
    let mut guard = shared.state();
    let state = &mut *guard;
    let backend = state.watcher.backend();
    let told = state.watcher.line(line, &state.live);
    state.live.extend(told.born);
    if let Some(pid) = told.ended {
        state.live.remove(&pid);
    }
    if told.ready && !state.ready {
        state.ready = true;
        shared.changed.notify_all();
    }
    // The sink may make this thread wait, and nobody may wait for the lock meanwhile.
    drop(guard);
    let at = told.at.unwrap_or_else(now);
    if told.lost > 0 {
        sink.loss(at, told.lost, None, format!("{backend} lost them"));
    }
    if told.ours {
        sink.push(at, CaptureBody::Line { source: backend, text: line.to_vec() });
    }
}

fn each_line(mut from: impl Read, mut line: impl FnMut(&[u8])) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => lines.feed(buffer.get(..length).unwrap_or_default(), &mut line),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.finish(line);
}

/// Waits until the program sees events, and gives it something to see.
fn wait_until_ready<W: Watcher>(shared: &Shared<W>) -> Result<(), TraceError> {
    let begun = Instant::now();
    let mut state = shared.state();
    loop {
        if state.ready {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&state.messages).trim().to_owned();
        // Its last words are read before its end is judged.
        if state.open == 0 {
            return Err(state.watcher.refusal(&words));
        }
        if begun.elapsed() > READY_TAKES {
            let backend = state.watcher.backend();
            return Err(TraceError::BrokeOff { backend, because: format!("it saw nothing in time: {words}") });
        }
        let canary = state.watcher.canary();
        drop(state);
        if let Some(mut canary) = canary {
            // Its fate does not matter: that it began is what is to be seen.
            let _unseen = canary.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        state = shared.changed.wait_timeout(shared.state(), CANARY_EVERY).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Ends the program: it is asked first, so that it can write what it has.
fn stop<W>(shared: &Shared<W>, program: &mut Child) {
    shared.state().told_to_end = true;
    let begun = Instant::now();
    root::sys::kill(program.id(), libc::SIGINT);
    while matches!(program.try_wait(), Ok(None)) {
        if begun.elapsed() > DEATH_TAKES {
            // Gone meanwhile: as wanted.
            let _gone = program.kill().and_then(|()| program.wait().map(drop));
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
pub(crate) mod tests;
