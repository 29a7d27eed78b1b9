//! Connection slots: bound the connections of a server. When all are taken, the connection that has
//! idled longest gives way to a new client; when none idles, the one whose client has not read for
//! longest.
//!
//! A connection idles unless a request is in flight on it or its client has yet to read a response.
//! So a client that only connects, or sends half a head, keeps nobody out; and a client that sends
//! requests and does not read does so only for a short while. A slot may look idle to the listener
//! and be busy by the time that its connection is asked to close; so the connection itself decides,
//! on its own thread.

use crate::shutdown::ShutdownSignal;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;

/// Time that the listener waits for an asked connection to close, and between two searches when
/// none can.
const RETRY: Duration = Duration::from_millis(20);

/// When a slot is needed and no connection idles, a client gives way that has not read for this
/// fraction of the stall timeout. With the default that is a little more than a slow line needs for
/// the bytes that it has to read.
const STALL_FRACTION: u32 = 4;
/// Weight of a connection whose client does not read at all: more than all its streams.
const WHOLE_CONNECTION: usize = 1 << 20;

/// The listener's view of the slots.
pub(crate) struct ConnectionSlots {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Slot>>,
    clock: SlotClock,
}

impl ConnectionSlots {
    /// Creates `count` slots, for clients that have to read within `stall_timeout`.
    pub fn new(count: usize, stall_timeout: Duration) -> Self {
        let clock = SlotClock { started: Instant::now(), max_stall: stall_timeout / STALL_FRACTION };
        ConnectionSlots { free: Arc::new(Semaphore::new(count)), taken: Vec::new(), clock }
    }

    /// Waits for a slot. Never returns `None` while `self` lives.
    pub async fn take(&mut self) -> Option<Arc<Slot>> {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            self.ask_to_close();
            if let Ok(permit) = timeout(RETRY, self.free.clone().acquire_owned()).await {
                break permit.ok()?;
            }
        };
        let slot = Arc::new(Slot::new(permit, self.clock));
        if self.taken.len() == self.taken.capacity() {
            self.forget_free();
        }
        self.taken.push(Arc::downgrade(&slot));
        Some(slot)
    }

    /// Asks the connection to close that has idled longest, or else the one whose client has not
    /// read for longest.
    fn ask_to_close(&mut self) {
        self.forget_free();
        let slots = || self.taken.iter().filter_map(Weak::upgrade);
        let idle = slots().filter(|slot| slot.is_idle()).min_by_key(|slot| slot.idle_since.load(Relaxed));
        let stalled = || slots().filter(|slot| slot.is_stalled()).min_by_key(|slot| slot.stalled_since.load(Relaxed));
        if let Some(slot) = idle.or_else(stalled) {
            slot.needed.notify_one();
        }
    }

    fn forget_free(&mut self) {
        self.taken.retain(|slot| slot.strong_count() > 0);
    }
}

/// Clock of the slots' times.
#[derive(Clone, Copy)]
struct SlotClock {
    started: Instant,
    /// Time without a read after which a connection gives way.
    max_stall: Duration,
}

impl SlotClock {
    /// Returns the microseconds since the start.
    fn now(self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Slot of a connection, free again when all parts of the connection have dropped it.
pub(crate) struct Slot {
    /// Number of guards that keep it from being idle.
    busy: AtomicUsize,
    /// Start of the idle time.
    idle_since: AtomicU64,
    /// Weight of all parts that wait for the client to read.
    stalled: AtomicUsize,
    /// Time at which the last of them began to wait.
    stalled_since: AtomicU64,
    clock: SlotClock,
    needed: Notify,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    fn new(permit: OwnedSemaphorePermit, clock: SlotClock) -> Self {
        Slot {
            busy: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock.now()),
            stalled: AtomicUsize::new(0),
            stalled_since: AtomicU64::new(0),
            clock,
            needed: Notify::new(),
            _permit: permit,
        }
    }

    /// Keeps the connection from being idle until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> BusyGuard {
        self.busy.fetch_add(1, Relaxed);
        BusyGuard(self.clone())
    }

    pub fn is_idle(&self) -> bool {
        self.busy.load(Acquire) == 0
    }

    /// Tells whether everything in flight has waited so long for the client to read that another
    /// client takes precedence.
    fn is_stalled(&self) -> bool {
        let stalled = self.stalled.load(Acquire);
        let since = Duration::from_micros(self.clock.now().saturating_sub(self.stalled_since.load(Relaxed)));
        stalled > 0 && stalled >= self.busy.load(Acquire) && since >= self.clock.max_stall
    }

    fn stalled(self: &Arc<Self>, weight: usize) -> StalledGuard {
        self.stalled_since.store(self.clock.now(), Relaxed);
        self.stalled.fetch_add(weight, Release);
        StalledGuard { slot: self.clone(), weight, busy: None }
    }

    /// Marks the whole connection as stalled until the guard is dropped. It is not idle meanwhile.
    pub fn stalled_connection(self: &Arc<Self>) -> StalledGuard {
        let mut stalled = self.stalled(WHOLE_CONNECTION);
        stalled.busy = Some(self.busy());
        stalled
    }

    /// Marks one stream, which is busy, as stalled until the guard is dropped.
    pub fn stalled_stream(self: &Arc<Self>) -> StalledGuard {
        self.stalled(1)
    }

    /// Waits until another client needs the slot while this connection is idle or stalled.
    pub async fn wait_until_needed(&self) {
        loop {
            self.needed.notified().await;
            // Bytes that have arrived meanwhile are read first.
            yield_now().await;
            if self.is_idle() || self.is_stalled() {
                return;
            }
        }
    }
}

/// Keeps a connection busy: its client waits for a response.
pub(crate) struct BusyGuard(Arc<Slot>);

impl BusyGuard {
    pub fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.now(), Relaxed);
        self.0.busy.fetch_sub(1, Release);
    }
}

/// Marks a connection, or a stream of it, whose client does not read.
pub(crate) struct StalledGuard {
    slot: Arc<Slot>,
    weight: usize,
    busy: Option<BusyGuard>,
}

impl Drop for StalledGuard {
    fn drop(&mut self) {
        self.slot.stalled.fetch_sub(self.weight, Release);
        self.busy = None;
    }
}

/// Reason for which a connection has to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The server shuts down.
    Shutdown,
    /// The connection is idle or stalled, and another client needs its slot.
    SlotNeeded,
}

/// Tells a connection when it has to close.
pub(crate) struct CloseSignal {
    pub shutdown: ShutdownSignal,
    pub slot: Arc<Slot>,
}

impl CloseSignal {
    /// Waits until the connection has to close.
    pub async fn wait(&mut self) -> CloseReason {
        tokio::select! {
            () = self.shutdown.wait() => CloseReason::Shutdown,
            () = self.slot.wait_until_needed() => CloseReason::SlotNeeded,
        }
    }

    /// Runs `work` to its end, unless the connection has to close first.
    pub async fn unless_closed<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloseReason> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            reason = self.wait() => Err(reason),
        }
    }
}
