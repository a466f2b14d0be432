//! The stage: each record to the parser that reads its kind.

use capsule_core::{Backend, ByteString, ProcessEvent, RawBody, RawRecord, Seq, SpawnKind, Stage, Timestamp};

use crate::dtrace::Dtrace;
use crate::emit::{Emit, Numbers};
use crate::eslogger::Eslogger;
use crate::lineage::Lineage;
use crate::native;
use crate::strace::Strace;

/// Raw records to process events.
#[derive(Debug, Default)]
pub struct Parser {
    numbers: Numbers,
    lineage: Lineage,
    strace: Strace,
    dtrace: Dtrace,
    eslogger: Eslogger,
    /// The last record's number and time: what happens at the end of the input is dated by it.
    last: (u64, Timestamp),
}

impl Parser {
    /// A parser for one recording, from its first record on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a recording whose root process starts in the directory `cwd`: traces of lines tell changes of
    /// directory, but not where the first process began.
    #[must_use]
    pub fn starting_in(mut self, cwd: ByteString) -> Self {
        self.strace.start_in(cwd);
        self
    }

    /// The same for a recording of which only what changes something is wanted: traces of lines have opens that only
    /// read, too.
    #[must_use]
    pub const fn without_reads(mut self) -> Self {
        self.strace.leave_reads_out();
        self
    }

    /// The parsers of lines have to know where the tree begins; what follows they see themselves.
    fn hint(&mut self, body: &RawBody) {
        match body {
            RawBody::Spawn { child, how: SpawnKind::Root | SpawnKind::Attached, .. } => {
                self.strace.knows(*child);
                self.dtrace.knows(*child);
                self.eslogger.knows(*child);
            }
            RawBody::Thread { pid, tid } => self.strace.has_thread(*pid, *tid),
            RawBody::Exec { pid, snapshot: Some(snapshot), .. } => self.strace.is_in(*pid, snapshot.cwd.as_ref()),
            _ => {}
        }
    }

    #[cfg(test)]
    fn is_at_rest(&self, source: Backend) -> bool {
        let own = match source {
            Backend::Dtrace => self.dtrace.is_at_rest(),
            Backend::Eslogger => self.eslogger.is_at_rest(),
            _ => self.strace.is_at_rest(),
        };
        own && self.lineage.len() == 0
    }
}

impl Stage for Parser {
    type In = RawRecord;
    type Out = ProcessEvent;

    fn feed(&mut self, input: &RawRecord, out: &mut Vec<ProcessEvent>) {
        self.last = (input.seq.0, input.timestamp);
        self.hint(&input.body);
        let mut emit = Emit { numbers: &mut self.numbers, out, raw: input.seq, timestamp: input.timestamp };
        match &input.body {
            RawBody::Line { source: Backend::Strace, text } => {
                self.strace.line(text.as_bytes(), &mut self.lineage, &mut emit);
            }
            RawBody::Line { source: Backend::Dtrace, text } => {
                self.dtrace.line(text.as_bytes(), &mut self.lineage, &mut emit);
            }
            RawBody::Line { source: Backend::Eslogger, text } => {
                self.eslogger.line(text.as_bytes(), &mut self.lineage, &mut emit);
            }
            RawBody::Line { source, .. } => emit.diagnostic(format!("no parser for the lines of `{source}`")),
            RawBody::LeftRunning { pid } if self.strace.said_left_running(*pid) => {}
            body => native::body(body, &mut self.lineage, &mut emit),
        }
    }

    fn finish(&mut self, out: &mut Vec<ProcessEvent>) {
        let (raw, timestamp) = self.last;
        let mut emit = Emit { numbers: &mut self.numbers, out, raw: Seq(raw), timestamp };
        self.strace.finish(&mut self.lineage, &mut emit);
        self.dtrace.finish();
    }
}

#[cfg(test)]
mod tests;
