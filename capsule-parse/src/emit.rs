//! Numbering and pushing events: the same few fields for every parser.

use capsule_core::{EventKind, Pid, ProcessEvent, Seq, Timestamp};

/// Numbers events across the whole recording.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last: u64,
}

/// Where the events made from one raw record go.
pub(crate) struct Emit<'a> {
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) out: &'a mut Vec<ProcessEvent>,
    pub(crate) raw: Seq,
    pub(crate) timestamp: Timestamp,
}

impl Emit<'_> {
    pub(crate) fn event(&mut self, pid: Pid, ppid: Option<Pid>, kind: EventKind) {
        self.numbers.last += 1;
        let seq = Seq(self.numbers.last);
        self.out.push(ProcessEvent { seq, raw: self.raw, timestamp: self.timestamp, pid, ppid, kind });
    }

    pub(crate) fn diagnostic(&mut self, reason: impl Into<String>) {
        self.event(Pid(0), None, EventKind::Diagnostic { reason: reason.into() });
    }

    /// The same destination for what another record, held back until now, said.
    pub(crate) fn of(&mut self, raw: Seq, timestamp: Timestamp) -> Emit<'_> {
        Emit { numbers: self.numbers, out: self.out, raw, timestamp }
    }
}
