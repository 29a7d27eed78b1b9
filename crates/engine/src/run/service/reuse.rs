//! The sandboxes of a WASI 0.2 component that reuses them (`reuse`): each takes several requests,
//! one after another.
//!
//! A request takes an idle sandbox, and starts one only if there is none, so there are never more
//! sandboxes than there were requests at once, each with its place. An idle sandbox gives up its
//! room in the engine's pools when another component needs it. A sandbox is only kept if its call
//! returned and succeeded; any other end of a request ends its sandbox, too.

use crate::compile::prepared::Ready;
use crate::request_id::RequestId;
use crate::run::service::response::GuestRequest;
use crate::sandbox::sandbox::{Sandbox, wait_for_room};
use crate::sandbox::stdio::GuestOutput;
use crate::scheduler::meter::Meter;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use wasmtime::Store;
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::p2::bindings as p2;
use wasmtime_wasi_http::p2::body::HostOutgoingBody;

/// An instantiated sandbox.
pub(super) struct Instance {
    pub store: Store<Sandbox>,
    pub proxy: p2::Proxy,
}

impl Instance {
    /// Starts a sandbox for `request`, once the engine has room for it. `meter` counts the start.
    pub async fn start(
        ready: &Ready,
        pre: &p2::ProxyPre<Sandbox>,
        meter: &Arc<Meter>,
        request: RequestId,
    ) -> wasmtime::Result<Self> {
        loop {
            let (began, output) = (Instant::now(), GuestOutput::new(&ready.setup.stdio));
            output.switch_to(Some(request));
            let mut store = Sandbox::store_with(&ready.code.tier.wasmtime, &ready.setup, meter.clone(), output);
            match pre.instantiate_async(&mut store).await {
                Ok(proxy) => {
                    ready.setup.sandbox_started(began.into());
                    return Ok(Instance { store, proxy });
                }
                Err(e) => wait_for_room(e, &ready.code.tier.room_needed).await?,
            }
        }
    }

    /// Returns whether another request may have the sandbox.
    fn is_clean(&mut self) -> bool {
        let sandbox = self.store.data_mut();
        // Memory that requests leave behind must not fail a later one.
        if sandbox.memory_left() < sandbox.setup.limits.memory / 2 {
            return false;
        }
        let table = &mut sandbox.table;
        let mut room = table.max_capacity() / 2;
        table.iter_mut().all(|resource| {
            room = room.saturating_sub(1);
            // The client would wait for the rest of the body until the sandbox ends.
            room > 0 && !resource.is::<HostOutgoingBody>()
        })
    }
}

/// A sandbox with its place, from before its start to its end, however it ends.
pub(super) struct InstanceGuard<S: Send + 'static> {
    pub instance: Option<Instance>,
    slot: Option<S>,
}

impl<S: Send + 'static> InstanceGuard<S> {
    pub fn with(slot: S) -> Self {
        InstanceGuard { instance: None, slot: Some(slot) }
    }

    pub fn of(&mut self, instance: Instance) -> &mut Instance {
        self.instance.insert(instance)
    }
}

impl<S: Send + 'static> Drop for InstanceGuard<S> {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            Sandbox::end(instance.store, self.slot.take());
        }
    }
}

/// Idle sandboxes of a component.
pub(super) struct ReusedSandboxes {
    /// Requests that a sandbox takes in all.
    max_requests: u32,
    /// Time for which an idle sandbox is kept.
    idle_timeout: Duration,
    /// Tells that an idle sandbox is in another's way.
    room_needed: Arc<Notify>,
    idle: Mutex<IdleInstances>,
    /// Counts live sandboxes: each has a clone.
    live: Arc<()>,
}

#[derive(Default)]
struct IdleInstances {
    /// Idle sandboxes, the longest idle first.
    kept: VecDeque<IdleInstance>,
    /// Whether a task ends sandboxes that are idle for too long.
    is_swept: bool,
    /// Whether another version of the component takes the next requests.
    is_over: bool,
}

struct IdleInstance {
    count: RequestCount,
    instance: Instance,
    since: Instant,
    thread: ThreadId,
}

