//! Whose turn it is among the guests that compute on one thread.
//!
//! A guest that computes lets go of its thread at every tick. That alone would give each of a hundred such guests its time before
//! a request that needs only a moment. So those that have computed for long stand in line: one of them goes on, then all else that waits
//! on the thread, then the next of them.

use std::cell::Cell;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

thread_local! {
    static LINE: Arc<Semaphore> = Arc::new(Semaphore::new(1));
    /// Of the guest that runs.
    static TURN: Cell<Option<OwnedSemaphorePermit>> = const { Cell::new(None) };
}

/// Lets others run. Who has computed for long then waits in line.
pub(crate) async fn give_way(is_long: bool) {
    let turn = if is_long { LINE.with(Arc::clone).acquire_owned().await.ok() } else { None };
    // Sockets and timers get theirs too: woken at once, the runtime would look at those only every 61 turns.
    tokio::task::yield_now().await;
    TURN.set(turn);
}

/// The guest that runs on this thread has let go of it.
pub(crate) fn end() {
    drop(TURN.take());
}
