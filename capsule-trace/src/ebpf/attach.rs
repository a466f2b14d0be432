//! A tree that runs already, taken in and followed until it is let go.
//!
//! The programs are attached first. From the moment that a process stands in their table the kernel adds its children to it
//! and records them, so the scan of `/proc` is repeated until a whole round finds nobody who is not in the table. Everything
//! that the kernel saw meanwhile waits in the ring until it has been told who was there.

use std::time::{Duration, Instant};

use capsule_core::{ExitStatus, Pid};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::assemble::{Assembler, Clock};
use super::collect::Collector;
use super::load::Programs;
use super::{Bpf, LOOK_EVERY, Recording, attach_programs, in_thread, load, no_ring};
use crate::error::TraceError;
use crate::ptrace::facts::Facts;
use crate::running::{self, MOST_ROUNDS, Process};
use crate::sink::RawSink;
use crate::tracer::{Control, Linger, Outcome};

/// How often it is looked whether the root left the table without its end being told: its record was lost.
const LOOK_FOR_ROOT: Duration = Duration::from_millis(100);
/// How long a record of the root's end may wait in the ring and the queues.
const LAST_RECORD: Duration = Duration::from_secs(2);

/// Records a process that runs already. Whatever happens, it is let go and never killed.
pub(super) async fn attach(bpf: Bpf, pid: Pid, sink: RawSink, mut control: Control) -> Result<Outcome, TraceError> {
    let options = bpf.options.clone();
    let cancel = control.cancel.clone();
    let mut recording = in_thread(move || start(&bpf, pid, sink)).await?;
    control.tell_started(recording.root);
    let status = until_root_ends(&mut recording, &cancel).await;
    if let Some(status) = status {
        control.tell_root_ended(status);
    }
    // The same process may have been the only one.
    let patience = (options.linger != Linger::Wait).then_some(options.grace);
    let begun = Instant::now();
    while recording.programs.any_alive() && patience.is_none_or(|patience| begun.elapsed() < patience) {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(LOOK_EVERY.max(begun.elapsed() / 20).min(LOOK_FOR_ROOT)) => {}
        }
    }
    let mut outcome = recording.finish(status, &options).await?;
    outcome.coverage.not_seen.insert(0, running::BEFORE.to_owned());
    Ok(outcome)
}

/// Waits for the root's end. `None`: it is to be let go, or nobody was told how it ended.
async fn until_root_ends(recording: &mut Recording, cancel: &CancellationToken) -> Option<ExitStatus> {
    loop {
        tokio::select! {
            status = &mut recording.ended => return status.ok(),
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(LOOK_FOR_ROOT) => {}
        }
        if !recording.programs.follows(recording.root) {
            return tokio::time::timeout(LAST_RECORD, &mut recording.ended).await.ok()?.ok();
        }
    }
}

fn start(bpf: &Bpf, pid: Pid, sink: RawSink) -> Result<Recording, TraceError> {
    let root = running::process_of(pid.0);
    let mut programs = load(&bpf.options)?;
    let before = Clock::now();
    attach_programs(&mut programs, &bpf.options)?;
    let taken = take_in(&mut programs, root)?;
    let ring = programs.take_ring().ok_or_else(no_ring)?;
    running::tell(&taken, before, &mut Facts::new(), &sink);
    let (tell_end, ended) = oneshot::channel();
    let told = taken.iter().map(|(pid, _)| Pid(*pid));
    let assembler =
        Assembler::new(sink.clone(), Pid(root)).recorded_by(&bpf.options.recorders).attached(told, tell_end);
    let collector = Collector::start(ring, assembler, bpf.batches)
        .map_err(|source| TraceError::System { action: "start the tracer's threads", source })?;
    Ok(Recording { programs, collector: Some(collector), sink, root: Pid(root), ended, lives_on: true })
}

/// Puts `root` and its descendants into the table; gives those that the kernel did not put there itself, with their parents.
fn take_in(programs: &mut Programs, root: u32) -> Result<Vec<(u32, u32)>, TraceError> {
    let mut taken = Vec::new();
    let mut known = std::collections::HashSet::new();
    for _ in 0..MOST_ROUNDS {
        let mut new = false;
        for process in running::tree(root) {
            if known.insert(process) && take(programs, process)? {
                taken.push((process.pid, process.parent));
                new = true;
            }
        }
        if !new {
            break;
        }
    }
    if taken.is_empty() {
        let gone = std::io::Error::from_raw_os_error(libc::ESRCH);
        return Err(TraceError::System { action: "attach to the process", source: gone });
    }
    Ok(taken)
}

/// Follows one process from now on. `false`: the kernel follows it already, or it has ended.
fn take(programs: &mut Programs, process: Process) -> Result<bool, TraceError> {
    if !process.lives() || !programs.track_new(Pid(process.pid))? {
        return Ok(false);
    }
    // It may have ended in between, unseen, and its number may be another's: then it must not stay in the table. Where the
    // kernel has taken it out, its end was seen.
    Ok(process.lives() || !programs.untrack(Pid(process.pid)))
}
