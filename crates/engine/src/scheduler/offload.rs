//! Moves long-running guests to a compute thread.
//!
//! A serving thread is blocked while a guest computes: until the next tick it sees no socket. Where
//! several components are busy on a thread, a guest that has computed for long therefore goes on
//! elsewhere: on one compute thread beside each serving thread. The compute thread has a ninth of
//! the weight, and the system preempts it as soon as a request arrives. A component whose requests
//! usually compute for long starts there.

use crate::scheduler::background_drop;
use crate::scheduler::priority::{lower_priority, request_short_slice};
use crate::scheduler::turns;
use std::cell::OnceCell;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::thread::{self, ThreadId};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot::{Sender, channel};
use tokio::task::JoinHandle;

thread_local! {
    /// Compute thread of this serving thread. `None` if the system refuses a thread, and on compute
    /// threads themselves.
    static COMPUTE_THREAD: OnceCell<Option<ComputeThread>> = const { OnceCell::new() };
    /// On a compute thread: the serving thread that it belongs to.
    static SERVING_THREAD: OnceCell<ServingThread> = const { OnceCell::new() };
}

struct ServingThread {
    runtime: Handle,
    thread: ThreadId,
}

/// Thread for long-running guests. It ends with its serving thread.
struct ComputeThread {
    runtime: Handle,
    _end: Sender<()>,
}

/// Niceness of the compute thread: +10 leaves it about 10 % of a saturated core.
const NICENESS: i32 = 10;

impl ComputeThread {
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let (handle, serving_thread) = (runtime.handle().clone(), Handle::try_current().ok()?);
        let serving_thread = ServingThread { runtime: serving_thread, thread: thread::current().id() };
        let (end, ends) = channel::<()>();
        let work = move || {
            let _ = COMPUTE_THREAD.with(|compute_thread| compute_thread.set(None));
            let _ = SERVING_THREAD.with(|here| here.set(serving_thread));
            lower_priority(NICENESS);
            let _ = runtime.block_on(ends);
            runtime.shutdown_background();
        };
        // Threads inherit their priority, so threads that all share must not be started by this
        // one.
        background_drop::start_thread();
        thread::Builder::new().name("walnut-compute".into()).spawn(work).ok()?;
        // A thread that asks for a short slice precedes others that wait for the core.
        request_short_slice();
        Some(ComputeThread { runtime: handle, _end: end })
    }
}

/// Returns the compute thread of this serving thread, if more than one flow is busy here. A guest
/// that disturbs nobody stays.
pub(crate) fn compute_thread() -> Option<Handle> {
    let runtime = |compute_thread: &ComputeThread| compute_thread.runtime.clone();
    turns::is_contended().then(|| {
        COMPUTE_THREAD.with(|compute_thread| compute_thread.get_or_init(ComputeThread::start).as_ref().map(runtime))
    })?
}

/// Returns whether a long-running guest of this thread can move to a compute thread.
pub(crate) fn is_available() -> bool {
    compute_thread().is_some()
}

/// Whether a component's latest requests were long-running.
#[derive(Default)]
pub(crate) struct LongRunHistory(AtomicU32);

impl LongRunHistory {
    /// Weight of a long run against a short one: long runs are usual when they are more than a
    /// fifth.
    const LONG_WEIGHT: u32 = 4;
    const THRESHOLD: u32 = 32;
    /// Upper bound, which long runs reach and from which as many short ones lead back to the
    /// threshold.
    const MAX: u32 = 2 * Self::THRESHOLD;

    /// Records the end of a request. If two requests end at once on different threads, one may be
    /// lost.
    pub fn record(&self, was_long: bool) {
        let before = self.0.load(Relaxed);
        let now = if was_long { (before + Self::LONG_WEIGHT).min(Self::MAX) } else { before.saturating_sub(1) };
        if now != before {
            self.0.store(now, Relaxed);
        }
    }

    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= Self::THRESHOLD
    }
}

