//! Open-loop load: requests are due at fixed times, independent of the responses.

use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The times at which requests are due.
pub struct ArrivalSchedule {
    next: Instant,
    step: Duration,
    /// No request is due after this.
    end: Instant,
    /// No request is sent after this.
    close: Instant,
}

impl ArrivalSchedule {
    /// A schedule that starts now. Due requests may still be sent for `grace` after its end.
    pub fn shared(rate: f64, length: Duration, grace: Duration) -> Arc<Mutex<Self>> {
        let next = Instant::now();
        let end = next + length;
        Arc::new(Mutex::new(Self { next, step: Duration::from_secs_f64(1.0 / rate), end, close: end + grace }))
    }

    /// The time of the next request; `None` at the end.
    pub fn next(&mut self) -> Option<Instant> {
        if self.unsent() == 0 || Instant::now() > self.close {
            return None;
        }
        let due = self.next;
        self.next += self.step;
        Some(due)
    }

    /// Requests that were due and were not sent.
    pub fn unsent(&self) -> u64 {
        let left = self.end.saturating_duration_since(self.next);
        u64::try_from(left.as_nanos() / self.step.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// Waits for a time, to the microsecond.
///
/// The timers of the runtime have milliseconds, which is longer than most latencies. So the last
/// milliseconds are spent in a loop that reads the clock, and lets the runtime drive the
/// connections in each turn.
pub async fn wait_until(due: Instant) {
    const COARSE: Duration = Duration::from_millis(3);
    if let Some(ahead) = due.saturating_duration_since(Instant::now()).checked_sub(COARSE) {
        tokio::time::sleep(ahead).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}
