//! The queue between two stages: every subscriber gets every record, and none is lost on the way to evidence.
//!
//! tokio's broadcast channel overwrites what a slow receiver has not read. The evidence path must not, so this is the
//! only place that names it, and it adds *credits*: a [`WhenFull::Block`] subscriber owns as many credits as the bus has
//! capacity, counted in records; [`Publisher::send`] takes a batch's credits from each of them before it broadcasts, and
//! they come back when the subscriber drops the [`Batch`]. More messages than slots can therefore never be under way,
//! and `Lagged` cannot reach a blocking subscriber. Live views subscribe with [`WhenFull::DropNewest`]: they own a
//! queue of their own, never hold anybody up, and are told how many records they missed.
//!
//! A bus is wired, then frozen: [`Bus::into_publisher`] consumes it, so nobody can subscribe to a stream whose
//! beginning is already gone.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, broadcast, mpsc};

/// How many records of each kind may wait, by default.
pub mod capacity {
    /// Raw records.
    pub const RAW: usize = 8192;
    /// Parsed events.
    pub const EVENTS: usize = 4096;
    /// Events with context.
    pub const ENRICHED: usize = 2048;
    /// Events with identity.
    pub const TRACKED: usize = 2048;
    /// Findings of risk.
    pub const RISKS: usize = 1024;
    /// Actions.
    pub const ACTIONS: usize = 512;
}

/// What happens to a record when a subscriber's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The publisher waits. For stages and recorders.
    Block,
    /// This subscriber misses it, and is told so. For live views.
    DropNewest,
}

/// A bus that is still being wired.
#[derive(Debug)]
pub struct Bus<T> {
    sender: broadcast::Sender<Arc<Vec<T>>>,
    gates: Vec<Arc<Gate>>,
    taps: Vec<Tap<T>>,
    shared: Arc<Shared>,
}

/// A blocking subscriber's credits. The semaphore is closed when the subscriber is dropped.
#[derive(Debug)]
struct Gate {
    credits: Semaphore,
}

/// A lossy subscriber, seen from the publisher.
#[derive(Debug)]
struct Tap<T> {
    queue: mpsc::Sender<(Arc<Vec<T>>, u64)>,
    gate: Arc<Gate>,
    missed: u64,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    capacity: usize,
    records: AtomicU64,
    batches: AtomicU64,
    waits: AtomicU64,
    high_water: AtomicU64,
    dropped: AtomicU64,
    lagged: AtomicU64,
    gates: std::sync::Mutex<Vec<Arc<Gate>>>,
}

/// What a bus has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusStats {
    /// The bus's name.
    pub name: &'static str,
    /// Its capacity in records.
    pub capacity: usize,
    /// Records sent.
    pub records: u64,
    /// Batches sent.
    pub batches: u64,
    /// Records that wait now, for the slowest blocking subscriber.
    pub depth: u64,
    /// The largest depth that was seen.
    pub high_water: u64,
    /// How often the publisher had to wait.
    pub waits: u64,
    /// Records that lossy subscribers missed, summed over them.
    pub dropped: u64,
    /// Messages that a blocking subscriber lost. Always 0; anything else is a defect of the bus.
    pub lagged: u64,
}

/// Reads a bus's statistics from anywhere.
#[derive(Debug, Clone)]
pub struct Monitor(Arc<Shared>);

impl Monitor {
    /// The statistics now.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        let shared = &self.0;
        let gates = shared.gates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let depth = gates.iter().map(|gate| gate.used(shared.capacity)).max().unwrap_or(0);
        drop(gates);
        BusStats {
            name: shared.name,
            capacity: shared.capacity,
            records: shared.records.load(Ordering::Relaxed),
            batches: shared.batches.load(Ordering::Relaxed),
            depth,
            high_water: shared.high_water.load(Ordering::Relaxed),
            waits: shared.waits.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            lagged: shared.lagged.load(Ordering::Relaxed),
        }
    }
}

