//! The one loop that writes a subscription to a stream.
//!
//! It writes when the oldest record has waited for [`FLUSH_AFTER`], or when the buffer is full: a running session can be
//! read within moments, a kill loses no more than that, and a storm costs one `write(2)` for many records. Findings of risk
//! are few, and may be about whoever is about to end Capsule: they are written at once.

use std::pin::pin;
use std::time::Duration;

use capsule_core::{StreamName, StreamSeal};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::bus::{Poll, Subscription};
use crate::error::StoreError;
use crate::writer::ChainWriter;

/// How long a record waits at most for others to be written with.
pub const FLUSH_AFTER: Duration = Duration::from_millis(20);

/// Records everything from `subscription` until it closes, and says what the stream then holds.
///
/// The first error is returned beside it, at the end: whatever happens, every record is taken from the bus, so that
/// nothing upstream ever waits for a disk that refuses. The runtime needs its timer.
pub async fn record<T>(mut subscription: Subscription<T>, mut writer: ChainWriter) -> (StreamSeal, Option<StoreError>)
where
    T: Serialize + Send + Sync + 'static,
{
    let mut failed = None;
    let mut keep = |result: Result<(), StoreError>| {
        if let Err(error) = result {
            failed.get_or_insert(error);
        }
    };
    let mut due = pin!(sleep_until(Instant::now()));
    loop {
        let batch = match subscription.try_recv() {
            Poll::Ready(batch) => Some(batch),
            Poll::Closed => None,
            Poll::Empty if writer.waiting() == 0 => subscription.recv().await,
            Poll::Empty => tokio::select! {
                biased;
                batch = subscription.recv() => batch,
                () = due.as_mut() => {
                    keep(writer.flush());
                    continue;
                }
            },
        };
        let Some(batch) = batch else { break };
        if writer.waiting() == 0 {
            due.as_mut().reset(Instant::now() + FLUSH_AFTER);
        }
        for record in batch.iter() {
            keep(writer.append(record));
        }
        drop(batch);
        // Records that never cease to come must not keep the oldest waiting.
        if due.is_elapsed() || writer.stream() == StreamName::Risks {
            keep(writer.flush());
        }
        // Gives the other tasks of this thread their turn where records come faster than they can be written.
        tokio::task::consume_budget().await;
    }
    let (seal, last) = writer.finish();
    (seal, failed.or(last))
}

#[cfg(test)]
mod tests;
