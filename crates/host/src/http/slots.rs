//! The seats of connections: as many as there may be at once. When all are taken, who has idled for longest gives way to
//! who comes, and when none idles, who has not read for longest.
//!
//! A connection idles unless a request is under way on it, or its client has yet to read what was answered. So who only
//! connects, or sends half a head, keeps nobody out; and who asks and then does not read does so for a short while only. A seat
//! may look idle to the listener and be busy by the time that it is told; so the connection itself decides, on its own thread.

use crate::http::shutdown::Stop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;

/// How long one that was told to give way is waited for, and how often it is looked for one where none idles.
const AGAIN: Duration = Duration::from_millis(20);

/// When a seat is needed and none idles, a client gives way that has not read for this part of the time that it may. Of the
/// default that is a little more than a slow line takes for what it has to read.
const PART: u32 = 4;
/// What a connection weighs that its client does not read from at all: more than all its streams.
const WHOLE: usize = 1 << 20;

/// The listener's view of them.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Seat>>,
    clock: Clock,
}

impl Seats {
    /// So many, of clients that may not read for `stall`.
    pub fn new(count: usize, stall: Duration) -> Self {
        let clock = Clock { started: Instant::now(), patience: stall / PART };
        Seats { free: Arc::new(Semaphore::new(count)), taken: Vec::new(), clock }
    }

    /// A seat, once there is one. `None` never comes while there are seats.
    pub async fn take(&mut self) -> Option<Arc<Seat>> {
        let place = loop {
            if let Ok(place) = self.free.clone().try_acquire_owned() {
                break place;
            }
            self.make_room();
            if let Ok(place) = timeout(AGAIN, self.free.clone().acquire_owned()).await {
                break place.ok()?;
            }
        };
        let seat = Arc::new(Seat::new(place, self.clock));
        if self.taken.len() == self.taken.capacity() {
            self.forget_empty();
        }
        self.taken.push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// Tells who has idled for longest, or else who has not read for longest.
    fn make_room(&mut self) {
        self.forget_empty();
        let seats = || self.taken.iter().filter_map(Weak::upgrade);
        let idle = seats().filter(|seat| seat.is_idle()).min_by_key(|seat| seat.idle_since.load(Relaxed));
        let stalls = || seats().filter(|seat| seat.stalls()).min_by_key(|seat| seat.stalled_since.load(Relaxed));
        if let Some(longest) = idle.or_else(stalls) {
            longest.told.notify_one();
        }
    }

    fn forget_empty(&mut self) {
        self.taken.retain(|seat| seat.strong_count() > 0);
    }
}

/// What the times of seats are told by.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
    patience: Duration,
}

impl Clock {
    /// In microseconds.
    fn now(self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The seat of a connection, free again when nothing of the connection is left.
pub(crate) struct Seat {
    /// What keeps it from being idle.
    busy: AtomicUsize,
    /// Since when nothing does.
    idle_since: AtomicU64,
    /// What of it waits for the client to read, and since when the last of it does.
    stalled: AtomicUsize,
    stalled_since: AtomicU64,
    clock: Clock,
    told: Notify,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    fn new(place: OwnedSemaphorePermit, clock: Clock) -> Self {
        Seat {
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
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    pub fn is_idle(&self) -> bool {
        self.busy.load(Acquire) == 0
    }

    /// Whether all that is under way has waited for the client to read, for so long that somebody else goes before it.
    fn stalls(&self) -> bool {
        let stalled = self.stalled.load(Acquire);
        let since = Duration::from_micros(self.clock.now().saturating_sub(self.stalled_since.load(Relaxed)));
        stalled > 0 && stalled >= self.busy.load(Acquire) && since >= self.clock.patience
    }

    fn stalled(self: &Arc<Self>, weight: usize) -> Stalled {
        self.stalled_since.store(self.clock.now(), Relaxed);
        self.stalled.fetch_add(weight, Release);
        Stalled { seat: self.clone(), weight, busy: None }
    }

    /// The client does not read, until the answer is dropped. So the seat does not idle.
    pub fn stalled_whole(self: &Arc<Self>) -> Stalled {
        let mut stalled = self.stalled(WHOLE);
        stalled.busy = Some(self.busy());
        stalled
    }

    /// The client does not read one of its streams, which is busy, until the answer is dropped.
    pub fn stalled_stream(self: &Arc<Self>) -> Stalled {
        self.stalled(1)
    }

    /// Ends when it idles, or its client does not read, and somebody else needs the seat.
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
pub(crate) struct Busy(Arc<Seat>);

impl Busy {
    pub fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

/// Something that waits for a client to read.
pub(crate) struct Stalled {
    seat: Arc<Seat>,
    weight: usize,
    busy: Option<Busy>,
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.seat.stalled.fetch_sub(self.weight, Release);
        self.busy = None;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.now(), Relaxed);
        self.0.busy.fetch_sub(1, Release);
    }
}

/// Why a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The server stops.
    Stop,
    /// It idles, or its client does not read, and its seat is needed.
    Needed,
}

/// Tells a connection when to end.
pub(crate) struct Leave {
    pub stop: Stop,
    pub seat: Arc<Seat>,
}

impl Leave {
    /// Waits until it is asked for.
    pub async fn asked(&mut self) -> Why {
        tokio::select! {
            () = self.stop.asked() => Why::Stop,
            () = self.seat.is_needed() => Why::Needed,
        }
    }

    /// What `work` gives, unless the connection is to end first.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Why> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            why = self.asked() => Err(why),
        }
    }
}
