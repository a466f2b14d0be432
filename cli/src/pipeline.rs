//! The wiring of one session: every queue and every task, on one screen.
//!
//! ```text
//! receiver ─▶ raw ─▶ parse ─▶ events ─▶ enrich ─▶ enriched ─▶ track ─▶ tracked ─▶ classify ─▶ actions, risks
//!              │                │                    │                   │                       │
//!           recorder         recorder             recorder             tree ◀────────────────────┘ recorders
//! ```
//!
//! Each arrow is a bus that drops nothing for these subscribers; each box is a task of one `Supervisor`. A task ends
//! when its input closes, after passing on what it held; nothing cancels it. Only the tracer can be told to stop, and
//! only the supervisor says how the session ended. All of them share one thread that gives way to the traced program.

mod background;
mod drive;
mod fold;
pub mod signals;
mod supervise;

use capsule_core::{
    EnrichedEvent, Finding, ProcessEvent, RawRecord, SessionMetadata, Stage, StreamName, StreamSeal, TrackedEvent,
};
use capsule_io::{Bus, Publisher, SessionWriter, Unsealed, WhenFull, capacity, record};
use capsule_report::SessionView;
use capsule_trace::RawReceiver;

use crate::on_risk::Handing;
use crate::worktree::Steps;
use drive::{Findings, drive};
pub use supervise::Failure;
use supervise::Supervisor;

/// A stage on its way to a task.
pub type BoxedStage<I, O> = Box<dyn Stage<In = I, Out = O> + Send>;

/// The state machines of a session.
pub struct Stages {
    /// Raw records to events.
    pub parse: BoxedStage<RawRecord, ProcessEvent>,
    /// Adds context.
    pub enrich: BoxedStage<ProcessEvent, EnrichedEvent>,
    /// Gives identities.
    pub track: BoxedStage<EnrichedEvent, TrackedEvent>,
    /// Labels and judges.
    pub classify: BoxedStage<TrackedEvent, Finding>,
}

/// Who listens besides, and may miss something rather than hold up anybody.
#[derive(Default)]
pub struct Listeners {
    /// Hands findings to the user's command.
    pub on_risk: Option<Handing>,
    /// Looks at the work tree after each command.
    pub steps: Option<Steps>,
}

/// What the tasks of a session left behind.
pub struct Recorded {
    /// What was written.
    pub seals: Vec<(StreamName, StreamSeal)>,
    /// The folded session; absent when the fold failed.
    pub view: Option<SessionView>,
    /// The first failure.
    pub failure: Option<Failure>,
}

/// Takes everything that `receiver` gives through the pipeline and into the session's streams.
///
/// Returns when every task has ended: after the tracer dropped its end of the receiver and all that was queued is written.
///
/// # Errors
/// When a stream cannot be opened. Failures of running tasks are in [`Recorded::failure`].
pub async fn run(
    stages: Stages,
    receiver: RawReceiver,
    session: &mut SessionWriter<Unsealed>,
    metadata: SessionMetadata,
    listeners: Listeners,
) -> Result<Recorded, capsule_io::StoreError> {
    let mut raw = Bus::new("raw", capacity::RAW);
    let mut events = Bus::new("events", capacity::EVENTS);
    let mut enriched = Bus::new("enriched", capacity::ENRICHED);
    let mut tracked = Bus::new("tracked", capacity::TRACKED);
    let mut risks = Bus::new("risks", capacity::RISKS);
    let mut actions = Bus::new("actions", capacity::ACTIONS);
    let background = background::start();
    let mut tasks = Supervisor::new(background.handle());

    tasks.record(StreamName::Raw, record(raw.subscribe(WhenFull::Block), session.stream(StreamName::Raw)?));
    tasks.record(StreamName::Events, record(events.subscribe(WhenFull::Block), session.stream(StreamName::Events)?));
    tasks.record(
        StreamName::Enriched,
        record(enriched.subscribe(WhenFull::Block), session.stream(StreamName::Enriched)?),
    );
    tasks.record(StreamName::Risks, record(risks.subscribe(WhenFull::Block), session.stream(StreamName::Risks)?));
    tasks.record(StreamName::Actions, record(actions.subscribe(WhenFull::Block), session.stream(StreamName::Actions)?));
    tasks.fold(fold::fold(
        tracked.subscribe(WhenFull::Block),
        actions.subscribe(WhenFull::Block),
        risks.subscribe(WhenFull::Block),
        session.tree_writer(),
        metadata,
    ));

    if let Some(on_risk) = listeners.on_risk {
        tasks.stage("on-risk", on_risk.follow(risks.subscribe(WhenFull::DropNewest)));
    }
    if let Some(steps) = listeners.steps {
        tasks.stage("work-tree", steps.follow(actions.subscribe(WhenFull::DropNewest)));
    }

    let (parse, enrich) = (raw.subscribe(WhenFull::Block), events.subscribe(WhenFull::Block));
    let (track, classify) = (enriched.subscribe(WhenFull::Block), tracked.subscribe(WhenFull::Block));
    let findings = Findings { actions: actions.into_publisher(), risks: risks.into_publisher() };
    tasks.stage("parse", drive(stages.parse, parse, events.into_publisher()));
    tasks.stage("enrich", drive(stages.enrich, enrich, enriched.into_publisher()));
    tasks.stage("track", drive(stages.track, track, tracked.into_publisher()));
    tasks.stage("classify", drive(stages.classify, classify, findings));
    tasks.stage("capture", capture(receiver, raw.into_publisher()));

    Ok(tasks.join().await)
}

/// Passes what the tracer handed over to the first bus.
async fn capture(mut receiver: RawReceiver, mut raw: Publisher<RawRecord>) {
    while let Some(records) = receiver.recv().await {
        raw.send(records).await;
    }
}

#[cfg(test)]
mod tests;