impl Gate {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { credits: Semaphore::new(capacity) })
    }

    fn used(&self, capacity: usize) -> u64 {
        if self.credits.is_closed() {
            return 0;
        }
        capacity.saturating_sub(self.credits.available_permits()) as u64
    }
}

impl<T> Bus<T> {
    /// A bus named `name` on which `capacity` records may wait for each subscriber (at least one).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that wraps the broadcast channel")]
    pub fn new(name: &'static str, capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 20);
        let (sender, _) = broadcast::channel(capacity);
        let shared = Arc::new(Shared {
            name,
            capacity,
            records: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            high_water: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
            gates: std::sync::Mutex::new(Vec::new()),
        });
        Self { sender, gates: Vec::new(), taps: Vec::new(), shared }
    }

    /// Adds a subscriber, which gets every record that is sent.
    pub fn subscribe(&mut self, when_full: WhenFull) -> Subscription<T> {
        let gate = Gate::new(self.shared.capacity);
        let source = match when_full {
            WhenFull::Block => {
                self.gates.push(Arc::clone(&gate));
                let mut gates = self.shared.gates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                gates.push(Arc::clone(&gate));
                Source::Every(self.sender.subscribe())
            }
            WhenFull::DropNewest => {
                let (queue, receiver) = mpsc::channel(self.shared.capacity);
                self.taps.push(Tap { queue, gate: Arc::clone(&gate), missed: 0 });
                Source::Some(receiver)
            }
        };
        Subscription { source, gate, shared: Arc::clone(&self.shared) }
    }

    /// Reads this bus's statistics, now and after it is frozen.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(&self.shared))
    }

    /// Ends the wiring: from here on records can be sent, and nobody can subscribe.
    #[must_use]
    pub fn into_publisher(self) -> Publisher<T> {
        Publisher { sender: self.sender, gates: self.gates, taps: self.taps, shared: self.shared }
    }
}

/// The sending end of a bus. Dropping it ends the stream for every subscriber.
#[derive(Debug)]
pub struct Publisher<T> {
    sender: broadcast::Sender<Arc<Vec<T>>>,
    gates: Vec<Arc<Gate>>,
    taps: Vec<Tap<T>>,
    shared: Arc<Shared>,
}

impl<T> Publisher<T> {
    /// Sends a batch to every subscriber, waiting until each blocking one has room for it.
    ///
    /// A batch that is larger than the capacity counts as the capacity. An empty batch is not sent. Dropping the future
    /// before it ends sends nothing and gives the credits back.
    pub async fn send(&mut self, batch: Vec<T>) {
        if batch.is_empty() {
            return;
        }
        let capacity = self.shared.capacity;
        let cost = u32::try_from(batch.len().min(capacity)).unwrap_or(u32::MAX);
        self.gates.retain(|gate| !gate.credits.is_closed());
        let mut permits = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            let permit = match gate.credits.try_acquire_many(cost) {
                Ok(permit) => Some(permit),
                Err(_) => {
                    self.shared.waits.fetch_add(1, Ordering::Relaxed);
                    // An error means that the subscriber was dropped while we waited: nobody to wait for.
                    gate.credits.acquire_many(cost).await.ok()
                }
            };
            permits.extend(permit);
            self.shared.high_water.fetch_max(gate.used(capacity), Ordering::Relaxed);
        }
        // The subscriber gives them back, when it drops the batch.
        permits.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
        self.shared.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        let batch = Arc::new(batch);
        self.taps.retain_mut(|tap| tap.offer(&batch, cost, &self.shared));
        // An error means that every blocking subscriber is gone.
        drop(self.sender.send(batch));
    }

    /// Reads this bus's statistics.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(&self.shared))
    }
}

