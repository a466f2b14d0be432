//! A stored session, folded again: the one way in which everything that a user reads is made, whether the session
//! ended, runs, or was left by a crash.

use std::sync::mpsc::sync_channel;
use std::thread::{self, Scope};

use capsule_core::{ActionEvent, Outlined, SessionMetadata, Stage as _, StreamName, TrackedEvent};
use capsule_io::{Listed, Overall, Records, SessionReader, SessionState, Store, StoreError, Verdict, VerifyOptions};
use capsule_report::{Baseline, Integrity, ListRow, Listing, Options, Report, SessionView, TreeBuilder, Trust};
use capsule_track::Tracker;

use crate::error::Problem;

/// Finds a session by id, unique prefix, `latest` or `@{-N}`.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(wanted: &str) -> Result<(Store, SessionReader), Problem> {
    let store = Store::open()?;
    match store.find(wanted) {
        Ok(session) => Ok((store, session)),
        Err(error @ StoreError::NotFound { .. }) if store.ids().is_ok_and(|ids| ids.is_empty()) => {
            Err(Problem::from(error).hint("there are no sessions yet: capsule run CMD makes one"))
        }
        Err(error @ (StoreError::NotFound { .. } | StoreError::Ambiguous { .. })) => {
            Err(Problem::from(error).hint("capsule list shows the sessions there are"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads a session whole, and asks the verifier about it.
///
/// # Errors
/// When there is no such session, or its metadata cannot be read. Records that cannot be read are in the view.
pub fn view(wanted: &str) -> Result<SessionView, Problem> {
    let (store, session) = find(wanted)?;
    let passed_over = passed_over(&session);
    let options = VerifyOptions::in_store(&store).passing_over(&passed_over);
    let verify = || capsule_io::verify(&session, &options).ok();
    let (view, verdict) = thread::scope(|scope| {
        let verifying = thread::Builder::new().spawn_scoped(scope, verify);
        let view = fold(&session);
        (view, verifying.map_or_else(|_no_thread| verify(), |verifying| verifying.join().unwrap_or(None)))
    });
    let mut view = view?;
    view.integrity = verdict.map(|verdict| integrity_of(&verdict, &passed_over));
    Ok(view)
}

/// Up to this size together, in bytes, streams that a report does not read are checked with it all the same.
const CHECKED: u64 = 64 << 20;

/// The streams that are not checked when a report is made: those that it is not made from, where they are large.
fn passed_over(session: &SessionReader) -> Vec<StreamName> {
    let unread = [StreamName::Raw, StreamName::Events];
    let sealed = session.metadata().map(|metadata| metadata.streams).unwrap_or_default();
    let size: u64 = unread.iter().filter_map(|stream| sealed.get(stream)).map(|seal| seal.bytes).sum();
    if size > CHECKED { unread.to_vec() } else { Vec::new() }
}

fn integrity_of(verdict: &Verdict, passed_over: &[StreamName]) -> Integrity {
    let (trust, plain) = match verdict.overall {
        Overall::Whole => (Trust::Sealed, "every record is as it was sealed"),
        Overall::Running => (Trust::Running, "the session is still running"),
        Overall::Unsealed => (Trust::Unsealed, "nobody sealed the session: Capsule was killed, or a part of it failed"),
        Overall::Torn => (Trust::Torn, "the last record is torn by a crash, and nobody sealed the session"),
        Overall::Tampered => (Trust::Tampered, "the session was altered after it was written"),
    };
    let detail = verdict.first().map_or_else(|| plain.to_owned(), |problem| format!("{plain}: {problem}"));
    // One whose size was not the sealed one was walked after all.
    let walked = |stream: &StreamName| verdict.streams.iter().any(|walked| walked.stream == *stream);
    let passed_over = passed_over.iter().filter(|stream| !walked(stream));
    let passed_over = passed_over.map(|stream| capsule_io::layout::stream_file(*stream).to_owned()).collect();
    Integrity { trust, detail, passed_over }
}

/// Folds the streams of a session.
fn fold(session: &SessionReader) -> Result<SessionView, Problem> {
    let metadata = session.metadata()?;
    let mut builder = TreeBuilder::new();
    // Making records of lines costs more than folding them: each stream is read by a thread of its own, if there may be one.
    thread::scope(|scope| {
        let enriched = read(scope, || session.outline());
        let mut actions = read(scope, || session.actions()).peekable();
        let risks = read(scope, || session.risks());
        let mut tracker = Tracker::new();
        let mut tracked = Vec::new();
        each(enriched, &mut builder, |builder, Outlined(event)| {
            tracker.feed(&event, &mut tracked);
            take(builder, &mut tracked);
            // What was said of the event or before it: a stream that waits until the other one is read is read alone.
            let now = event.event.seq;
            let said = |action: &Read<ActionEvent>| action.as_ref().map_or(true, |action| action.event <= now);
            each(std::iter::from_fn(|| actions.next_if(said)), builder, TreeBuilder::action);
        });
        tracker.finish(&mut tracked);
        take(&mut builder, &mut tracked);
        each(actions, &mut builder, TreeBuilder::action);
        each(risks, &mut builder, |builder, risk| builder.risk(&risk));
    });
    if session.state() != SessionState::Running {
        builder.close(metadata.ended);
    }
    Ok(builder.finish(metadata))
}

fn take(builder: &mut TreeBuilder, tracked: &mut Vec<TrackedEvent>) {
    for event in tracked.drain(..) {
        builder.tracked(&event);
    }
}

/// How many records travel together.
const BATCH: usize = 256;
/// How many batches of a stream wait for the fold.
const WAITING: usize = 64;

/// A record, or why it could not be read.
type Read<T> = Result<T, String>;

/// Reads a stream to its end: in a thread of its own, or while it is folded where the user may have no more threads.
fn read<'scope, T: serde::de::DeserializeOwned + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    open: impl Fn() -> Result<Records<T>, StoreError> + Copy + Send + 'scope,
) -> Box<dyn Iterator<Item = Read<T>> + 'scope> {
    let (send, receive) = sync_channel(WAITING);
    let thread = thread::Builder::new().spawn_scoped(scope, move || {
        let mut batch = Vec::with_capacity(BATCH);
        for record in records(open()) {
            batch.push(record);
            if batch.len() >= BATCH && send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err() {
                return;
            }
        }
        // Nobody hears it where the fold is given up.
        drop(send.send(batch));
    });
    match thread {
        Ok(_) => Box::new(receive.into_iter().flatten()),
        Err(_no_thread) => Box::new(records(open())),
    }
}

/// A stream's records; one that cannot be opened is one that cannot be read.
fn records<T: serde::de::DeserializeOwned>(opened: Result<Records<T>, StoreError>) -> impl Iterator<Item = Read<T>> {
    let (records, failed) = match opened {
        Ok(records) => (Some(records), None),
        Err(error) => (None, Some(Err(crate::error::chain(&error)))),
    };
    failed.into_iter().chain(records.into_iter().flatten().map(|record| record.map_err(|bad| bad.to_string())))
}

/// Folds a stream. What could not be read is said in the report, and the rest is folded on.
fn each<T>(
    records: impl Iterator<Item = Read<T>>,
    builder: &mut TreeBuilder,
    mut take: impl FnMut(&mut TreeBuilder, T),
) {
    for record in records {
        match record {
            Ok(record) => take(builder, record),
            Err(bad) => builder.unreadable(bad),
        }
    }
}

/// Sessions with more processes than this have no more in a list than their metadata tells.
const LISTED: u64 = 2_000;

/// The line of a session in a list. `None` where reading it would cost more than a line is worth, or it cannot be read.
#[must_use]
pub fn line(store: &Store, listed: &Listed) -> Option<ListRow> {
    let small = listed.metadata.as_ref().ok()?.processes.is_some_and(|count| count <= LISTED);
    let session = store.session(&listed.id).ok().filter(|_| small)?;
    let view = fold(&session).ok()?;
    Some(ListRow::of(&view, &Report::assemble(&view, &Options { listing: Listing::Brief, ..Options::default() })))
}

/// How many earlier sessions a comparison is made with.
const EARLIER: usize = 5;
/// Sessions with more processes than this are left out of comparisons: reading them would cost more than it says.
const TOO_LARGE: u64 = 5_000;

/// What the user's earlier sessions of the same program in the same directory did. `None` where there are none.
#[must_use]
pub fn baseline(metadata: &SessionMetadata) -> Option<Baseline> {
    let listed = Store::open().ok()?.list().ok()?;
    let store = Store::open().ok()?;
    let alike = listed.into_iter().rev().filter(|other| other.state == SessionState::Sealed).filter(|other| {
        other.metadata.as_ref().is_ok_and(|other| {
            Baseline::compares(metadata, other) && other.processes.is_some_and(|count| count <= TOO_LARGE)
        })
    });
    let mut base = Baseline::default();
    for other in alike.take(EARLIER) {
        let Ok(view) = store.session(&other.id).map_err(Problem::from).and_then(|session| fold(&session)) else {
            continue;
        };
        base.add(&Report::assemble(&view, &Options { listing: Listing::Brief, ..Options::default() }));
    }
    (base.sessions > 0).then_some(base)
}
