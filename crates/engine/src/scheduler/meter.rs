//! How long a guest has been on a processor, and the clock that interrupts it.
//!
//! Compiled code looks at wasmtime's epoch at every loop and call. [`Ticker`] advances it while any guest runs; the check
//! then fails, and [`Meter::check`] decides between going on and ending the sandbox. [`Metered`] wraps whatever drives a
//! guest and counts the time that the thread spends in it, so that waiting is free and other work is not charged.

use crate::failure::error::{Failure, LimitReached};
use crate::failure::explain;
use crate::failure::host_calls::{self, Ring};
use crate::limits::{Limit, Limits};
use crate::observer::Usage;
use crate::scheduler::epoch_ticker::{Pace, Ticker};
use crate::scheduler::offload::{self, Habit, MayLeave};
use crate::scheduler::thread_clock;
use crate::scheduler::{fair_queue::Party, turns};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The processor time of one sandbox.
pub(crate) struct Meter {
    budget: AtomicU64,
    /// What may be spent before the guest lets go of the thread.
    turn: AtomicU64,
    /// From which time spent on it is one that computes for long.
    long: AtomicU64,
    /// How often the guest was gone on with since it last let go.
    interrupted: AtomicU64,
    spent: AtomicU64,
    /// When the thread last entered the guest, by its [`clock`]; `OUTSIDE` while it is not in it.
    entered: AtomicU64,
    deadline: OnceLock<Instant>,
    /// Whether the guest leaves a thread on which it has computed for long.
    may_leave: AtomicBool,
    /// Whether one of its limits on time is short.
    is_tight: bool,
    usage: Option<Arc<dyn Usage>>,
    party: Party,
    habit: Arc<Habit>,
}

const OUTSIDE: u64 = u64::MAX;

/// What a request computes for a moment, in nanoseconds. Beyond that it is long.
const LONG: u64 = 1_000_000;

/// In nanoseconds.
const SHORT_STAY: u64 = 100_000;

/// A limit that is shorter does not wait for ticks that come seldom.
const TIGHT: Duration = Duration::from_millis(20);

impl Meter {
    /// With the time of one request.
    pub fn new(limits: &Limits, usage: Option<Arc<dyn Usage>>, party: Party, habit: Arc<Habit>) -> Arc<Self> {
        Arc::new(Meter {
            budget: AtomicU64::new(nanoseconds(limits.cpu)),
            turn: AtomicU64::new(u64::MAX),
            long: AtomicU64::new(LONG),
            interrupted: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            entered: AtomicU64::new(OUTSIDE),
            deadline: OnceLock::new(),
            may_leave: AtomicBool::new(false),
            is_tight: limits.cpu.min(limits.deadline) < TIGHT,
            usage,
            party,
            habit,
        })
    }

    /// A guest that still computes at `deadline` is ended there, in the middle of what it does.
    pub fn end_at(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
    }

    /// For a sandbox with several requests: from now on each of them may spend `cpu`.
    pub fn renew(&self, cpu: Duration, requests: usize) {
        let more = nanoseconds(cpu).saturating_mul(requests.max(1) as u64);
        self.budget.store(self.about_so_far().saturating_add(more), Relaxed);
    }

    /// From now on the guest may spend `cpu` in one go, however many requests it has.
    pub fn turn(&self, cpu: Duration) {
        let so_far = self.about_so_far();
        self.turn.store(so_far.saturating_add(nanoseconds(cpu)), Relaxed);
        self.long.store(so_far.saturating_add(LONG), Relaxed);
        self.interrupted.store(0, Relaxed);
    }

    /// Whether the guest computes without letting go; one that waits for a processor does not count.
    pub fn is_busy(&self) -> bool {
        self.interrupted.load(Relaxed) > 20
    }

    /// Whether it has computed for longer than most requests do: in all, or since its turn began.
    pub fn is_long(&self) -> bool {
        self.so_far() > self.long.load(Relaxed)
    }

    /// The guest is driven by [`Apart`](crate::scheduler::offload::Apart).
    pub fn let_leave(&self) {
        self.may_leave.store(true, Relaxed);
    }

    /// Whether it has to wait for a turn to go on, and not for another thread.
    pub fn waits_in_line(&self) -> bool {
        self.is_long() && !(self.may_leave.load(Relaxed) && offload::is_wanted())
    }

    /// Whether nobody has waited long for the guest to let go of the thread, so that it need not before the next tick.
    pub fn has_just_entered(&self) -> bool {
        thread_clock::since(self.entered.load(Relaxed)) < SHORT_STAY
    }

    /// Fails once the budget is spent or the deadline has passed. Called from the guest's own thread.
    pub fn check(&self) -> Result<(), LimitReached> {
        if self.deadline.get().is_some_and(|deadline| Instant::now() > *deadline) {
            return Err(LimitReached(Limit::Deadline));
        }
        let most = self.budget.load(Relaxed).min(self.turn.load(Relaxed));
        if self.so_far() > most { Err(LimitReached(Limit::Cpu)) } else { Ok(()) }
    }

    fn so_far(&self) -> u64 {
        self.with_stay(thread_clock::since)
    }

    /// To count from, for each request anew: by up to a millisecond more than it is, and mostly without asking the system.
    fn about_so_far(&self) -> u64 {
        self.with_stay(thread_clock::about_since)
    }

    fn with_stay(&self, since: fn(u64) -> u64) -> u64 {
        let running = match self.entered.load(Relaxed) {
            OUTSIDE => 0,
            entered => since(entered),
        };
        self.spent.load(Relaxed).saturating_add(running)
    }