/// Returns the serving thread: the current thread, or the one that the current compute thread
/// belongs to.
pub(crate) fn serving_thread() -> ThreadId {
    SERVING_THREAD.with(|serving_thread| {
        serving_thread.get().map_or_else(|| thread::current().id(), |serving_thread| serving_thread.thread)
    })
}

/// Runs `work` on the serving thread, also for a guest that has moved to a compute thread. Tasks
/// that the work spawns are then not blocked by long-running guests.
pub(crate) async fn on_serving_thread<F>(work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let Some(serving_thread) =
        SERVING_THREAD.with(|serving_thread| serving_thread.get().map(|serving_thread| serving_thread.runtime.clone()))
    else {
        return work.await;
    };
    let mut task = Task(Some(serving_thread.spawn(work)));
    poll_fn(|cx| task.poll(cx)).await
}

/// A guest that moves to the compute thread once it is long-running.
pub(crate) enum Offload<G: Future> {
    Local(G),
    /// On the compute thread, where it stays; only its output comes back.
    Remote(Task<G::Output>),
    Moving,
}

/// Task on the compute thread. It is aborted when this is dropped.
pub(crate) struct Task<T>(Option<JoinHandle<T>>);

impl<T> Task<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(task) = &mut self.0 else { return Poll::Pending };
        match ready!(Pin::new(task).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => {
                    // The compute thread has ended, and this thread is about to.
                    self.0 = None;
                    Poll::Pending
                }
            },
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A future that may move to a compute thread.
pub(crate) trait CanOffload: Future {
    /// Returns whether it has computed for longer than others should wait.
    fn is_long(&self) -> bool;

    /// Returns whether its component's requests usually do.
    fn is_usually_long(&self) -> bool;
}

impl<G> Future for Offload<G>
where
    G: CanOffload + Send + Unpin + 'static,
    G::Output: Send,
{
    type Output = G::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G::Output> {
        if let Offload::Local(guest) = &*self
            && guest.is_long()
            && let Some(runtime) = compute_thread()
        {
            self.move_to(&runtime);
        }
        match &mut *self {
            Offload::Local(guest) => Pin::new(guest).poll(cx),
            Offload::Remote(task) => task.poll(cx),
            Offload::Moving => Poll::Pending,
        }
    }
}

