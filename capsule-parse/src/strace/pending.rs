//! What waits: calls that have begun and not returned, and lines of threads whose beginning is not yet known.
//!
//! strace prints `<unfinished ...>` when another thread's line comes between. A new thread's first line can so precede
//! the return of the call that made it; as long as exactly one such call is open, it must be that one, and with more
//! the lines wait until the calls return.

use std::collections::HashMap;

use capsule_core::{Seq, Tid, Timestamp};

use super::Syscall;
use super::calls::CloneInfo;

/// A call that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) call: Syscall,
    /// The line from the parenthesis to the mark.
    pub(super) text: Vec<u8>,
    /// For an exec that took over the leader's number: the thread that began it.
    pub(super) from: Option<Tid>,
    /// For a call that makes a process: what it makes.
    pub(super) making: Option<CloneInfo>,
    /// The thread that was found to be its result before it returned.
    pub(super) claimed: Option<u32>,
}

/// Calls that have begun, by thread: at most one for each.
#[derive(Debug, Default)]
pub(super) struct Pending {
    calls: HashMap<u32, Begun>,
    /// How many of them make a process and have no result yet.
    makers: usize,
}

impl Pending {
    pub(super) fn begin(&mut self, tid: u32, begun: Begun) {
        self.forget(tid);
        self.makers += usize::from(begun.making.is_some());
        self.calls.insert(tid, begun);
    }

    pub(super) fn take(&mut self, tid: u32) -> Option<Begun> {
        let begun = self.calls.remove(&tid)?;
        if begun.making.is_some() && begun.claimed.is_none() {
            self.makers = self.makers.saturating_sub(1);
        }
        Some(begun)
    }

    pub(super) fn forget(&mut self, tid: u32) {
        drop(self.take(tid));
    }

    /// The thread `from` goes on as `to`.
    pub(super) fn rename(&mut self, from: u32, to: u32) {
        self.forget(to);
        if let Some(mut begun) = self.calls.remove(&from) {
            begun.from = Some(Tid(from));
            self.calls.insert(to, begun);
        }
    }

    /// How many open calls could have made a thread that is not known yet.
    pub(super) const fn makers(&self) -> usize {
        self.makers
    }

    /// Takes `child` for the result of the only open call that makes a process: who made it, and how.
    pub(super) fn claim(&mut self, child: u32) -> Option<(u32, CloneInfo)> {
        if self.makers != 1 {
            return None;
        }
        let (maker, begun) = self.calls.iter_mut().find(|(_, b)| b.making.is_some() && b.claimed.is_none())?;
        begun.claimed = Some(child);
        self.makers = 0;
        Some((*maker, begun.making?))
    }
}

/// A line that waits.
#[derive(Debug)]
pub(super) struct HeldLine {
    pub(super) raw: Seq,
    pub(super) timestamp: Timestamp,
    pub(super) text: Vec<u8>,
}

/// How many bytes of lines may wait. Past it they are read as those of processes without a known beginning.
const HELD_BYTES: usize = 4 << 20;

/// Lines that wait, by thread, threads in the order of their first line.
#[derive(Debug, Default)]
pub(super) struct Held {
    lines: Vec<(u32, Vec<HeldLine>)>,
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, tid: u32, line: HeldLine) {
        self.bytes += line.text.len();
        match self.lines.iter_mut().find(|(held, _)| *held == tid) {
            Some((_, lines)) => lines.push(line),
            None => self.lines.push((tid, vec![line])),
        }
    }

    pub(super) fn has(&self, tid: u32) -> bool {
        self.lines.iter().any(|(held, _)| *held == tid)
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes > HELD_BYTES
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The thread that waits alone, if exactly one does.
    pub(super) fn only(&self) -> Option<u32> {
        match self.lines.as_slice() {
            [(tid, _)] => Some(*tid),
            _ => None,
        }
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.lines.first().map(|(tid, _)| *tid)
    }

    pub(super) fn take(&mut self, tid: u32) -> Vec<HeldLine> {
        let Some(at) = self.lines.iter().position(|(held, _)| *held == tid) else { return Vec::new() };
        let (_, lines) = self.lines.remove(at);
        self.bytes -= lines.iter().map(|line| line.text.len()).sum::<usize>();
        lines
    }
}
