//! A tree that runs already, taken in by strace and let go by it.
//!
//! strace attaches to the processes that it is given, with their threads, and to whatever those make from then on. Who was
//! made before by somebody whom strace did not hold yet is found by looking again, and gets a strace of its own.

use std::collections::HashSet;
use std::io;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capsule_core::{Backend, ExitStatus, Pid, Tid, Timestamp};
use nix::sys::signal::Signal;
use tokio::sync::{Notify, oneshot};

use super::{ATTACH_TAKES, Finished, hand_over, keep_messages, outcome, start, traced_by};
use crate::clock::now;
use crate::error::TraceError;
use crate::ptrace::attach::try_seize;
use crate::ptrace::facts::Facts;
use crate::root::sys::kill;
use crate::running::{self, MOST_ROUNDS, is_dead, threads, tracer_of, tree};
use crate::sink::{CaptureBody, RawSink};
use crate::tracer::{Control, EffectLevel, Outcome, TraceOptions};

/// The first real-time signal's number in the kernel, which is what strace counts from.
const REAL_TIME: i32 = 32;

/// What the threads share with the task that watches over them.
#[derive(Debug, Default)]
struct Shared {
    straces: Mutex<Vec<u32>>,
    /// Whether they were told to end.
    let_go: AtomicBool,
    root_ended: Notify,
}

impl Shared {
    fn straces(&self) -> Vec<u32> {
        self.straces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of them ends by itself, and its number may soon be another's.
    fn forget(&self, strace: u32) {
        self.straces.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| *known != strace);
    }

    /// Lets everybody go: strace detaches from all whom it holds, and ends.
    fn let_go(&self) {
        let mut straces = self.straces.lock().unwrap_or_else(PoisonError::into_inner);
        self.let_go.store(true, Ordering::Relaxed);
        for strace in straces.drain(..) {
            kill(strace, libc::SIGTERM);
        }
    }
}

/// Lets the tree go when nobody waits for the recording any more.
#[derive(Debug)]
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

type Done = oneshot::Receiver<Result<(Finished, u64), TraceError>>;

/// Records a process that runs already. Whatever happens, it is let go and never killed.
pub(super) async fn attach(
    options: TraceOptions,
    pid: Pid,
    sink: RawSink,
    control: Control,
) -> Result<Outcome, TraceError> {
    let shared = Arc::new(Shared::default());
    let guard = Guard(Arc::clone(&shared));
    let cancel = control.cancel.clone();
    let (done_tx, mut done): (_, Done) = oneshot::channel();
    let (for_thread, to_thread, effects) = (Arc::clone(&shared), sink.clone(), options.effects);
    let thread = std::thread::Builder::new()
        .name("capsule-strace".to_owned())
        .spawn(move || {
            let _unheard = done_tx.send(trace(pid, effects, &for_thread, &to_thread, control));
        })
        .map_err(|source| TraceError::System { action: "start the tracer's threads", source })?;
    let until = running::let_go_when(&shared.root_ended, &options, &cancel);
    let mut left_running = Vec::new();
    let ended = tokio::select! {
        ended = &mut done => ended,
        () = until => {
            left_running.extend(shared.straces().into_iter().flat_map(traced_by).map(Pid));
            shared.let_go();
            done.await
        }
    };
    drop(guard);
    let broke_off = || TraceError::BrokeOff { backend: Backend::Strace, because: "a thread of it panicked".to_owned() };
    thread.join().map_err(|_panic| broke_off())?;
    let (finished, refused) = ended.map_err(|_gone| broke_off())??;
    for pid in &left_running {
        sink.push(now(), CaptureBody::LeftRunning { pid: *pid });
    }
    let mut outcome = outcome(finished, effects, left_running, sink.lost());
    outcome.coverage.not_seen.insert(0, running::BEFORE.to_owned());
    if refused > 0 {
        outcome.coverage.not_seen.push(format!("{refused} processes that could not be attached to"));
    }
    Ok(outcome)
}

