//! Turns of the flows that share one thread.
//!
//! Only a tick interrupts the computation of a guest before its first wait. A hundred requests of
//! one component could all run before the thread looks at a socket again and sees the request of
//! another. Where more than one component is busy on a thread, requests therefore queue before
//! their sandbox is made. Long-running guests queue as well, whoever else is there, unless they
//! move to a compute thread (`offload.rs`).
//!
//! The dispatcher gives a turn to one waiter, or to a few short ones. Then everything else on the
//! thread runs, sockets and timers included, and then comes the next turn. The order is that of
//! `fair_queue.rs`: components with few requests alternate, others share by time, and a new arrival
//! waits for at most one turn of each other component.

use crate::scheduler::fair_queue::{FairQueue, FlowId, TurnKind};
use futures_channel::oneshot::{Receiver, Sender, channel};
use parking_lot::{Mutex, MutexGuard};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::yield_now;

/// Time for which a component without requests still counts as busy, so that its first request
/// after a pause is seen soon.
const BUSY_WINDOW: Duration = Duration::from_secs(10);

/// Time for which turns are dispatched in a row before sockets are looked at.
const MAX_BATCH: Duration = Duration::from_micros(100);

/// A turn. It ends when this is dropped, also if its request left before it began.
pub(crate) type Turn = Sender<Infallible>;
type Over = Receiver<Infallible>;

thread_local! {
    static THREAD_TURNS: ThreadTurns = ThreadTurns::default();
}

#[derive(Default)]
struct ThreadTurns {
    queue: Arc<RunQueue>,
    /// Flow of the latest request, with its time.
    last: Cell<Option<(FlowId, Instant)>>,
    /// End of the time for which several flows count as busy.
    shared_until: Cell<Option<Instant>>,
    /// Turn of the guest that runs.
    turn: Cell<Option<Turn>>,
}

impl ThreadTurns {
    /// Records a request of `flow` and returns whether other flows are busy on this thread.
    fn is_shared(&self, flow: FlowId, now: Instant) -> bool {
        let last = self.last.replace(Some((flow, now)));
        if last.is_some_and(|(other, at)| other != flow && now < at + BUSY_WINDOW) {
            self.shared_until.set(Some(now + BUSY_WINDOW));
        }
        self.shared_until.get().is_some_and(|until| now < until)
    }
}

/// Queues a request of `flow` for a turn. Returns `None` if no other flow is busy on this thread.
pub(crate) fn before(flow: FlowId, now: Instant) -> Option<Receiver<Turn>> {
    THREAD_TURNS.with(|here| here.is_shared(flow, now).then(|| here.queue.wait(flow, TurnKind::New)))
}

/// Returns whether more than one flow is busy on this thread.
pub(crate) fn is_contended() -> bool {
    THREAD_TURNS.with(|here| here.shared_until.get().is_some_and(|until| Instant::now() < until))
}

/// Returns whether the next turn on this thread goes to a request of a flow whose latest turn was
/// short.
pub fn is_short_turn_next() -> bool {
    THREAD_TURNS.with(|here| here.queue.is_dispatching.load(Relaxed) && here.queue.lock().is_next_short())
}

/// Lets others run. With `waits`, the guest queues for a turn.
pub(crate) async fn yield_turn(flow: FlowId, waits: bool) {
    if !waits {
        // A future that wakes itself at once would make the runtime look at sockets and timers only
        // every 61 tasks.
        return yield_now().await;
    }
    let turn = THREAD_TURNS.with(|here| here.queue.wait(flow, TurnKind::Long));
    if let Ok(turn) = turn.await {
        begin(turn);
    }
}

/// Gives this turn to the guest that is entered next on this thread.
pub(crate) fn begin(turn: Turn) {
    THREAD_TURNS.with(|here| here.turn.set(Some(turn)));
}

/// Ends the turn of the guest that has yielded, and charges `spent` nanoseconds.
pub(crate) fn end(flow: FlowId, spent: u64) {
    THREAD_TURNS.with(|here| {
        here.queue.charge(flow, spent);
        drop(here.turn.take());
    });
}

/// Waiters of one thread. No other thread uses it; the locks satisfy the types of tasks, which
/// could be sent elsewhere.
#[derive(Default)]
struct RunQueue {
    queue: Mutex<FairQueue<Sender<Turn>>>,
    /// Whether a dispatcher runs: while a turn is taken or waited for, and until sockets were
    /// looked at after it.
    is_dispatching: AtomicBool,
}

impl RunQueue {
    fn wait(self: &Arc<Self>, flow: FlowId, kind: TurnKind) -> Receiver<Turn> {
        let (give_to, turn) = channel();
        self.lock().push(flow, kind, give_to);
        if !self.is_dispatching.swap(true, Relaxed) {
            // A new request finds an empty queue; a long-running guest has just had its turn.
            let first = if kind == TurnKind::New { self.next() } else { None };
            tokio::spawn(dispatch(Dispatcher(self.clone()), first));
        }
        turn
    }

    /// Gives the next turn to the first waiter that still wants it.
    fn next(&self) -> Option<Over> {
        loop {
            let next = self.lock().pop()?;
            let (turn, over) = channel();
            if next.send(turn).is_ok() {
                return Some(over);
            }
        }
    }

    fn charge(&self, flow: FlowId, spent: u64) {
        if self.is_dispatching.load(Relaxed) {
            self.lock().charge(flow, spent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Sender<Turn>>> {
        self.queue.lock()
    }
}

async fn dispatch(queue: Dispatcher, first: Option<Over>) {
    let mut taken = first;
    loop {
        let since = Instant::now();
        while let Some(over) = taken.take() {
            let _ = over.await;
            if queue.0.lock().is_next_short() && since.elapsed() < MAX_BATCH {
                taken = queue.0.next();
            }
        }
        yield_now().await;
        taken = queue.0.next();
        if taken.is_none() {
            return;
        }
    }
}

/// Guard of a queue with a dispatcher. If its runtime ends, waiters do not wait for ever.
struct Dispatcher(Arc<RunQueue>);

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.0.lock());
        self.0.is_dispatching.store(false, Relaxed);
        drop(left);
    }
}

#[cfg(test)]
mod tests;
