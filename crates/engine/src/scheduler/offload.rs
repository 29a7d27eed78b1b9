//! Guests that compute for long, on a thread of their own.
//!
//! A thread that serves is in nobody's hands while a guest computes on it: until the next tick it sees no socket. So where several
//! components are busy on it, a guest that has computed for long goes on elsewhere: on one thread beside each that serves, which has a
//! ninth of its weight, and from which the system takes the processor as soon as there is a request. Where it is usual that requests of its
//! component do so, it begins there.

use crate::scheduler::background_drop;
use crate::scheduler::priority::{be_modest, be_prompt};
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
    /// What this thread has beside it. None where the system refuses a thread, and on those threads themselves.
    static BESIDE: OnceCell<Option<Beside>> = const { OnceCell::new() };
    /// On a thread for guests that compute: the one that it belongs to.
    static HOME: OnceCell<Home> = const { OnceCell::new() };
}

struct Home {
    runtime: Handle,
    thread: ThreadId,
}

/// A thread for guests that compute. It ends with the one that it belongs to.
struct Beside {
    runtime: Handle,
    _end: Sender<()>,
}

/// By so much it is nicer: a tenth of a processor of which the others want all is its.
const LESS: i32 = 10;

impl Beside {
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let (handle, home) = (runtime.handle().clone(), Handle::try_current().ok()?);
        let home = Home { runtime: home, thread: thread::current().id() };
        let (end, ends) = channel::<()>();
        let work = move || {
            let _ = BESIDE.with(|beside| beside.set(None));
            let _ = HOME.with(|here| here.set(home));
            be_modest(LESS);
            let _ = runtime.block_on(ends);
            runtime.shutdown_background();
        };
        // Threads inherit their weight: what all need must not be started by this one.
        background_drop::prepare();
        thread::Builder::new().name("walnut-compute".into()).spawn(work).ok()?;
        // Who asks for little at once goes before those who do not.
        be_prompt();
        Some(Beside { runtime: handle, _end: end })
    }
}

/// Where a guest goes on that computes for long on this thread. Nowhere else where it disturbs nobody.
pub(crate) fn beside() -> Option<Handle> {
    let runtime = |beside: &Beside| beside.runtime.clone();
    turns::are_given().then(|| BESIDE.with(|beside| beside.get_or_init(Beside::start).as_ref().map(runtime)))?
}

/// Whether a guest that computes for long on this thread is to leave it.
pub(crate) fn is_wanted() -> bool {
    beside().is_some()
}

/// Whether it is usual that a component's requests compute for long, by those of late.
#[derive(Default)]
pub(crate) struct Habit(AtomicU32);

impl Habit {
    /// One that computes for long weighs as much as four that do not, so that it is usual when more than a fifth of them do.
    const WEIGHT: u32 = 4;
    const USUAL: u32 = 32;
    /// So it is usual no more after as many requests as it took to become so.
    const MOST: u32 = 2 * Self::USUAL;

    /// A request has ended. Of two that end at once on different threads, one may be forgotten.
    pub fn tell(&self, was_long: bool) {
        let before = self.0.load(Relaxed);
        let now = if was_long { (before + Self::WEIGHT).min(Self::MOST) } else { before.saturating_sub(1) };
        if now != before {
            self.0.store(now, Relaxed);
        }
    }

    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= Self::USUAL
    }
}

/// The thread that serves: this one, or the one that it belongs to.
pub(crate) fn home() -> ThreadId {
    HOME.with(|home| home.get().map_or_else(|| thread::current().id(), |home| home.thread))
}

/// Does `work` on the thread that serves, also when a guest asks for it that has left it. What the work leaves behind there is not
/// held up by guests that compute.
pub(crate) async fn at_home<F>(work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let Some(home) = HOME.with(|home| home.get().map(|home| home.runtime.clone())) else { return work.await };
    let mut task = Task(Some(home.spawn(work)));
    poll_fn(|cx| task.poll(cx)).await
}

/// A guest that leaves its thread when it has computed there for long.
pub(crate) enum Apart<G: Future> {
    Here(G),
    /// It does not come back, but for what comes of it.
    There(Task<G::Output>),
    Leaving,
}

/// It ends when this is dropped.
pub(crate) struct Task<T>(Option<JoinHandle<T>>);