impl<T> Tap<T> {
    /// Queues the batch if there is room; says whether the subscriber still exists.
    fn offer(&mut self, batch: &Arc<Vec<T>>, cost: u32, shared: &Shared) -> bool {
        if self.queue.is_closed() {
            return false;
        }
        if let Ok(permit) = self.gate.credits.try_acquire_many(cost)
            && self.queue.try_send((Arc::clone(batch), self.missed)).is_ok()
        {
            permit.forget();
            self.missed = 0;
        } else {
            self.missed += batch.len() as u64;
            shared.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        true
    }
}

enum Source<T> {
    Every(broadcast::Receiver<Arc<Vec<T>>>),
    Some(mpsc::Receiver<(Arc<Vec<T>>, u64)>),
}

/// The receiving end of a bus. Dropping it never holds up the publisher.
pub struct Subscription<T> {
    source: Source<T>,
    gate: Arc<Gate>,
    shared: Arc<Shared>,
}

/// What [`Subscription::try_recv`] found.
#[derive(Debug)]
pub enum Poll<T> {
    /// A batch was waiting.
    Ready(Batch<T>),
    /// Nothing waits now; more may come.
    Empty,
    /// The publisher is gone and everything was read.
    Closed,
}

impl<T> Subscription<T> {
    /// The next batch; `None` when the publisher is gone and everything was read.
    ///
    /// Cancel safe: a batch is lost to nobody when the future is dropped.
    pub async fn recv(&mut self) -> Option<Batch<T>> {
        match &mut self.source {
            Source::Every(receiver) => loop {
                match receiver.recv().await {
                    Ok(records) => return Some(Batch::new(records, 0, &self.gate, &self.shared)),
                    Err(broadcast::error::RecvError::Closed) => return None,
                    Err(broadcast::error::RecvError::Lagged(lost)) => {
                        self.shared.lagged.fetch_add(lost, Ordering::Relaxed);
                    }
                }
            },
            Source::Some(receiver) => {
                let (records, missed) = receiver.recv().await?;
                Some(Batch::new(records, missed, &self.gate, &self.shared))
            }
        }
    }

    /// The next batch, if one waits.
    pub fn try_recv(&mut self) -> Poll<T> {
        match &mut self.source {
            Source::Every(receiver) => loop {
                match receiver.try_recv() {
                    Ok(records) => return Poll::Ready(Batch::new(records, 0, &self.gate, &self.shared)),
                    Err(broadcast::error::TryRecvError::Closed) => return Poll::Closed,
                    Err(broadcast::error::TryRecvError::Empty) => return Poll::Empty,
                    Err(broadcast::error::TryRecvError::Lagged(lost)) => {
                        self.shared.lagged.fetch_add(lost, Ordering::Relaxed);
                    }
                }
            },
            Source::Some(receiver) => match receiver.try_recv() {
                Ok((records, missed)) => Poll::Ready(Batch::new(records, missed, &self.gate, &self.shared)),
                Err(mpsc::error::TryRecvError::Disconnected) => Poll::Closed,
                Err(mpsc::error::TryRecvError::Empty) => Poll::Empty,
            },
        }
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.gate.credits.close();
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("bus", &self.shared.name).finish_non_exhaustive()
    }
}

/// Records that arrived together. Dropping it gives the credits back, so hold it only while working on it.
pub struct Batch<T> {
    records: Arc<Vec<T>>,
    missed: u64,
    gate: Arc<Gate>,
    cost: usize,
}

impl<T> Batch<T> {
    fn new(records: Arc<Vec<T>>, missed: u64, gate: &Arc<Gate>, shared: &Shared) -> Self {
        let cost = records.len().min(shared.capacity);
        Self { records, missed, gate: Arc::clone(gate), cost }
    }

    /// Records that this subscriber missed just before these. Always 0 under [`WhenFull::Block`].
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl<T> Deref for Batch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.records
    }
}

impl<T> Drop for Batch<T> {
    fn drop(&mut self) {
        self.gate.credits.add_permits(self.cost);
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("records", &self.records.len()).field("missed", &self.missed).finish()
    }
}

#[cfg(test)]
mod tests;
