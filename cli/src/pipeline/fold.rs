//! Folds what arrives into the labelled tree: snapshots of `tree.json` while the session runs, and the closing summary.
//!
//! A snapshot of a large tree costs time, so the next one waits fifty times as long as the last one took, and two seconds
//! at least: snapshots stay under 2% of a run, whatever its size.

use std::time::{Duration, Instant};

use capsule_core::{ActionEvent, RiskEvent, SessionMetadata, TrackedEvent};
use capsule_io::{Subscription, TreeWriter};
use capsule_report::{SessionView, TreeBuilder};

/// The least time between two snapshots.
const PAUSE: Duration = Duration::from_secs(2);
/// How much longer than a snapshot took the next one waits.
const SHARE: u32 = 50;

pub(super) async fn fold(
    mut tracked: Subscription<TrackedEvent>,
    mut actions: Subscription<ActionEvent>,
    mut risks: Subscription<RiskEvent>,
    mut tree: TreeWriter,
    metadata: SessionMetadata,
) -> SessionView {
    let mut builder = TreeBuilder::live();
    let mut next = Instant::now() + PAUSE;
    let (mut more_tracked, mut more_actions, mut more_risks) = (true, true, true);
    while more_tracked || more_actions || more_risks {
        tokio::select! {
            batch = tracked.recv(), if more_tracked => match batch {
                Some(batch) => batch.iter().for_each(|event| builder.tracked(event)),
                None => more_tracked = false,
            },
            batch = actions.recv(), if more_actions => match batch {
                Some(batch) => batch.iter().for_each(|action| builder.action(action.clone())),
                None => more_actions = false,
            },
            batch = risks.recv(), if more_risks => match batch {
                Some(batch) => batch.iter().for_each(|risk| builder.risk(risk)),
                None => more_risks = false,
            },
        }
        let begin = Instant::now();
        if begin >= next {
            // A snapshot that cannot be written is not worth more than the next one; the seal writes the last.
            drop(tree.snapshot(builder.tree()));
            next = Instant::now() + PAUSE.max(begin.elapsed() * SHARE);
        }
    }
    // Every event is in: what has not ended by now was not seen to end.
    builder.close(Some(crate::recording::now()));
    builder.finish(metadata)
}
