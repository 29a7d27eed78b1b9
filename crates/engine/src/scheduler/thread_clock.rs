//! How long a thread has been on a processor since it entered a guest.
//!
//! Only the system knows, and to ask it twice for each turn of a guest took a tenth of a request. So a short entry_time is measured on
//! the wall, which is never less, and a longer one by the system's count, of which it is known what it was shortly before.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

/// In nanoseconds, below which a entry_time is short. Beyond, what the thread waited for a processor would be charged too.
const SHORT_ENTRY: u64 = 100_000;
/// In nanoseconds: how old the known count may be when a guest is entered. As much may be charged too much.
const MAX_AGE: u64 = 1_000_000;

thread_local! {
    /// When the system was asked, and what it output.
    static LAST_READING: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// The time, for [`since`] to count from on the same thread.
pub(crate) fn enter() -> u64 {
    let now = wall();
    if LAST_READING.get().is_none_or(|(at, _)| now.saturating_sub(at) > MAX_AGE) {
        LAST_READING.set(Some((now, thread_time())));
    }
    now
}

/// Nanoseconds of processor time since `entered`: never less than there were, and little more.
pub(crate) fn since(entered: u64) -> u64 {
    entry_time(entered, wall()).0.at_most
}

/// Like [`since`], for where a millisecond more does not matter: the system is asked only of a entry_time that is longer.
pub(crate) fn about_since(entered: u64) -> u64 {
    let passed = wall().saturating_sub(entered);
    if passed < MAX_AGE { passed } else { since(entered) }
}

/// What there was since `entered`, now that the guest is left.
pub(crate) fn leave(entered: u64) -> EntryTime {
    let now = wall();
    let (entry_time, total) = entry_time(entered, now);
    if let Some(total) = total {
        LAST_READING.set(Some((now, total)));
    }
    entry_time
}

/// Nanoseconds of processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryTime {
    /// Never less than there were, and little more.
    pub at_most: u64,
    /// The same without all that the thread may have spent before: never more, and less where it waited then.
    pub at_least: u64,
}

/// And what the system says, if it was asked.
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

/// Nanoseconds on the wall.
fn wall() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Half a millennium fits.
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Nanoseconds that this thread has spent on a processor.
#[cfg(unix)]
fn thread_time() -> u64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
}

/// Where the system has no cheap clock per thread, a guest is charged for its waits on a busy machine too.
#[cfg(not(unix))]
fn thread_time() -> u64 {
    wall()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::time::Duration;

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
        // What it worked before it entered may be charged too, as long as the known count may be old.
        assert!(since(entered) < 10_000_000);
    }

    #[test]
    #[cfg(unix)]
    fn what_was_worked_before_is_not_surely_the_guests() {
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