/// The straces at work, and who was taken in.
#[derive(Debug, Default)]
struct Taken {
    straces: Vec<Child>,
    /// Processes with their parent, parents first.
    processes: Vec<(u32, u32)>,
    refused: u64,
}

/// What the first thread does: takes the tree in, hands the lines over, waits for the end of every strace. Gives how many
/// processes could not be attached to, too.
fn trace(
    pid: Pid,
    effects: EffectLevel,
    shared: &Arc<Shared>,
    sink: &RawSink,
    mut control: Control,
) -> Result<(Finished, u64), TraceError> {
    let root = running::process_of(pid.0);
    let begun = now();
    let mut taken = take_in(root, effects, shared)?;
    running::tell(&taken.processes, begun, &mut Facts::new(), sink);
    for (pid, _) in &taken.processes {
        for tid in threads(*pid).into_iter().filter(|tid| tid != pid) {
            sink.push(begun, CaptureBody::Thread { pid: Pid(*pid), tid: Tid(tid) });
        }
    }
    control.tell_started(Pid(root));
    let mut readers = Vec::new();
    // The first one holds the root.
    let mut told = Some((control, Arc::clone(shared)));
    for strace in &mut taken.straces {
        readers.push(read(strace, root, begun, sink, told.take())?);
    }
    let mut finished = Finished { root: None, messages: String::new() };
    for (mut strace, (lines, said)) in taken.straces.into_iter().zip(readers) {
        let read = lines.join();
        shared.forget(strace.id());
        let ended = strace.wait().map_err(|source| TraceError::System { action: "wait for strace", source })?;
        let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
        finished.messages.push_str(&said);
        match read {
            Ok(Ok(status)) if ended.success() || shared.let_go.load(Ordering::Relaxed) => {
                finished.root = finished.root.or(status);
            }
            _ => sink.loss(now(), 0, None, format!("strace ended early ({ended}): {}", said.trim())),
        }
    }
    Ok((finished, taken.refused))
}

/// Reads what one strace writes and says, in a thread each. The first gives how the root ended, where a line told it.
#[expect(clippy::type_complexity, reason = "two threads, named nowhere else")]
fn read(
    strace: &mut Child,
    root: u32,
    begun: Timestamp,
    sink: &RawSink,
    mut told: Option<(Control, Arc<Shared>)>,
) -> Result<(JoinHandle<io::Result<Option<ExitStatus>>>, Option<JoinHandle<String>>), TraceError> {
    let failed = |source| TraceError::System { action: "start a thread", source };
    let (output, sink) = (strace.stdout.take(), sink.clone());
    let lines = std::thread::Builder::new()
        .name("capsule-strace-read".to_owned())
        .spawn(move || {
            let mut status = None;
            let look = |line: &[u8]| {
                let Some((control, shared)) = &mut told else { return };
                if let Some(ended) = end_of(line, root) {
                    status = Some(ended);
                    control.tell_root_ended(ended);
                    shared.root_ended.notify_one();
                }
            };
            output.map_or(Ok(()), |output| hand_over(output, &sink, begun, look))?;
            Ok(status)
        })
        .map_err(failed)?;
    let keep = |stderr| std::thread::Builder::new().spawn(move || keep_messages(stderr));
    let said = strace.stderr.take().map(keep).transpose().map_err(failed)?;
    Ok((lines, said))
}

