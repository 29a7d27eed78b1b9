//! The seats of connections: as many as there may be at once. When all are taken, who has idled for longest gives way to
//! who comes.
//!
//! A connection idles unless a request is under way on it, or its client has yet to read what was answered. So who only
//! connects, or sends half a head, keeps nobody out. A seat may look idle to the listener and be busy by the time that it is
//! told; so the connection itself decides, on its own thread.

use crate::stop::Stop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::timeout;

/// How long one that was told to give way is waited for, and how often it is looked for one where none idles.
const AGAIN: Duration = Duration::from_millis(20);

/// The listener's view of them.
pub(crate) struct Seats {
    free: Arc<Semaphore>,
    taken: Vec<Weak<Seat>>,
    started: Instant,
}

impl Seats {
    pub fn new(count: usize) -> Self {
        Seats { free: Arc::new(Semaphore::new(count)), taken: Vec::new(), started: Instant::now() }
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
        let seat = Arc::new(Seat::new(place, self.started));
        if self.taken.len() == self.taken.capacity() {
            self.forget_empty();
        }
        self.taken.push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// Tells who has idled for longest.
    fn make_room(&mut self) {
        self.forget_empty();
        let idle = self.taken.iter().filter_map(Weak::upgrade).filter(|seat| seat.is_idle());
        if let Some(longest) = idle.min_by_key(|seat| seat.idle_since.load(Relaxed)) {
            longest.told.notify_one();
        }
    }

    fn forget_empty(&mut self) {
        self.taken.retain(|seat| seat.strong_count() > 0);
    }
}

/// The seat of a connection, free again when nothing of the connection is left.
pub(crate) struct Seat {
    /// What keeps it from being idle.
    busy: AtomicUsize,
    /// Since when nothing does, in microseconds from `started`.
    idle_since: AtomicU64,
    started: Instant,
    told: Notify,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    fn new(place: OwnedSemaphorePermit, started: Instant) -> Self {
        let seat = Seat {
            busy: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            started,
            told: Notify::new(),
            _place: place,
        };
        seat.idles();
        seat
    }

    /// Not idle, until the answer is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    pub fn is_idle(&self) -> bool {
        self.busy.load(Acquire) == 0
    }

    fn idles(&self) {
        let since = self.started.elapsed().as_micros();
        self.idle_since.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    /// Ends when it idles and somebody else needs the seat.
    pub async fn is_needed(&self) {
        loop {
            self.told.notified().await;
            // What has arrived meanwhile is read first.
            yield_now().await;
            if self.is_idle() {
                return;
            }
        }
    }
}

/// Something that a client waits for.
pub(crate) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idles();
        self.0.busy.fetch_sub(1, Release);
    }
}

/// Why a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The server stops.
    Stop,
    /// It idles, and its seat is needed.
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
