//! Admission: bounds how many requests run in a component at once, and how many wait.
//!
//! A request takes one permit of its component and one of the node. Without a free permit it waits
//! in a bounded queue for a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Limits of a component's admission.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Sandboxes at once.
    pub sandboxes: u32,
    /// Requests that may wait for a sandbox.
    pub queue: u32,
    /// Longest wait in the queue.
    pub queue_timeout: Duration,
}

/// Admits requests to a component. Made by [`Node::admission`](crate::Node::admission).
pub struct Admission {
    capacity: Arc<Capacity>,
    /// Permits of the whole node; a request takes one of these too.
    node: Option<Arc<Semaphore>>,
    limits: AdmissionLimits,
}

/// Proof that a request was admitted: its permits at the component and on the node, given back on
/// drop.
pub(crate) struct AdmissionPermit {
    _component: OwnedSemaphorePermit,
    _node: Option<OwnedSemaphorePermit>,
}

/// Permits and queue length of a component. Successive versions of the component share them, so
/// that requests still running in the previous version count.
struct Capacity {
    free: Arc<Semaphore>,
    queued: AtomicUsize,
}

impl Admission {
    /// Creates an admission with a capacity of its own, outside the node's limit.
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        let free = Arc::new(Semaphore::new(limits.sandboxes as usize));
        Admission { capacity: Arc::new(Capacity { free, queued: AtomicUsize::new(0) }), node: None, limits }
    }

    /// Creates an admission within the permits of `node`. Shares the capacity of `previous` if both
    /// have equally many sandboxes.
    pub(crate) fn succeeding(previous: Option<&Admission>, node: Arc<Semaphore>, limits: AdmissionLimits) -> Self {
        let previous = previous.filter(|previous| previous.limits.sandboxes == limits.sandboxes);
        match previous {
            Some(previous) => Admission { capacity: previous.capacity.clone(), node: Some(node), limits },
            None => Admission { node: Some(node), ..Self::new(limits) },
        }
    }

    /// Returns the limits that it was made with.
    pub fn limits(&self) -> AdmissionLimits {
        self.limits
    }

    /// Waits for a permit. Returns `None` when the queue is full or the wait exceeds the queue
    /// timeout.
    pub(crate) async fn admit(&self) -> Option<AdmissionPermit> {
        if let Some(permit) = self.try_admit() {
            return Some(permit);
        }
        // Left on every path: with a permit, on the timeout, and when the client disconnects.
        let _queued = QueueTicket::enter(&self.capacity.queued, self.limits.queue as usize)?;
        timeout(self.limits.queue_timeout, self.acquire()).await.ok()?
    }

    async fn acquire(&self) -> Option<AdmissionPermit> {
        let component = self.capacity.free.clone().acquire_owned().await.ok()?;
        let node = match &self.node {
            Some(node) => Some(node.clone().acquire_owned().await.ok()?),
            None => None,
        };
        Some(AdmissionPermit { _component: component, _node: node })
    }

    /// Returns a permit if one is free now.
    pub(crate) fn try_admit(&self) -> Option<AdmissionPermit> {
        let component = self.capacity.free.clone().try_acquire_owned().ok()?;
        let node = match &self.node {
            Some(node) => Some(node.clone().try_acquire_owned().ok()?),
            None => None,
        };
        Some(AdmissionPermit { _component: component, _node: node })
    }

    /// Counts the requests that wait for a permit.
    pub(crate) fn queued(&self) -> u64 {
        // A request that finds the queue full is counted for a moment.
        self.capacity.queued.load(SeqCst).min(self.limits.queue as usize) as u64
    }

    /// Counts the permits in use.
    pub(crate) fn in_use(&self) -> u64 {
        (self.limits.sandboxes as usize).saturating_sub(self.capacity.free.available_permits()) as u64
    }
}

/// Place of a request in the queue; left on drop.
struct QueueTicket<'a>(&'a AtomicUsize);

impl<'a> QueueTicket<'a> {
    fn enter(queued: &'a AtomicUsize, max: usize) -> Option<Self> {
        let ticket = QueueTicket(queued);
        (queued.fetch_add(1, SeqCst) < max).then_some(ticket)
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
