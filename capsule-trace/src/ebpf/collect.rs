//! From the ring to the sink, in two threads: one only copies, so that the ring is emptied whatever happens behind it;
//! the other assembles and pushes, and may have to wait.
//!
//! Between them is a queue of bounded size. When it is full the ring fills up, and when that is full the kernel counts
//! what it could not record: the traced program never waits.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};
use capsule_core::Pid;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;

use super::assemble::Assembler;
use super::calls::{self, Detail};
use super::wire::{self, Record};
use crate::{handoff, recorder};

/// How long records may gather in the ring before they are copied: what a storm of wake-ups would cost is more than
/// anything else here. The ring holds forty times what comes in that time at 20,000 processes a second.
const GATHER: Duration = Duration::from_millis(10);
/// How large a batch may grow.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may wait, unless told otherwise: 64 MiB in all.
pub(super) const BATCHES: usize = 256;

/// The two threads. Dropping it ends them without waiting.
#[derive(Debug)]
pub(super) struct Collector {
    stop: OwnedFd,
    last_words: SyncSender<LastWords>,
    done: oneshot::Receiver<usize>,
}

/// What there is to say when the ring is empty for good.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    /// How many records each cpu lost.
    pub(super) lost: Vec<u64>,
    /// How many processes were not followed.
    pub(super) untracked: u64,
    /// Who is let go.
    pub(super) left_running: Vec<Pid>,
}

impl Collector {
    /// Starts to read `ring`; at most `batches` wait for the assembler.
    pub(super) fn start(ring: RingBuf<MapData>, assembler: Assembler, batches: usize) -> io::Result<Self> {
        // Whoever kills this process is recorded in there, where nobody else would look for it. The recording is none the worse
        // without.
        handoff::leave_behind(ring.as_fd()).unwrap_or(());
        let (stopped, stop) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let (batches_tx, batches_rx) = sync_channel(batches);
        let (last_words, last_words_rx) = sync_channel(1);
        let (done_tx, done) = oneshot::channel();
        thread::Builder::new().name("capsule-ring".to_owned()).spawn(move || drain(ring, &stopped, &batches_tx))?;
        thread::Builder::new().name("capsule-decode".to_owned()).spawn(move || {
            let io_uring_users = assemble(&batches_rx, assembler, &last_words_rx);
            // Nobody waits for it when the recording was given up.
            let _unheard = done_tx.send(io_uring_users);
        })?;
        Ok(Self { stop, last_words, done })
    }

    /// Reads what the ring holds now, says the last words, and ends with the number of processes that used io_uring.
    /// `None`: a thread panicked.
    pub(super) async fn finish(self, last_words: LastWords) -> Option<usize> {
        let Self { stop, last_words: tell, done } = self;
        tell.try_send(last_words).ok()?;
        drop(stop);
        done.await.ok()
    }
}

/// A batch: records, each after its length.
type Batch = Vec<u8>;

fn drain(mut ring: RingBuf<MapData>, stopped: &OwnedFd, out: &SyncSender<Batch>) {
    loop {
        let mut stopping = wait(&ring, stopped);
        if !stopping {
            stopping = ready(&mut [PollFd::new(stopped.as_fd(), PollFlags::POLLIN)], Some(GATHER));
        }
        loop {
            let batch = copy(&mut ring);
            if batch.is_empty() {
                break;
            }
            if out.send(batch).is_err() {
                return;
            }
        }
        if stopping {
            return;
        }
    }
}

/// Waits until there are records, or until it is time to stop: `true`.
fn wait(ring: &RingBuf<MapData>, stopped: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN), PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
    if !ready(&mut fds, None) {
        return false;
    }
    let [_, stopped] = fds;
    stopped.any().unwrap_or(false)
}

fn ready(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> bool {
    let timeout = timeout.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO));
    poll(fds, timeout).is_ok_and(|count| count > 0)
}

fn copy(ring: &mut RingBuf<MapData>) -> Batch {
    let mut batch = Vec::new();
    while batch.len() < BATCH_BYTES {
        let Some(record) = ring.next() else { break };
        let Ok(length) = u32::try_from(record.len()) else { continue };
        if batch.is_empty() {
            batch.reserve(16 << 10);
        }
        batch.extend_from_slice(&length.to_ne_bytes());
        batch.extend_from_slice(&record);
    }
    batch
}

/// Reads a batch that is there already, as [`Collector`] reads those of the ring.
pub(super) fn replay(batch: &[u8], mut assembler: Assembler) {
    for record in records(batch) {
        assembler.feed(record);
    }
    assembler.finish(&LastWords::default());
}

/// Who sent `signal` to a dead recorder, by what is left in its ring.
pub(super) fn killer(ring: OwnedFd, recorder: Pid, signal: i32) -> Option<Pid> {
    let ring = MapData::from_fd(ring).ok()?;
    let mut ring = RingBuf::try_from(Map::RingBuf(ring)).ok()?;
    while let Some(record) = ring.next() {
        if let Some(sender) = sender(&record, recorder, signal) {
            return Some(sender);
        }
    }
    None
}

/// Who sent this signal to this process, where that is what the record says.
fn sender(record: &[u8], process: Pid, signal: i32) -> Option<Pid> {
    let (head, Record::Call(call)) = wire::parse(record)? else { return None };
    let known = calls::all().find(|known| u32::try_from(known.number).is_ok_and(|number| number == call.number))?;
    let Detail::Signal(to, which) = known.detail else { return None };
    let (to, which) = (*call.args.get(to)?, *call.args.get(which)?);
    let sent = call.result >= 0 && recorder::is_sent(to, which, &[process]);
    (sent && i32::try_from(which & 0xffff_ffff) == Ok(signal)).then_some(Pid(head.pid))
}

fn assemble(batches: &Receiver<Batch>, mut assembler: Assembler, last_words: &Receiver<LastWords>) -> usize {
    while let Ok(batch) = batches.recv() {
        for record in records(&batch) {
            assembler.feed(record);
        }
    }
    // There are none when the recording was given up.
    let last_words = last_words.recv().unwrap_or_default();
    assembler.finish(&last_words);
    assembler.io_uring_users()
}

/// The records of a batch.
fn records(mut batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = batch.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        batch = rest;
        Some(record)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system call's record, as the kernel programs write it.
    fn call(number: i64, result: i64, args: [u64; 2]) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend([4711_u32, 4712].iter().flat_map(|id| id.to_ne_bytes()));
        bytes.extend([6_u16, 0].iter().flat_map(|short| short.to_ne_bytes()));
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(result.to_ne_bytes());
        bytes.extend(args.iter().chain(&[0; 6]).flat_map(|arg| arg.to_ne_bytes()));
        bytes.extend(u32::try_from(number).unwrap_or(0).to_ne_bytes());
        bytes.extend([0; 44]);
        bytes
    }

    #[test]
    fn who_sent_the_signal_that_killed_is_told_from_others() {
        let kill = call(libc::SYS_kill, 0, [100, 9]);
        assert_eq!(sender(&kill, Pid(100), 9), Some(Pid(4711)));
        assert_eq!(sender(&call(libc::SYS_kill, 0, [u64::MAX - 99, 9]), Pid(100), 9), Some(Pid(4711)), "its group");
        for other in [
            call(libc::SYS_kill, 0, [101, 9]),
            call(libc::SYS_kill, 0, [100, 15]),
            call(libc::SYS_kill, -1, [100, 9]),
            call(libc::SYS_unlink, 0, [100, 9]),
            kill[..kill.len() - 1].to_vec(),
        ] {
            assert_eq!(sender(&other, Pid(100), 9), None);
        }
    }
}
