//! The clock that interrupts guests: it advances wasmtime's epoch.

use crate::scheduler::priority::request_short_slice;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

/// Factor by which ticks slow down while guests are short and nobody waits for them. The period
/// never exceeds [`MAX_SLOW_PERIOD`].
const SLOW_FACTOR: u32 = 4;
const MAX_SLOW_PERIOD: Duration = Duration::from_millis(2);

/// Number of ticks for which a requested pace lasts.
const PACED_TICKS: u32 = 100;

/// Factor by which ticks speed up while a long-running guest shares its thread with others.
const HURRIED_FACTOR: u32 = 2;

/// Number of ticks without a running guest after which the ticker sleeps. Waking it costs more than
/// a few idle ticks.
const IDLE_TICKS: u32 = 10;

/// Advances the epoch while a guest runs, and sleeps while none does.
///
/// Most guests of a service end before a tick would notice them, and each tick takes the processor
/// from a guest. Ticks are therefore rare until a guest computes for long or others wait.
pub(crate) struct EpochTicker {
    engine: wasmtime::EngineWeak,
    period: Duration,
    running: AtomicUsize,
    asleep: AtomicBool,
    /// Ticks that remain at each pace.
    steady: AtomicU32,
    hurried: AtomicU32,
    thread: OnceLock<Thread>,
}

impl EpochTicker {
    /// Creates a ticker with this period. Its thread starts with the first guest.
    pub fn new(engine: &wasmtime::Engine, period: Duration) -> Arc<Self> {
        Arc::new(EpochTicker {
            engine: engine.weak(),
            period,
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            steady: AtomicU32::new(0),
            hurried: AtomicU32::new(0),
            thread: OnceLock::new(),
        })
    }

    /// Keeps the ticks going for as long as the guard lives.
    pub fn running(self: &Arc<Self>) -> TickerGuard<'_> {
        self.running.fetch_add(1, SeqCst);
        let thread = self.start_once();
        if self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            thread.unpark();
        }
        TickerGuard(self)
    }

    /// Sets the pace of the next [`PACED_TICKS`] ticks.
    pub fn pace(&self, pace: Pace) {
        let left = match pace {
            Pace::Steady => &self.steady,
            Pace::Hurried => &self.hurried,
        };
        // A store would invalidate the cache line of other threads; usually the value is there
        // already.
        if left.load(Relaxed) != PACED_TICKS {
            left.store(PACED_TICKS, Relaxed);
        }
    }

    /// Returns whether the next ticks come at [`Pace::Steady`].
    #[cfg(test)]
    pub fn is_steady(&self) -> bool {
        self.steady.load(Relaxed) > 0
    }

    /// Returns the time until the next tick, and counts down the paces.
    fn pause(&self) -> Duration {
        let is = |left: &AtomicU32| {
            let ticks = left.load(Relaxed);
            left.store(ticks.saturating_sub(1), Relaxed);
            ticks > 0
        };
        match (is(&self.hurried), is(&self.steady)) {
            (true, _) => self.period / HURRIED_FACTOR,
            (false, true) => self.period,
            (false, false) => self.period.max(MAX_SLOW_PERIOD.min(self.period * SLOW_FACTOR)),
        }
    }

    pub fn start_once(self: &Arc<Self>) -> &Thread {
        self.thread.get_or_init(|| self.start())
    }

    fn start(self: &Arc<Self>) -> Thread {
        let weak = Arc::downgrade(self);
        let name = thread::Builder::new().name("walnut-ticker".into());
        let tick = move || {
            request_short_slice();
            // The thread ends when the last holder of the ticker, or of the wasmtime engine, is
            // gone.
            let mut idle = 0;
            while let Some(ticker) = weak.upgrade() {
                if !ticker.tick(&mut idle) {
                    return;
                }
                let pause = ticker.pause();
                drop(ticker);
                thread::sleep(pause);
            }
        };
        match name.spawn(tick) {
            Ok(handle) => handle.thread().clone(),
            Err(e) => panic!("the system refuses a thread, without which no limit holds: {e}"),
        }
    }

    /// Advances the epoch, or sleeps after `idle` ticks without a guest. Returns whether the
    /// wasmtime engine still exists.
    fn tick(&self, idle: &mut u32) -> bool {
        if self.running.load(SeqCst) > 0 {
            *idle = 0;
        } else if *idle < IDLE_TICKS {
            *idle += 1;
            return true;
        }
        if self.running.load(SeqCst) == 0 {
            self.asleep.store(true, SeqCst);
            // A guest that started in between saw `asleep` unset and will not wake this thread.
            if self.running.load(SeqCst) == 0 {
                thread::park_timeout(Duration::from_secs(1));
            }
            self.asleep.store(false, SeqCst);
        }
        match self.engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        }
    }
}

/// Pace of the ticks, where they are not slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Steady,
    Hurried,
}

pub(crate) struct TickerGuard<'a>(&'a EpochTicker);

impl Drop for TickerGuard<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_as_often_as_somebody_has_use_for_them() {
        let period = Duration::from_micros(500);
        let ticker = EpochTicker::new(&wasmtime::Engine::default(), period);
        let next = || (0..2 * PACED_TICKS).map(|_| ticker.pause()).collect::<Vec<_>>();
        let of = |pause: Duration, all: &[Duration]| all.iter().filter(|one| **one == pause).count();
        assert_eq!(of(MAX_SLOW_PERIOD, &next()), 2 * PACED_TICKS as usize);
        for (pace, often) in [(Pace::Steady, period), (Pace::Hurried, period / HURRIED_FACTOR)] {
            ticker.pace(pace);
            let all = next();
            assert_eq!(
                (of(often, &all), of(MAX_SLOW_PERIOD, &all)),
                (PACED_TICKS as usize, PACED_TICKS as usize),
                "{pace:?}"
            );
        }
        let slow = EpochTicker::new(&wasmtime::Engine::default(), 10 * MAX_SLOW_PERIOD);
        assert_eq!(slow.pause(), 10 * MAX_SLOW_PERIOD, "a limit of seconds has ticks that are seldom enough");
    }
}
