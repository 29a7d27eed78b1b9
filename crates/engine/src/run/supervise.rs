//! Runs one guest on a thread of its own, and enforces its limits on time from outside.
//!
//! A process that runs a command has one guest and nothing else to do. So this thread sleeps until
//! the guest can have used up its time at the earliest, looks at the guest's clock, and stops a
//! guest that is over its limit ([`Interrupt`]). The guest's code checks nothing.

use crate::compile::prepared::Ready;
use crate::failure::error::Failure;
use crate::failure::explain;
use crate::scheduler::interrupt::Interrupt;
use crate::scheduler::thread_clock::ThreadClock;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use walnut_policy::{Limit, Limits};

/// Bytes of the guest thread's stack, on which the host's own functions run. As for a main thread.
const STACK: usize = 8 << 20;

/// Shortest sleep between two looks at the guest's clock.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// Time after the deadline in which a guest that waits ends by itself.
const TIMER_GRACE: Duration = Duration::from_millis(5);

/// Time after the deadline in which the system may give back a thread that it holds: a pipe that
/// nobody reads, a file system that does not answer.
const SYSTEM_GRACE: Duration = Duration::from_millis(500);

/// Runs `guest` to its end, or until its limits end it. Its thread then stays parked.
///
/// # Errors
/// The limit that was reached; or a system that refuses a thread.
pub(crate) fn supervise<T: Send + 'static, F: Future<Output = T>>(
    ready: &Ready,
    guest: impl FnOnce() -> F + Send + 'static,
) -> Result<T, Failure> {
    let interrupt = Interrupt::new(ready.code.text());
    let (send, ended) = sync_channel(1);
    let registered = interrupt.clone();
    let run = move || {
        let result = registered.register().and_then(|()| block_on(guest()));
        // The receiver is gone if the guest was given up.
        let _ = send.send(result);
    };
    let builder = thread::Builder::new().name("walnut-guest".into()).stack_size(STACK);
    let thread = builder.spawn(run).map_err(|e| Failure::Host(format!("the system refuses a thread: {e}")))?;
    let watch = Watch { ready, interrupt: &interrupt, ended: &ended, thread: &thread };
    match watch.until_end() {
        Ended::Itself(result) => {
            result.map_err(|e| Failure::Host(format!("the runtime of the guest could not start: {e}")))
        }
        Ended::Stopped(failure) => Err(failure),
        // A panic of the host goes on here.
        Ended::Panicked => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => Err(Failure::Host("the guest's thread ended without a result".into())),
        },
    }
}

/// Drives `guest` on this thread.
fn block_on<T>(guest: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(guest);
    // A read of standard input that waits for a key must not delay the end.
    runtime.shutdown_background();
    Ok(result)
}

/// End of a guest's thread.
enum Ended<T> {
    Itself(T),
    Stopped(Failure),
    Panicked,
}

/// A guest that is watched.
struct Watch<'a, T> {
    ready: &'a Ready,
    interrupt: &'a Interrupt,
    ended: &'a Receiver<T>,
    thread: &'a JoinHandle<()>,
}

impl<T> Watch<'_, T> {
    fn until_end(&self) -> Ended<T> {
        let (limits, clock) = (&self.ready.setup.limits, ThreadClock::of(self.thread));
        let deadline = Instant::now() + limits.deadline + TIMER_GRACE;
        loop {
            let cpu_left = limits.cpu.saturating_sub(clock.elapsed());
            let time_left = deadline.saturating_duration_since(Instant::now());
            if cpu_left.is_zero() {
                return self.stop(Limit::Cpu, limits.cpu / 20);
            }
            if time_left.is_zero() {
                return self.stop(Limit::Deadline, SYSTEM_GRACE);
            }
            if let Some(ended) = self.wait(cpu_left.min(time_left).max(MIN_SLEEP)) {
                return ended;
            }
        }
    }

    /// Stops the guest, which has reached `limit`. A guest in a host call is asked again until
    /// `grace` is over, and then left as it is.
    fn stop(&self, limit: Limit, grace: Duration) -> Ended<T> {
        let limits: &Limits = &self.ready.setup.limits;
        let until = Instant::now() + grace.max(TIMER_GRACE);
        loop {
            self.interrupt.send(self.thread);
            if let Some(ended) = self.wait(MIN_SLEEP) {
                return ended;
            }
            if let Some(stopped) = self.interrupt.stopped() {
                let frames = self.ready.frames(&stopped.frames);
                return Ended::Stopped(explain::stopped(limit, limits, frames, stopped.calls));
            }
            if Instant::now() > until {
                return Ended::Stopped(explain::held(limit, limits));
            }
        }
    }

    /// Waits for the end of the guest for at most `timeout`.
    fn wait(&self, timeout: Duration) -> Option<Ended<T>> {
        match self.ended.recv_timeout(timeout) {
            Ok(result) => Some(Ended::Itself(result)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Ended::Panicked),
        }
    }
}
