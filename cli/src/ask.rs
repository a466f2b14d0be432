//! Questions about stored and running sessions: loading, and the tools that `mcp` and `chat` offer.
//!
//! Read-only. What a question is and how it is answered is `capsule_report`'s; here sessions are found, folded again when
//! they have grown, and redacted before anything is answered.

pub mod chat;
pub mod config;
pub mod provider;
pub mod tools;
pub mod transcript;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use capsule_report::{Options, Report};

use crate::error::Problem;
use crate::load;

/// How many sessions are kept in memory.
const KEPT: usize = 4;

/// The sessions of a store, as reports.
#[derive(Debug)]
pub struct Sessions {
    default: String,
    options: Options,
    known: Mutex<HashMap<String, (Stamp, Arc<Report>)>>,
}

/// What changes when a session does: bytes of its files, and when its metadata was written.
type Stamp = (u64, Option<SystemTime>);

impl Sessions {
    /// Sessions of the store; `default` is the one that questions without a session are about.
    #[must_use]
    pub fn new(default: &str, options: Options) -> Self {
        Self { default: default.to_owned(), options, known: Mutex::default() }
    }

    /// The session that is meant.
    #[must_use]
    pub fn wanted<'a>(&'a self, session: Option<&'a str>) -> &'a str {
        session.filter(|session| !session.is_empty()).unwrap_or(&self.default)
    }

    /// How reports are made: what is left out, and how the program's text is fenced.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The session as it is now: one that runs is read again when it has grown.
    ///
    /// # Errors
    /// When there is no such session, or it cannot be read.
    pub fn report(&self, session: Option<&str>) -> Result<Arc<Report>, Problem> {
        let (_, reader) = load::find(self.wanted(session))?;
        let id = reader.id().to_string();
        let mut stamp: Stamp = (0, None);
        for entry in std::fs::read_dir(reader.path())?.flatten() {
            let Ok(about) = entry.metadata() else { continue };
            stamp.0 = stamp.0.saturating_add(about.len());
            stamp.1 = stamp.1.max(about.modified().ok());
        }
        if let Some((known, report)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id)
            && *known == stamp
        {
            return Ok(Arc::clone(report));
        }
        let view = load::view(&id)?;
        let options = Options { now: Some(crate::recording::now()), ..self.options.clone() };
        let report = Arc::new(Report::assemble(&view, &options));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(id, (stamp, Arc::clone(&report)));
        Ok(report)
    }
}
