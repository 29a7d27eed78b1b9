//! The slots of connections: as many as there may be at once. When all are taken, who has idled for longest gives way to
//! who comes, and when none idles, who has not read for longest.
//!
//! A connection idles unless a request is under way on it, or its client has yet to read what was answered. So who only
//! connects, or sends half a head, keeps nobody out; and who asks and then does not read does so for a short while only. A slot
//! may look idle to the listener and be busy by the time that it is told; so the connection itself decides, on its own thread.

use crate::shutdown::ShutdownSignal;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;

/// How long one that was told to give way is waited for, and how often it is looked for one where none idles.
const AGAIN: Duration = Duration::from_millis(20);

/// When a slot is needed and none idles, a client gives way that has not read for this part of the time that it may. Of the
/// default that is a little more than a slow line takes for what it has to read.
const PART: u32 = 4;
/// What a connection weighs that its client does not read from at all: more than all its streams.
const WHOLE: usize = 1 << 20;

/// The listener's view of them.
pub(crate) struct ConnectionSlots {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Slot>>,
    clock: SlotClock,
}

impl ConnectionSlots {
    /// So many, of clients that may not read for `stall`.
    pub fn new(count: usize, stall: Duration) -> Self {
        let clock = SlotClock { started: Instant::now(), stall_patience: stall / PART };
        ConnectionSlots { free: Arc::new(Semaphore::new(count)), taken: Vec::new(), clock }
    }

    /// A slot, once there is one. `None` never comes while there are slots.
    pub async fn take(&mut self) -> Option<Arc<Slot>> {
        let place = loop {
            if let Ok(place) = self.free.clone().try_acquire_owned() {
                break place;
            }
            self.make_room();
            if let Ok(place) = timeout(AGAIN, self.free.clone().acquire_owned()).await {
                break place.ok()?;
            }
        };
        let slot = Arc::new(Slot::new(place, self.clock));
        if self.taken.len() == self.taken.capacity() {
            self.forget_empty();
        }
        self.taken.push(Arc::downgrade(&slot));
        Some(slot)
    }

    /// Tells who has idled for longest, or else who has not read for longest.
    fn make_room(&mut self) {
        self.forget_empty();
        let slots = || self.taken.iter().filter_map(Weak::upgrade);
        let idle = slots().filter(|slot| slot.is_idle()).min_by_key(|slot| slot.idle_since.load(Relaxed));
        let stalls = || slots().filter(|slot| slot.stalls()).min_by_key(|slot| slot.stalled_since.load(Relaxed));
        if let Some(longest) = idle.or_else(stalls) {
            longest.told.notify_one();
        }
    }

    fn forget_empty(&mut self) {
        self.taken.retain(|slot| slot.strong_count() > 0);
    }
}

/// What the times of slots are told by.
#[derive(Clone, Copy)]
struct SlotClock {
    started: Instant,
    stall_patience: Duration,
}

impl SlotClock {
    /// In microseconds.
    fn now(self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The slot of a connection, free again when nothing of the connection is left.
pub(crate) struct Slot {
    /// What keeps it from being idle.
    busy: AtomicUsize,
    /// Since when nothing does.
    idle_since: AtomicU64,
    /// What of it waits for the client to read, and since when the last of it does.
    stalled: AtomicUsize,
    stalled_since: AtomicU64,
    clock: SlotClock,
    told: Notify,
    _place: OwnedSemaphorePermit,
}

impl Slot {
    fn new(place: OwnedSemaphorePermit, clock: SlotClock) -> Self {
        Slot {
            busy: AtomicUsize::new(0),
            idle_since: AtomicU64::new(clock.now()),
            stalled: AtomicUsize::new(0),
            stalled_since: AtomicU64::new(0),
            clock,
            told: Notify::new(),
            _place: place,
        }
    }

    /// Not idle, until the answer is dropped.
    pub fn busy(self: &Arc<Self>) -> BusyGuard {
        self.busy.fetch_add(1, Relaxed);
        BusyGuard(self.clone())
    }

    pub fn is_idle(&self) -> bool {
        self.busy.load(Acquire) == 0
    }

    /// Whether all that is under way has waited for the client to read, for so long that somebody else goes before it.
    fn stalls(&self) -> bool {
        let stalled = self.stalled.load(Acquire);
        let since = Duration::from_micros(self.clock.now().saturating_sub(self.stalled_since.load(Relaxed)));
        stalled > 0 && stalled >= self.busy.load(Acquire) && since >= self.clock.stall_patience
    }

    fn stalled(self: &Arc<Self>, weight: usize) -> StalledGuard {
        self.stalled_since.store(self.clock.now(), Relaxed);
        self.stalled.fetch_add(weight, Release);
        StalledGuard { slot: self.clone(), weight, busy: None }
    }

    /// The client does not read, until the answer is dropped. So the slot does not idle.
    pub fn stalled_whole(self: &Arc<Self>) -> StalledGuard {
        let mut stalled = self.stalled(WHOLE);
        stalled.busy = Some(self.busy());
        stalled
    }

    /// The client does not read one of its streams, which is busy, until the answer is dropped.
    pub fn stalled_stream(self: &Arc<Self>) -> StalledGuard {
        self.stalled(1)
    }

    /// Ends when it idles, or its client does not read, and somebody else needs the slot.
    pub async fn is_needed(&self) {
        loop {
            self.told.notified().await;
            // What has arrived meanwhile is read first.
            yield_now().await;
            if self.is_idle() || self.stalls() {
                return;
            }
        }
    }
}

/// Something that a client waits for.
pub(crate) struct BusyGuard(Arc<Slot>);

impl BusyGuard {
    pub fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

/// Something that waits for a client to read.
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

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.now(), Relaxed);
        self.0.busy.fetch_sub(1, Release);
    }
}

/// CloseReason a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The server stops.
    Shutdown,
    /// It idles, or its client does not read, and its slot is needed.
    SlotNeeded,
}

/// Tells a connection when to end.
pub(crate) struct CloseSignal {
    pub shutdown: ShutdownSignal,
    pub slot: Arc<Slot>,
}

impl CloseSignal {
    /// Waits until it is asked for.
    pub async fn asked(&mut self) -> CloseReason {
        tokio::select! {
            () = self.shutdown.wait() => CloseReason::Shutdown,
            () = self.slot.is_needed() => CloseReason::SlotNeeded,
        }
    }

    /// What `work` gives, unless the connection is to end first.
    pub async fn unless_closed<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloseReason> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = self.asked() => Err(why),
        }
    }
}
