//! Measures the processor time of a sandbox.
//!
//! Compiled code checks wasmtime's epoch at every loop and call. [`EpochTicker`] advances the epoch
//! while any guest runs. The check then fails, and [`Meter::check`] decides whether the guest goes
//! on or its sandbox ends. [`Metered`] wraps the future that drives a guest and counts the time
//! that the thread spends in it, so waiting is free and other work is not charged.

use crate::failure::error::{Failure, LimitReached};
use crate::failure::explain;
use crate::failure::host_calls::{self, RecentCalls};
use crate::observer::UsageObserver;
use crate::scheduler::epoch_ticker::{EpochTicker, Pace};
use crate::scheduler::offload::{self, CanOffload, LongRunHistory};
use crate::scheduler::thread_clock;
use crate::scheduler::{fair_queue::FlowId, turns};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use walnut_policy::{Limit, Limits};

/// Processor time of one sandbox: what it has used, and what it may use.
pub(crate) struct Meter {
    budget: AtomicU64,
    /// Time at which the guest must have yielded the thread.
    turn: AtomicU64,
    /// Time from which on the guest counts as long-running.
    long_from: AtomicU64,
    /// Number of times that the guest was resumed since it last yielded.
    ticks_in_turn: AtomicU64,
    spent: AtomicU64,
    /// Time at which the thread entered the guest, by [`thread_clock`]; [`OUTSIDE`] while it is not
    /// in it.
    entered: AtomicU64,
    deadline: OnceLock<Instant>,
    /// Whether a long-running guest moves to a compute thread.
    can_offload: AtomicBool,
    /// Whether the limit on processor time, or the deadline, is short.
    has_short_limit: bool,
    usage_observer: Option<Arc<dyn UsageObserver>>,
    flow: FlowId,
    history: Arc<LongRunHistory>,
}

const OUTSIDE: u64 = u64::MAX;

/// Processor time from which on a request is long-running, in nanoseconds.
const LONG_RUN: u64 = 1_000_000;

/// Time since its entry for which a guest need not yield, in nanoseconds.
const SHORT_ENTRY: u64 = 100_000;

/// Limits that are shorter need ticks at full pace from the start.
const SHORT_LIMIT: Duration = Duration::from_millis(20);

impl Meter {
    /// Creates a meter with the budget of one request.
    pub fn new(
        limits: &Limits,
        usage_observer: Option<Arc<dyn UsageObserver>>,
        flow: FlowId,
        history: Arc<LongRunHistory>,
    ) -> Arc<Self> {
        Arc::new(Meter {
            budget: AtomicU64::new(nanoseconds(limits.cpu)),
            turn: AtomicU64::new(u64::MAX),
            long_from: AtomicU64::new(LONG_RUN),
            ticks_in_turn: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            entered: AtomicU64::new(OUTSIDE),
            deadline: OnceLock::new(),
            can_offload: AtomicBool::new(false),
            has_short_limit: limits.cpu.min(limits.deadline) < SHORT_LIMIT,
            usage_observer,
            flow,
            history,
        })
    }

    /// Ends the guest at `deadline`, even in the middle of a computation.
    pub fn end_at(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
    }

    /// Extends the budget of a sandbox with several requests: each may use `cpu` from now on.
    pub fn extend_budget(&self, cpu: Duration, requests: usize) {
        let more = nanoseconds(cpu).saturating_mul(requests.max(1) as u64);
        self.budget.store(self.spent_about().saturating_add(more), Relaxed);
    }

    /// Starts a turn: the guest may use `cpu` before it yields, however many requests it has.
    pub fn start_turn(&self, cpu: Duration) {
        let spent_exactly = self.spent_about();
        self.turn.store(spent_exactly.saturating_add(nanoseconds(cpu)), Relaxed);
        self.long_from.store(spent_exactly.saturating_add(LONG_RUN), Relaxed);
        self.ticks_in_turn.store(0, Relaxed);
    }

    /// Returns whether the guest computes without yielding. A guest that waits for a processor does
    /// not count.
    pub fn is_busy(&self) -> bool {
        self.ticks_in_turn.load(Relaxed) > 20
    }

    /// Returns whether the guest has computed for longer than most requests do: in all, or since
    /// its turn began.
    pub fn is_long(&self) -> bool {
        self.spent_exactly() > self.long_from.load(Relaxed)
    }

    /// Allows the guest to move to a compute thread;
    /// [`Offload`](crate::scheduler::offload::Offload) drives it.
    pub fn allow_offload(&self) {
        self.can_offload.store(true, Relaxed);
    }

    /// Returns whether a long-running guest has to queue for a turn, rather than move to a compute
    /// thread.
    pub fn must_queue(&self) -> bool {
        self.is_long() && !(self.can_offload.load(Relaxed) && offload::is_available())
    }

    /// Returns whether the guest was entered so recently that it need not yield at this tick.
    pub fn has_just_entered(&self) -> bool {
        thread_clock::since(self.entered.load(Relaxed)) < SHORT_ENTRY
    }

    /// Fails once the budget is spent or the deadline has passed. Called from the guest's own
    /// thread.
    pub fn check(&self) -> Result<(), LimitReached> {
        if self.deadline.get().is_some_and(|deadline| Instant::now() > *deadline) {
            return Err(LimitReached(Limit::Deadline));
        }
        let most = self.budget.load(Relaxed).min(self.turn.load(Relaxed));
        if self.spent_exactly() > most { Err(LimitReached(Limit::Cpu)) } else { Ok(()) }
    }

    fn spent_exactly(&self) -> u64 {
        self.spent_until_now(thread_clock::since)
    }