impl<G> Offload<G>
where
    G: CanOffload + Send + Unpin + 'static,
    G::Output: Send,
{
    /// Starts on this thread, or on the compute thread if the component's requests are usually
    /// long.
    pub fn new(guest: G) -> Self {
        let usually_leaves = guest.is_usually_long();
        let mut apart = Offload::Local(guest);
        if usually_leaves && let Some(runtime) = compute_thread() {
            apart.move_to(&runtime);
        }
        apart
    }

    fn move_to(&mut self, runtime: &Handle) {
        let Offload::Local(mut guest) = std::mem::replace(self, Offload::Moving) else { return };
        let guest = poll_fn(move |cx| {
            let polled = Pin::new(&mut guest).poll(cx);
            if polled.is_pending() {
                // A thread that waits for a lock of this one would otherwise wait until the next
                // tick of the system's scheduler.
                thread::yield_now();
            }
            polled
        });
        *self = Offload::Remote(Task(Some(runtime.spawn(guest))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::fair_queue::FlowId;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    /// Tells on which thread it is polled, and ends when it is told to.
    struct Guest {
        is_long: bool,
        is_usually_long: bool,
        polled: UnboundedSender<ThreadId>,
        over: UnboundedReceiver<&'static str>,
    }

    impl CanOffload for Guest {
        fn is_long(&self) -> bool {
            self.is_long
        }

        fn is_usually_long(&self) -> bool {
            self.is_usually_long
        }
    }

    impl Future for Guest {
        type Output = &'static str;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'static str> {
            let _ = self.polled.send(thread::current().id());
            let over = ready!(self.over.poll_recv(cx)).unwrap_or("gone");
            assert!(over != "panic", "on purpose");
            Poll::Ready(over)
        }
    }

    fn guest(
        is_long: bool,
        usually: bool,
    ) -> (Offload<Guest>, UnboundedReceiver<ThreadId>, UnboundedSender<&'static str>) {
        let ((polled, hears), (tells, over)) = (unbounded_channel(), unbounded_channel());
        (Offload::new(Guest { is_long, is_usually_long: usually, polled, over }), hears, tells)
    }

    async fn soon<T>(it: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(60), it).await.expect("it takes no minute")
    }

    fn share_the_thread() {
        for _ in 0..2 {
            let _ = turns::before(FlowId::new(), Instant::now());
        }
    }

    /// Polls the guest once, which may move it, and returns the thread that polled it.
    async fn begin(is_long: bool) -> (Offload<Guest>, ThreadId, UnboundedSender<&'static str>) {
        let (mut guest, mut polled, over) = guest(is_long, false);
        assert!(Pin::new(&mut guest).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        (guest, soon(polled.recv()).await.unwrap(), over)
    }

    #[tokio::test]
    async fn a_long_running_guest_among_others_moves() {
        let here = thread::current().id();
        for (is_long, is_shared) in [(false, false), (true, false), (false, true), (true, true)] {
            if is_shared {
                share_the_thread();
            }
            let (guest, there, over) = begin(is_long).await;
            assert_eq!(there != here, is_long && is_shared, "{is_long} {is_shared}");
            over.send("done").unwrap();
            assert_eq!(soon(guest).await, "done");
        }
    }

    #[tokio::test]
    async fn a_usually_long_guest_among_others_starts_on_the_compute_thread() {
        let here = thread::current().id();
        let (_alone, mut polled, _over) = guest(false, true);
        assert!(polled.try_recv().is_err(), "it waits to be polled here");
        share_the_thread();
        for usually in [false, true] {
            let (begun, mut polled, _over) = guest(false, usually);
            assert_eq!(matches!(begun, Offload::Remote(_)), usually);
            if usually {
                assert_ne!(soon(polled.recv()).await.unwrap(), here);
            }
        }
    }

    #[test]
    fn long_runs_are_usual_above_a_fifth() {
        let history = LongRunHistory::default();
        let record = |long: usize, short: usize| {
            for _ in 0..200 {
                (0..long).for_each(|_| history.record(true));
                (0..short).for_each(|_| history.record(false));
            }
            history.is_long()
        };
        assert!(!record(0, 1) && !record(1, 5) && record(1, 3) && record(1, 0) && !record(1, 9));
    }

    #[tokio::test]
    async fn work_for_the_serving_thread_runs_there() {
        share_the_thread();
        let here = thread::current().id();
        let where_it_is =
            || async { (thread::current().id(), on_serving_thread(async { thread::current().id() }).await) };
        assert_eq!(soon(where_it_is()).await, (here, here));
        let (there, serving_thread) = soon(compute_thread().unwrap().spawn(where_it_is())).await.unwrap();
        assert!(there != here && serving_thread == here);
    }

    #[tokio::test]
    async fn an_offloaded_guest_that_is_dropped_ends() {
        share_the_thread();
        let (guest, _, over) = begin(true).await;
        drop(guest);
        soon(over.closed()).await;
    }

    #[tokio::test]
    async fn a_panic_there_is_one_here() {
        share_the_thread();
        let (mut guest, _, over) = begin(true).await;
        over.send("panic").unwrap();
        // The task has ended.
        soon(over.closed()).await;
        let mut cx = Context::from_waker(Waker::noop());
        let ended = soon(async {
            loop {
                match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut guest).poll(&mut cx).is_ready())) {
                    Ok(false) => tokio::task::yield_now().await,
                    ended => return ended,
                }
            }
        });
        assert!(ended.await.is_err());
    }
}