/// Number of requests that a sandbox took.
pub(super) struct RequestCount {
    taken: u32,
    _live: Arc<()>,
}

impl ReusedSandboxes {
    pub fn new(max_requests: u32, idle_timeout: Duration, room_needed: Arc<Notify>) -> Arc<Self> {
        Arc::new(ReusedSandboxes {
            max_requests,
            idle_timeout,
            room_needed,
            idle: Mutex::default(),
            live: Arc::default(),
        })
    }

    /// Returns the number of live sandboxes.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.live) - 1
    }

    /// Takes an idle sandbox, if there is one, preferably the latest of this thread: its memory is
    /// in the caches.
    pub fn take(&self) -> (RequestCount, Option<Instance>) {
        let here = thread::current().id();
        let mut idle = self.lock();
        let nearest = idle.kept.iter().rposition(|kept| kept.thread == here).or(idle.kept.len().checked_sub(1));
        match nearest.and_then(|index| idle.kept.remove(index)) {
            Some(kept) => (kept.count, Some(kept.instance)),
            None => (RequestCount { taken: 0, _live: self.live.clone() }, None),
        }
    }

    /// Keeps a sandbox whose request succeeded.
    pub fn keep(self: &Arc<Self>, mut count: RequestCount, mut instance: Instance) {
        count.taken += 1;
        if count.taken >= self.max_requests || !instance.is_clean() {
            return;
        }
        let kept = IdleInstance { count, instance, since: Instant::now(), thread: thread::current().id() };
        let mut idle = self.lock();
        if idle.is_over {
            // Dropped outside the lock.
            drop(idle);
            return drop(kept);
        }
        idle.kept.push_back(kept);
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_timeout, self.room_needed.clone()));
        }
    }

    /// Ends the idle sandboxes, and keeps none from now on.
    pub fn retire(&self) {
        let mut idle = self.lock();
        idle.is_over = true;
        let kept = std::mem::take(&mut idle.kept);
        drop(idle);
        drop(kept);
    }

    /// Removes the sandboxes that are idle for longer than `most`, and returns whether others are
    /// left.
    fn stale(&self, most: Duration) -> (VecDeque<IdleInstance>, bool) {
        let mut idle = self.lock();
        let fresh = idle.kept.iter().position(|kept| kept.since.elapsed() < most).unwrap_or(idle.kept.len());
        let rest = idle.kept.split_off(fresh);
        let stale = std::mem::replace(&mut idle.kept, rest);
        idle.is_swept = !idle.kept.is_empty();
        (stale, idle.is_swept)
    }

    fn lock(&self) -> MutexGuard<'_, IdleInstances> {
        self.idle.lock()
    }
}

async fn sweep(reused: std::sync::Weak<ReusedSandboxes>, idle_timeout: Duration, room_needed: Arc<Notify>) {
    loop {
        let is_needed = timeout(idle_timeout, room_needed.notified()).await.is_ok();
        let most = if is_needed { Duration::ZERO } else { idle_timeout };
        let Some((stale, poll_more)) = reused.upgrade().map(|reused| reused.stale(most)) else { return };
        drop(stale);
        if !poll_more {
            return;
        }
    }
}

type InnerBody = UnsyncBoxBody<Bytes, HttpError>;

/// Body of a request, taken from the guest when this is dropped: a guest that keeps it must not
/// hold the client's connection.
pub(super) struct BorrowedBody(Arc<Mutex<Option<InnerBody>>>);

impl BorrowedBody {
    pub fn of(request: GuestRequest) -> (Self, GuestRequest) {
        let (parts, body) = request.into_parts();
        let body = Arc::new(Mutex::new(Some(body)));
        (BorrowedBody(body.clone()), http::Request::from_parts(parts, LentBody(body).boxed_unsync()))
    }
}

impl Drop for BorrowedBody {
    fn drop(&mut self) {
        self.0.lock().take();
    }
}

struct LentBody(Arc<Mutex<Option<InnerBody>>>);

impl LentBody {
    fn lock(&self) -> MutexGuard<'_, Option<InnerBody>> {
        self.0.lock()
    }
}

impl HttpBody for LentBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match &mut *self.lock() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err(HttpError::ConnectionTerminated))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lock().as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}