/// Has straces attach to `root` and its descendants, until a whole round finds nobody whom none of them holds.
fn take_in(root: u32, effects: EffectLevel, shared: &Shared) -> Result<Taken, TraceError> {
    let mut taken = Taken::default();
    let mut known = HashSet::new();
    for _ in 0..MOST_ROUNDS {
        let straces: HashSet<u32> = taken.straces.iter().map(Child::id).collect();
        let mut new = Vec::new();
        for process in tree(root) {
            let held = tracer_of(process.pid).is_some_and(|tracer| straces.contains(&tracer));
            if held || !known.insert(process) || is_dead(process.pid) {
                continue;
            }
            match try_seize(Backend::Strace, process.pid) {
                Ok(()) => new.push(process),
                Err(error) if taken.processes.is_empty() && new.is_empty() => return Err(error),
                Err(_) => taken.refused += u64::from(!is_dead(process.pid)),
            }
        }
        if new.is_empty() {
            break;
        }
        let pids: Vec<u32> = new.iter().map(|process| process.pid).collect();
        let strace = start(&pids, effects)?;
        shared.straces.lock().unwrap_or_else(PoisonError::into_inner).push(strace.id());
        taken.straces.push(strace);
        if let Some(strace) = taken.straces.last_mut() {
            let held = wait_until_attached(&pids, strace)?;
            // Who ended before is left out: strace tells no end of it.
            let held = new.iter().filter(|process| held.contains(&process.pid));
            taken.processes.extend(held.map(|process| (process.pid, process.parent)));
        }
    }
    Ok(taken)
}

/// Waits until strace holds each of them or they have ended; gives those that it was seen to hold.
fn wait_until_attached(pids: &[u32], strace: &mut Child) -> Result<HashSet<u32>, TraceError> {
    let begun = Instant::now();
    let mut held = HashSet::new();
    loop {
        held.extend(pids.iter().filter(|pid| tracer_of(**pid) == Some(strace.id())));
        if pids.iter().all(|pid| held.contains(pid) || is_dead(*pid)) {
            return Ok(held);
        }
        let because = if !matches!(strace.try_wait(), Ok(None)) {
            strace.stderr.take().map(keep_messages).unwrap_or_default()
        } else if begun.elapsed() > ATTACH_TAKES {
            "strace did not attach in time".to_owned()
        } else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        return Err(TraceError::BrokeOff { backend: Backend::Strace, because });
    }
}

/// How `root` ended, where a line of strace's says that it did: `PID TIME +++ exited with N +++`, or `killed by SIGNAL`.
fn end_of(line: &[u8], root: u32) -> Option<ExitStatus> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" +++")?;
    let (pid, rest) = line.split_once(' ')?;
    if pid.parse() != Ok(root) {
        return None;
    }
    let (_time, what) = rest.trim_start().split_once(' ')?;
    let what = what.strip_prefix("+++ ")?;
    if let Some(code) = what.strip_prefix("exited with ") {
        return code.parse().ok().map(ExitStatus::Exited);
    }
    let name = what.strip_prefix("killed by ")?;
    let (name, core_dumped) = name.strip_suffix(" (core dumped)").map_or((name, false), |name| (name, true));
    let real_time = || {
        let above = if name == "SIGRTMIN" { 0 } else { name.strip_prefix("SIGRT_")?.parse::<i32>().ok()? };
        Some(REAL_TIME + above)
    };
    let signal = name.parse::<Signal>().map(|signal| signal as i32).ok().or_else(real_time)?;
    Some(ExitStatus::Signaled { signal, core_dumped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_roots_own_end_is_its_end() {
        let end = |line: &str| end_of(line.as_bytes(), 12);
        assert_eq!(end("12    1700000000.000001 +++ exited with 7 +++"), Some(ExitStatus::Exited(7)));
        let killed = |signal, core_dumped| Some(ExitStatus::Signaled { signal, core_dumped });
        assert_eq!(end("12 1700000000.000001 +++ killed by SIGSEGV (core dumped) +++"), killed(11, true));
        assert_eq!(end("12 1700000000.000001 +++ killed by SIGKILL +++"), killed(9, false));
        assert_eq!(end("12 1700000000.000001 +++ killed by SIGRT_2 +++"), killed(34, false));
        assert_eq!(end("13 1700000000.000001 +++ exited with 7 +++"), None);
        assert_eq!(end("12 1700000000.000001 execve(\"/bin/x\", [\"+++ exited with 7 +++\"], 0x0) = 0"), None);
        assert_eq!(end("12 1700000000.000001 execve(\"/bin/x +++ exited with 7 +++"), None);
        assert_eq!(end("12 1700000000.000001 +++ superseded by execve in pid 12 +++"), None);
    }
}