    /// Returns the time spent, too high by at most a millisecond, mostly without a system call.
    /// Serves as the base of each request's budget.
    fn spent_about(&self) -> u64 {
        self.spent_until_now(thread_clock::about_since)
    }

    fn spent_until_now(&self, since: fn(u64) -> u64) -> u64 {
        let running = match self.entered.load(Relaxed) {
            OUTSIDE => 0,
            entered => since(entered),
        };
        self.spent.load(Relaxed).saturating_add(running)
    }

    /// Charges the thread's time to the guest until the guard is dropped.
    fn enter(&self) -> GuestEntry<'_> {
        self.ticks_in_turn.fetch_add(1, Relaxed);
        self.entered.store(thread_clock::enter(), Relaxed);
        GuestEntry(self)
    }

    fn leave(&self) {
        let entered = self.entered.swap(OUTSIDE, Relaxed);
        let entry = thread_clock::leave(entered);
        self.spent.fetch_add(entry.at_most, Relaxed);
        if let Some(usage_observer) = &self.usage_observer {
            usage_observer.cpu_used(Duration::from_nanos(entry.at_most));
        }
        // Time of another flow must not be charged to this one.
        turns::end(self.flow, entry.at_least);
    }
}

/// Records the run in the history, at the end of the request.
impl Drop for Meter {
    fn drop(&mut self) {
        if *self.can_offload.get_mut() {
            self.history.record(self.is_long());
        }
    }
}

/// A thread's visit to a guest. It ends by a panic, too, because other flows wait for the end of
/// the turn.
struct GuestEntry<'a>(&'a Meter);

impl Drop for GuestEntry<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Future that drives a guest, with its time measured and its host calls recorded.
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    meter: Arc<Meter>,
    /// Interrupts compiled code that checks its limits itself.
    ticker: Option<Arc<EpochTicker>>,
    recent_calls: RecentCalls,
}

impl<F: Future> Metered<F> {
    #[inline(always)]
    pub fn new(inner: F, meter: Arc<Meter>, ticker: Option<Arc<EpochTicker>>) -> Self {
        // Threads inherit their priority, so the ticker is started by a serving thread.
        if let Some(ticker) = &ticker {
            ticker.start_once();
        }
        Metered { inner: Box::pin(inner), meter, ticker, recent_calls: RecentCalls::default() }
    }

    /// Drives the guest to its end, or to `deadline`.
    pub async fn until(&mut self, deadline: Instant, limits: &Limits) -> Result<F::Output, Failure> {
        self.meter.end_at(deadline);
        let ended = tokio::time::timeout_at(deadline.into(), &mut *self).await;
        ended.map_err(|_| self.overdue(limits))
    }

    /// Returns the failure of a guest that was waiting when its deadline passed.
    pub fn overdue(&self, limits: &Limits) -> Failure {
        explain::deadline(limits, self.recent_calls.describe())
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Read before the guest is entered, so that the first request reads no clock.
        let (is_long, among_others) = (this.meter.is_long(), turns::is_contended());
        // Entered first: leaving ends the turn, even if the system refuses the ticker its thread.
        let inside = this.meter.enter();
        let _running = this.ticker.as_ref().map(EpochTicker::running);
        if let Some(ticker) = this.ticker.as_ref().filter(|_| is_long || among_others || this.meter.has_short_limit) {
            ticker.pace(if is_long && among_others { Pace::Hurried } else { Pace::Steady });
        }
        host_calls::swap(&mut this.recent_calls);
        let result = this.inner.as_mut().poll(cx);
        drop(inside);
        host_calls::swap(&mut this.recent_calls);
        result
    }
}

impl<F: Future> CanOffload for Metered<F> {
    fn is_long(&self) -> bool {
        self.meter.is_long()
    }

    fn is_usually_long(&self) -> bool {
        self.meter.history.is_long()
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

    /// A fault of the host inside a host call is a panic in the middle of a guest.
    #[tokio::test]
    async fn a_panic_ends_the_turn_of_its_guest() {
        let (noisy, quiet, now) = (FlowId::new(), FlowId::new(), Instant::now());
        assert!(turns::before(noisy, now).is_none(), "it is alone");
        let first = turns::before(quiet, now).expect("it is not").await.expect("nobody is before it");
        let second = turns::before(noisy, now).expect("the other has its turn");
        turns::begin(first);
        let ticker = EpochTicker::new(&wasmtime::Engine::default(), Duration::from_millis(1));
        let meter = setup(Duration::from_secs(1)).meter();
        let mut guest = Metered::new(async { panic!("on purpose") }, meter, Some(ticker));
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
    fn meters_record_long_runs() {
        for (spent, served, usual) in
            [(2 * LONG_RUN, true, true), (LONG_RUN / 2, true, false), (2 * LONG_RUN, false, false)]
        {
            let setup = setup(Duration::from_secs(1));
            for _ in 0..100 {
                let meter = setup.meter();
                meter.spent.store(spent, Relaxed);
                if served {
                    meter.allow_offload();
                }
            }
            assert_eq!(setup.history.is_long(), usual, "{spent} {served}");
        }
    }

    #[test]
    fn a_short_limit_has_its_ticks_from_the_start() {
        for (cpu, is_steady) in [(SHORT_LIMIT / 2, true), (2 * SHORT_LIMIT, false)] {
            // Ticks once.
            let ticker = EpochTicker::new(&wasmtime::Engine::default(), Duration::from_secs(1000));
            let mut guest = Metered::new(std::future::pending::<()>(), setup(cpu).meter(), Some(ticker.clone()));
            assert!(Pin::new(&mut guest).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(ticker.is_steady(), is_steady, "{cpu:?}");
        }
    }
}