    /// The thread is in the guest for as long as this lives.
    fn enter(&self) -> Inside<'_> {
        self.interrupted.fetch_add(1, Relaxed);
        self.entered.store(thread_clock::enter(), Relaxed);
        Inside(self)
    }

    fn leave(&self) {
        let entered = self.entered.swap(OUTSIDE, Relaxed);
        let stay = thread_clock::leave(entered);
        self.spent.fetch_add(stay.most, Relaxed);
        if let Some(usage) = &self.usage {
            usage.spent(Duration::from_nanos(stay.most));
        }
        // What another party spent must not be held against this one.
        turns::end(self.party, stay.surely);
    }
}

/// With the request that it is for.
impl Drop for Meter {
    fn drop(&mut self) {
        if *self.may_leave.get_mut() {
            self.habit.tell(self.is_long());
        }
    }
}

/// A thread's stay in a guest. It ends by a panic, too: those who wait for their turn wait for that end.
struct Inside<'a>(&'a Meter);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A future that drives a guest, with its time counted and its host calls remembered.
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    meter: Arc<Meter>,
    ticker: Arc<Ticker>,
    ring: Ring,
}

impl<F: Future> Metered<F> {
    #[inline(always)]
    pub fn new(inner: F, meter: Arc<Meter>, ticker: Arc<Ticker>) -> Self {
        // By a thread that serves, as threads inherit their weight.
        ticker.start_once();
        Metered { inner: Box::pin(inner), meter, ticker, ring: Ring::default() }
    }

    /// Drives the guest to its end, or to `deadline`.
    pub async fn until(&mut self, deadline: Instant, limits: &Limits) -> Result<F::Output, Failure> {
        self.meter.end_at(deadline);
        let ended = tokio::time::timeout_at(deadline.into(), &mut *self).await;
        ended.map_err(|_| self.overdue(limits))
    }

    /// What to say of a guest that was waiting when its deadline passed.
    pub fn overdue(&self, limits: &Limits) -> Failure {
        explain::deadline(limits, self.ring.describe())
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Here, where the first takes no look at a clock.
        let (is_long, among_others) = (this.meter.is_long(), turns::are_given());
        // First, since its end is that of the turn, also when the system refuses the ticker its thread.
        let inside = this.meter.enter();
        let _running = this.ticker.running();
        if is_long || among_others || this.meter.is_tight {
            this.ticker.pace(if is_long && among_others { Pace::Hurried } else { Pace::Steady });
        }
        host_calls::swap(&mut this.ring);
        let result = this.inner.as_mut().poll(cx);
        drop(inside);
        host_calls::swap(&mut this.ring);
        result
    }
}

impl<F: Future> MayLeave for Metered<F> {
    fn is_long(&self) -> bool {
        self.meter.is_long()
    }

    fn is_usually_long(&self) -> bool {
        self.meter.habit.is_long()
    }
}

fn nanoseconds(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::gate::Gate;
    use crate::sandbox::setup::Setup;
    use crate::sandbox::stdio::Stdio;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;
    use walnut_policy::Policy;

    /// What fails inside of the host, in a host call, is a panic in the midst of a guest.
    #[tokio::test]
    async fn a_panic_ends_the_turn_of_its_guest() {
        let (noisy, quiet, now) = (Party::new(), Party::new(), Instant::now());
        assert!(turns::before(noisy, now).is_none(), "it is alone");
        let first = turns::before(quiet, now).expect("it is not").await.expect("nobody is before it");
        let second = turns::before(noisy, now).expect("the other has its turn");
        turns::begin(first);
        let ticker = Ticker::new(&wasmtime::Engine::default(), Duration::from_millis(1));
        let meter = setup(Duration::from_secs(1)).meter();
        let mut guest = Metered::new(async { panic!("on purpose") }, meter, ticker);
        let mut cx = Context::from_waker(Waker::noop());
        let poll = AssertUnwindSafe(|| Pin::new(&mut guest).poll(&mut cx).is_ready());
        assert!(catch_unwind(poll).is_err());
        let next = tokio::time::timeout(Duration::from_secs(60), second).await;
        assert!(next.expect("the turn is over").is_ok());
    }

    fn setup(cpu: Duration) -> Setup {
        let gate = Gate::new("it", Policy::sealed(), Vec::new());
        Setup::new(gate, Limits { cpu, ..Limits::for_service() }, Stdio::Inherit, false).unwrap()
    }

    #[test]
    fn what_requests_compute_becomes_a_habit() {
        for (spent, served, usual) in [(2 * LONG, true, true), (LONG / 2, true, false), (2 * LONG, false, false)] {
            let setup = setup(Duration::from_secs(1));
            for _ in 0..100 {
                let meter = setup.meter();
                meter.spent.store(spent, Relaxed);
                if served {
                    meter.let_leave();
                }
            }
            assert_eq!(setup.habit.is_long(), usual, "{spent} {served}");
        }
    }

    #[test]
    fn a_short_limit_has_its_ticks_from_the_start() {
        for (cpu, is_steady) in [(TIGHT / 2, true), (2 * TIGHT, false)] {
            // One that ticks once.
            let ticker = Ticker::new(&wasmtime::Engine::default(), Duration::from_secs(1000));
            let mut guest = Metered::new(std::future::pending::<()>(), setup(cpu).meter(), ticker.clone());
            assert!(Pin::new(&mut guest).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(ticker.is_steady(), is_steady, "{cpu:?}");
        }
    }
}
