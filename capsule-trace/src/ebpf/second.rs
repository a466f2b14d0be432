//! The eBPF tracer as a witness: it follows what Capsule itself starts while another backend records it.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use capsule_core::{Backend, Pid};
use tokio::sync::oneshot;

use super::assemble::Assembler;
use super::collect::{BATCHES, Collector, LastWords};
use super::load::Programs;
use super::{LOADED, LOOK_EVERY, load};
use crate::command::Launch;
use crate::error::TraceError;
use crate::sink::RawSink;
use crate::tracer::{Control, DEFAULT_RING_BYTES, Outcome, Running, Tracer};
use crate::witness::{Story, Telling, disagreements};

/// How long the last exits may take to be seen when the first backend has seen them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A tracer with a witness.
pub(crate) struct Witnessed {
    first: Box<dyn Tracer>,
}

impl std::fmt::Debug for Witnessed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witnessed").field("first", &self.first.backend()).finish()
    }
}

impl Witnessed {
    pub(crate) fn new(first: Box<dyn Tracer>) -> Result<Self, TraceError> {
        if first.backend() == Backend::Ebpf {
            return Err(TraceError::Unavailable {
                backend: Backend::Ebpf,
                because: "it cannot be its own witness".to_owned(),
                remedy: Some("record with --tracer ptrace or --tracer strace".to_owned()),
            });
        }
        Ok(Self { first })
    }
}

impl Tracer for Witnessed {
    fn backend(&self) -> Backend {
        self.first.backend()
    }

    fn run(self: Box<Self>, launch: Launch, sink: RawSink, control: Control) -> Running {
        Box::pin(run(self.first, launch, sink, control))
    }
}

async fn run(first: Box<dyn Tracer>, launch: Launch, sink: RawSink, control: Control) -> Result<Outcome, TraceError> {
    let (told, seen) = (Arc::<Telling>::default(), Arc::<Telling>::default());
    let names = [first.backend().name(), Backend::Ebpf.name()];
    let second = Second::start(RawSink::only_telling(Arc::clone(&seen))).await?;
    let mut outcome = first.run(launch, sink.telling(Arc::clone(&told)), control).await?;
    second.finish(&outcome.left_running).await?;
    let take =
        |telling: &Telling| -> Story { std::mem::take(&mut *telling.lock().unwrap_or_else(PoisonError::into_inner)) };
    let (told, mut seen) = (take(&told), take(&seen));
    seen.knows_no_threads = !load::names_threads();
    let processes = told.processes();
    let found = disagreements(told, seen, names);
    let summary = match found.len() {
        0 => format!("witness ebpf: agrees about {processes} processes"),
        _ => "witness ebpf: disagrees, see what is not shown".to_owned(),
    };
    outcome.coverage.hooks.push(summary);
    outcome.coverage.not_seen.extend(found.into_iter().map(|line| format!("witness: {line}")));
    Ok(outcome)
}

/// The witness at work.
#[derive(Debug)]
struct Second {
    programs: Programs,
    collector: Collector,
    own: Pid,
}

impl Second {
    /// Follows whatever this process starts from now on.
    async fn start(sink: RawSink) -> Result<Self, TraceError> {
        let (started_tx, started) = oneshot::channel();
        std::thread::Builder::new()
            .name("capsule-witness".to_owned())
            .spawn(move || {
                let _unheard = started_tx.send(Self::start_blocking(sink));
            })
            .map_err(|source| TraceError::System { action: "start the witness's thread", source })?;
        started.await.map_err(|_panicked| broke_off())?
    }

    fn start_blocking(sink: RawSink) -> Result<Self, TraceError> {
        let ready = LOADED.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut programs = match ready {
            Some(programs) => programs,
            None => Programs::load(load::ring_size(DEFAULT_RING_BYTES))?,
        };
        let own = Pid(std::process::id());
        programs.track(own)?;
        programs.attach(false)?;
        let ring = programs.take_ring().ok_or_else(broke_off)?;
        let collector = Collector::start(ring, Assembler::new(sink, own), BATCHES)
            .map_err(|source| TraceError::System { action: "start the witness's threads", source })?;
        Ok(Self { programs, collector, own })
    }

    /// Waits until everybody has ended who is not let go, and says the last words.
    async fn finish(mut self, left_running: &[Pid]) -> Result<(), TraceError> {
        let others: HashSet<Pid> = left_running.iter().copied().chain([self.own]).collect();
        let begun = Instant::now();
        while self.programs.alive().iter().any(|pid| !others.contains(pid)) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let alive = self.programs.alive();
        self.programs.forget(&alive);
        let last_words = LastWords {
            lost: self.programs.lost(),
            untracked: self.programs.untracked(),
            left_running: left_running.to_vec(),
        };
        self.collector.finish(last_words).await.ok_or_else(broke_off)?;
        Ok(())
    }
}

fn broke_off() -> TraceError {
    TraceError::BrokeOff { backend: Backend::Ebpf, because: "the witness's thread panicked".to_owned() }
}
