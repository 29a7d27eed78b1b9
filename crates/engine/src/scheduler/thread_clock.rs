//! Processor time of a thread since it entered a guest.
//!
//! Two system calls for each turn of a guest took a tenth of a request's time. A short visit is
//! therefore measured by the wall clock, which is never less. A longer visit is measured by the
//! system's count, compared with a reading from shortly before.

use std::cell::Cell;
#[cfg(unix)]
use std::os::unix::thread::JoinHandleExt;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Visits below this many nanoseconds are measured by the wall clock. Longer ones would be charged
/// for waiting, too.
const SHORT_ENTRY: u64 = 100_000;
/// Greatest age of the latest reading when a guest is entered, in nanoseconds. A guest may be
/// overcharged by this much.
const MAX_AGE: u64 = 1_000_000;

thread_local! {
    /// Wall time and processor time of the latest reading.
    static LAST_READING: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Returns the time of entry, for [`since`] on the same thread.
pub(crate) fn enter() -> u64 {
    let now = wall();
    if LAST_READING.get().is_none_or(|(at, _)| now.saturating_sub(at) > MAX_AGE) {
        LAST_READING.set(Some((now, thread_time())));
    }
    now
}

/// Returns the processor time since `entered` in nanoseconds: never too little, and hardly too
/// much.
pub(crate) fn since(entered: u64) -> u64 {
    entry_time(entered, wall()).0.at_most
}

/// Like [`since`], but asks the system only about visits of more than a millisecond. May return up
/// to a millisecond too much.
pub(crate) fn about_since(entered: u64) -> u64 {
    let passed = wall().saturating_sub(entered);
    if passed < MAX_AGE { passed } else { since(entered) }
}

/// Returns the processor time since `entered`, now that the thread leaves the guest.
pub(crate) fn leave(entered: u64) -> EntryTime {
    let now = wall();
    let (entry_time, total) = entry_time(entered, now);
    if let Some(total) = total {
        LAST_READING.set(Some((now, total)));
    }
    entry_time
}

/// Processor time of a visit, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryTime {
    /// Upper bound: never too little, and hardly too much.
    pub at_most: u64,
    /// Lower bound: without the time that the thread may have spent before the visit.
    pub at_least: u64,
}

/// Returns the time of the visit, with the system's reading if one was taken.
fn entry_time(entered: u64, now: u64) -> (EntryTime, Option<u64>) {
    let passed = now.saturating_sub(entered);
    let Some((at, known)) = LAST_READING.get().filter(|_| passed >= SHORT_ENTRY) else {
        return (EntryTime { at_most: passed, at_least: passed }, None);
    };
    let total = thread_time();
    let spent = total.saturating_sub(known);
    let at_most = passed.min(spent);
    let before = entered.saturating_sub(at);
    (EntryTime { at_most, at_least: at_most.min(spent.saturating_sub(before)) }, Some(total))
}

/// Returns the wall time in nanoseconds since the first call.
fn wall() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // A `u64` holds 584 years of nanoseconds.
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Processor time of another thread since the clock was made.
pub(crate) struct ThreadClock {
    #[cfg(unix)]
    clock: Option<libc::clockid_t>,
    before: Duration,
    started: Instant,
}

impl ThreadClock {
    /// Returns the clock of `thread`.
    #[cfg(unix)]
    pub fn of<T>(thread: &JoinHandle<T>) -> Self {
        let mut clock = 0;
        // SAFETY: a thread that was not joined has a valid handle, and `clock` is a place to write.
        let failed = unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &raw mut clock) } != 0;
        let mut clock =
            ThreadClock { clock: (!failed).then_some(clock), before: Duration::ZERO, started: Instant::now() };
        clock.before = clock.now();
        clock
    }

    /// Returns the clock of `thread`: the wall clock, as there is no clock for each thread.
    #[cfg(not(unix))]
    pub fn of<T>(_: &JoinHandle<T>) -> Self {
        ThreadClock { before: Duration::ZERO, started: Instant::now() }
    }

    /// Returns the processor time since the clock was made. Where the system has no answer, returns
    /// the wall time, which is never less.
    pub fn elapsed(&self) -> Duration {
        self.now().saturating_sub(self.before)
    }

    #[cfg(unix)]
    fn now(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a place to write.
        let has_time = self.clock.is_some_and(|clock| unsafe { libc::clock_gettime(clock, &raw mut time) } == 0);
        let parts = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        match parts {
            (Ok(seconds), Ok(nanoseconds)) if has_time => Duration::new(seconds, nanoseconds),
            _ => self.started.elapsed() + self.before,
        }
    }

    #[cfg(not(unix))]
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Returns the processor time of this thread, in nanoseconds.
#[cfg(unix)]
fn thread_time() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Returns the wall time: without a cheap clock per thread, a guest is also charged for waiting on
/// a busy machine.
#[cfg(not(unix))]
fn thread_time() -> u64 {
    wall()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn work(least: Duration) {
        let until = thread_time() + u64::try_from(least.as_nanos()).unwrap();
        while thread_time() < until {
            black_box(0);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_wait_is_not_charged() {
        let entered = enter();
        std::thread::sleep(Duration::from_millis(50));
        // Work before the entry may be charged too, as far as the latest reading is old.
        assert!(since(entered) < 10_000_000);
    }

    #[test]
    #[cfg(unix)]
    fn work_before_the_entry_is_not_in_the_lower_bound() {
        for _ in 0..50 {
            enter();
            work(Duration::from_micros(700));
            let before = thread_time();
            let entered = enter();
            work(Duration::from_micros(200));
            let entry_time = leave(entered);
            assert!(
                entry_time.at_least <= SHORT_ENTRY.max(thread_time() - before)
                    && entry_time.at_least <= entry_time.at_most,
                "{entry_time:?}"
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_clock_of_another_thread_counts_its_work_alone() {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            work(Duration::from_millis(30));
            receive.recv().unwrap();
        });
        let clock = ThreadClock::of(&thread);
        while clock.elapsed() < Duration::from_millis(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(200));
        assert!(clock.elapsed() < Duration::from_millis(150), "{:?}", clock.elapsed());
        send.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn work_is_charged_in_full() {
        for milliseconds in [0, 1, 5, 20] {
            let (entered, least) = (enter(), Duration::from_millis(milliseconds));
            work(least);
            assert!(since(entered) >= u64::try_from(least.as_nanos()).unwrap());
        }
    }

    #[test]
    #[cfg(unix)]
    fn little_of_what_was_worked_before_is_charged() {
        for _ in 0..5 {
            work(Duration::from_millis(30));
            let entered = enter();
            std::thread::sleep(Duration::from_millis(60));
            assert!(since(entered) < 10_000_000, "{}", since(entered));
        }
    }
}
