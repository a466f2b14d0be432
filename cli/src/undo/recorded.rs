//! The changes of files that a session's records tell, each with who did it.

use std::sync::Arc;

use capsule_core::{EffectKind, EnrichedEvent, EventKind, ProcId, ProcessEvent, Stage as _, TrackedEvent};
use capsule_io::SessionReader;
use capsule_track::Tracker;

use super::Change;

/// A change, and by whom.
pub struct Recorded {
    /// Who.
    pub proc: Option<ProcId>,
    /// Who started him, from the first process on.
    pub lineage: Arc<[ProcId]>,
    /// What.
    pub change: Change,
}

/// The changes of files in a session, in their order.
///
/// # Errors
/// When the session cannot be read: an undo that passes over records would restore the wrong things.
pub fn recorded(session: &SessionReader) -> anyhow::Result<Vec<Recorded>> {
    let mut tracker = Tracker::new();
    let mut tracked: Vec<TrackedEvent> = Vec::new();
    let mut found = Vec::new();
    for record in session.enriched()? {
        let event: EnrichedEvent = record.map_err(|bad| anyhow::anyhow!("a record cannot be read: {bad}"))?;
        tracker.feed(&event, &mut tracked);
        found.extend(tracked.drain(..).filter_map(|event| {
            let change = change(event.event())?;
            Some(Recorded { proc: event.proc, lineage: event.lineage, change })
        }));
    }
    tracker.finish(&mut tracked);
    Ok(found)
}

fn change(event: &ProcessEvent) -> Option<Change> {
    let EventKind::Effect(effect) = &event.kind else { return None };
    let path = effect.path.clone()?;
    // What is written through a descriptor is told by the open that gave it; a file without a name is nobody's.
    let nameless = path.as_bytes().ends_with(b" (deleted)")
        || effect.detail.as_ref().is_some_and(|detail| detail.contains("O_TMPFILE"));
    if effect.errno.is_some() || !effect.kind.changes_file() || nameless || effect.call == "ftruncate" {
        return None;
    }
    let flags = effect.detail.as_deref().and_then(|detail| detail.strip_prefix("0x"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
    let rename = effect.kind == EffectKind::FileRename;
    Some(Change {
        kind: effect.kind,
        path,
        to: effect.to.clone().filter(|_| rename),
        exchange: rename && flags & 2 != 0,
        before: effect.before.as_deref().cloned(),
    })
}
