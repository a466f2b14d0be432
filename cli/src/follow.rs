//! A session read while it grows: the records of its streams, tracked, in the order of their moments as far as they are
//! there. It reads the session's files as any other program could, so that nobody who watches slows a recording down.

use std::collections::VecDeque;

use capsule_core::{ActionEvent, EnrichedEvent, RiskEvent, SessionMetadata, Stage as _, Timestamp, TrackedEvent};
use capsule_io::{BadLine, Records, SessionReader, SessionState, Store};
use capsule_track::Tracker;
use serde::de::DeserializeOwned;

use crate::error::Problem;

/// A record of a session, as a watcher sees it.
#[derive(Debug, Clone)]
pub enum Record {
    /// Something happened to a process.
    Event(Box<TrackedEvent>),
    /// What a process was for.
    Action(Box<ActionEvent>),
    /// Something risky.
    Risk(Box<RiskEvent>),
    /// A line that could not be read, and why.
    Unreadable(String),
}

impl Record {
    /// Its moment; nothing for a line that could not be read.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Event(event) => Some(event.event().timestamp),
            Self::Action(action) => Some(action.timestamp),
            Self::Risk(risk) => Some(risk.timestamp),
            Self::Unreadable(_) => None,
        }
    }
}

/// One stream, with the record that comes next.
#[derive(Debug)]
struct Head<T> {
    records: Records<T>,
    next: Option<Result<T, BadLine>>,
}

impl<T: DeserializeOwned> Head<T> {
    /// The moment of the next record, where there is one; a bad line comes at once.
    fn peek(&mut self, when: impl Fn(&T) -> Timestamp) -> Option<Timestamp> {
        if self.next.is_none() {
            self.next = self.records.follow();
        }
        self.next.as_ref().map(|next| next.as_ref().map_or(Timestamp(0), when))
    }
}

/// Follows one session.
#[derive(Debug)]
pub struct Follower {
    session: SessionReader,
    enriched: Head<EnrichedEvent>,
    actions: Head<ActionEvent>,
    risks: Head<RiskEvent>,
    tracker: Tracker,
    ready: VecDeque<Record>,
    over: bool,
}

impl Follower {
    /// Follows a session from its first record.
    ///
    /// # Errors
    /// When a stream cannot be opened.
    pub fn new(session: SessionReader) -> Result<Self, Problem> {
        Ok(Self {
            enriched: Head { records: session.enriched()?, next: None },
            actions: Head { records: session.actions()?, next: None },
            risks: Head { records: session.risks()?, next: None },
            tracker: Tracker::new(),
            ready: VecDeque::new(),
            over: false,
            session,
        })
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &SessionReader {
        &self.session
    }

    /// What the session says of itself now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn metadata(&self) -> Result<SessionMetadata, Problem> {
        Ok(self.session.metadata()?)
    }

    /// How many bytes are written and not read yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.enriched.records.behind() + self.actions.records.behind() + self.risks.records.behind()
    }

    /// Whether the session's recorder has ended and everything it wrote was given.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// The next records that are there, `most` at once. Where it gives fewer, no more are there at the moment.
    pub fn poll(&mut self, most: usize) -> Vec<Record> {
        if self.over {
            return Vec::new();
        }
        // Asked before reading: what a recorder wrote before it ended is then read in this round.
        let ended = self.session.state() != SessionState::Running;
        let mut out = Vec::new();
        while out.len() < most {
            match self.next() {
                Some(record) => out.push(record),
                None => {
                    self.over = ended;
                    break;
                }
            }
        }
        out
    }

    /// The record with the earliest moment of those that are there; of equal ones, the event before what is said of it.
    fn next(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(record);
            }
            let event = self.enriched.peek(|event| event.event.timestamp);
            let action = self.actions.peek(|action| action.timestamp);
            let risk = self.risks.peek(|risk| risk.timestamp);
            let first = [(event, 0), (risk, 1), (action, 2)].into_iter();
            let (_, which) = first.filter_map(|(at, which)| Some((at?, which))).min()?;
            let bad = |bad: BadLine| Record::Unreadable(bad.to_string());
            match which {
                0 => match self.enriched.next.take()? {
                    Ok(event) => {
                        let mut tracked = Vec::new();
                        self.tracker.feed(&event, &mut tracked);
                        self.ready.extend(tracked.into_iter().map(|event| Record::Event(Box::new(event))));
                    }
                    Err(line) => return Some(bad(line)),
                },
                1 => return Some(self.risks.next.take()?.map_or_else(bad, |risk| Record::Risk(Box::new(risk)))),
                _ => {
                    return Some(self.actions.next.take()?.map_or_else(bad, |action| Record::Action(Box::new(action))));
                }
            }
        }
    }
}

/// The session to watch: the one that is named, or else the newest that runs, or else the latest.
///
/// # Errors
/// When there is none.
pub fn to_watch(wanted: Option<&str>) -> Result<SessionReader, Problem> {
    if let Some(wanted) = wanted {
        return Ok(crate::load::find(wanted)?.1);
    }
    let store = Store::open()?;
    for id in store.ids()?.iter().rev() {
        if let Ok(session) = store.session(id)
            && session.state() == SessionState::Running
        {
            return Ok(session);
        }
    }
    Ok(crate::load::find("latest")?.1)
}