impl<T> Task<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let Some(task) = &mut self.0 else { return Poll::Pending };
        match ready!(Pin::new(task).poll(cx)) {
            Ok(output) => Poll::Ready(output),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => {
                    // The thread that it was on has ended, and this one ends with it.
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

/// What may leave its thread.
pub(crate) trait MayLeave: Future {
    /// Whether it has computed for longer than others should wait for.
    fn is_long(&self) -> bool;

    /// Whether it probably will.
    fn is_usually_long(&self) -> bool;
}

impl<G> Future for Apart<G>
where
    G: MayLeave + Send + Unpin + 'static,
    G::Output: Send,
{
    type Output = G::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G::Output> {
        if let Apart::Here(guest) = &*self
            && guest.is_long()
            && let Some(runtime) = beside()
        {
            self.leave(&runtime);
        }
        match &mut *self {
            Apart::Here(guest) => Pin::new(guest).poll(cx),
            Apart::There(task) => task.poll(cx),
            Apart::Leaving => Poll::Pending,
        }
    }
}

impl<G> Apart<G>
where
    G: MayLeave + Send + Unpin + 'static,
    G::Output: Send,
{
    /// Begins on this thread, or at once where those of its kind go on anyhow.
    pub fn new(guest: G) -> Self {
        let usually_leaves = guest.is_usually_long();
        let mut apart = Apart::Here(guest);
        if usually_leaves && let Some(runtime) = beside() {
            apart.leave(&runtime);
        }
        apart
    }

    fn leave(&mut self, runtime: &Handle) {
        let Apart::Here(mut guest) = std::mem::replace(self, Apart::Leaving) else { return };
        let guest = poll_fn(move |cx| {
            let polled = Pin::new(&mut guest).poll(cx);
            if polled.is_pending() {
                // Whoever waits for a lock that somebody else has, who waits for this thread, would wait for the system's tick.
                thread::yield_now();
            }
            polled
        });
        *self = Apart::There(Task(Some(runtime.spawn(guest))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::fair_queue::Party;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;
    use std::time::{Duration, Instant};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    /// Tells on which thread it is polled, and is over when it is told so.
    struct Guest {
        is_long: bool,
        is_usually_long: bool,
        polled: UnboundedSender<ThreadId>,
        over: UnboundedReceiver<&'static str>,
    }

    impl MayLeave for Guest {
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
    ) -> (Apart<Guest>, UnboundedReceiver<ThreadId>, UnboundedSender<&'static str>) {
        let ((polled, hears), (tells, over)) = (unbounded_channel(), unbounded_channel());
        (Apart::new(Guest { is_long, is_usually_long: usually, polled, over }), hears, tells)
    }

    async fn soon<T>(it: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(60), it).await.expect("it takes no minute")
    }

    fn share_the_thread() {
        for _ in 0..2 {
            let _ = turns::before(Party::new(), Instant::now());
        }
    }

    /// Polls it once, which may be what makes it leave, and tells where it was polled then.
    async fn begin(is_long: bool) -> (Apart<Guest>, ThreadId, UnboundedSender<&'static str>) {
        let (mut guest, mut polled, over) = guest(is_long, false);
        assert!(Pin::new(&mut guest).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        (guest, soon(polled.recv()).await.unwrap(), over)
    }

    #[tokio::test]
    async fn who_computes_for_long_among_others_goes_on_elsewhere() {
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
    async fn who_usually_computes_for_long_begins_elsewhere_among_others() {
        let here = thread::current().id();
        let (_alone, mut polled, _over) = guest(false, true);
        assert!(polled.try_recv().is_err(), "it waits to be polled here");
        share_the_thread();
        for usually in [false, true] {
            let (begun, mut polled, _over) = guest(false, usually);
            assert_eq!(matches!(begun, Apart::There(_)), usually);
            if usually {
                assert_ne!(soon(polled.recv()).await.unwrap(), here);
            }
        }
    }

    #[test]
    fn what_more_than_a_fifth_of_the_requests_do_is_usual() {
        let habit = Habit::default();
        let tell = |long: usize, short: usize| {
            for _ in 0..200 {
                (0..long).for_each(|_| habit.tell(true));
                (0..short).for_each(|_| habit.tell(false));
            }
            habit.is_long()
        };
        assert!(!tell(0, 1) && !tell(1, 5) && tell(1, 3) && tell(1, 0) && !tell(1, 9));
    }

    #[tokio::test]
    async fn what_is_to_be_done_at_home_is_done_here() {
        share_the_thread();
        let here = thread::current().id();
        let where_it_is = || async { (thread::current().id(), at_home(async { thread::current().id() }).await) };
        assert_eq!(soon(where_it_is()).await, (here, here));
        let (there, home) = soon(beside().unwrap().spawn(where_it_is())).await.unwrap();
        assert!(there != here && home == here);
    }

    #[tokio::test]
    async fn who_is_given_up_ends_there_too() {
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
        // Its end.
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
