//! Whose turn it is on one thread.
//!
//! What a guest computes before it first waits for something, nothing interrupts but a tick; a hundred requests of one component would
//! all have theirs before the thread looks at a socket again, and sees the request of another. So where more than one component
//! is busy on a thread, requests wait in queue before their sandbox is made. Guests that have computed for long wait in the same queue,
//! whoever else is there, unless they leave the thread (`offload.rs`). One of them goes on, or a few that take little, then all else
//! that waits on the thread, sockets and timers too, then the next. What computes for long pays three times.
//!
//! Turns go by rounds. In each round every component that waits has one, and pays 20 µs of processor time for it; one whose turn took
//! more stays away for as many rounds as pay for that. So components that are asked for little go by turns, others by time, and one
//! that comes waits for no more than a turn of each: those that come go with the next round, and nobody is added to the one that is
//! under way.

use crate::scheduler::fair_queue::{FairQueue, FlowId, TurnKind};
use futures_channel::oneshot::{Receiver, Sender, channel};
use parking_lot::{Mutex, MutexGuard};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::yield_now;

/// For how long a component that has no requests any more counts as busy. So the first of them after a pause, too, is seen soon.
const BUSY_WINDOW: Duration = Duration::from_secs(10);

/// Turns are given one after another for as long, before sockets are looked at.
const MAX_BATCH: Duration = Duration::from_micros(100);

/// Whoever has it may go on. It is over when this is dropped, also by a request that left before it began.
pub(crate) type Turn = Sender<Infallible>;
type Over = Receiver<Infallible>;

thread_local! {
    static THREAD_TURNS: ThreadTurns = ThreadTurns::default();
}

#[derive(Default)]
struct ThreadTurns {
    queue: Arc<RunQueue>,
    /// Whose request was the last, and when.
    last: Cell<Option<(FlowId, Instant)>>,
    /// How long those of several flows count as busy.
    shared_until: Cell<Option<Instant>>,
    /// Of the guest that runs.
    turn: Cell<Option<Turn>>,
}

impl ThreadTurns {
    /// Whether a request of `flow` that comes `now` is not the only flow's.
    fn is_shared(&self, flow: FlowId, now: Instant) -> bool {
        let last = self.last.replace(Some((flow, now)));
        if last.is_some_and(|(other, at)| other != flow && now < at + BUSY_WINDOW) {
            self.shared_until.set(Some(now + BUSY_WINDOW));
        }
        self.shared_until.get().is_some_and(|until| now < until)
    }
}

/// What a request of `flow` waits for that comes `now`, before its guest begins. Nothing if no other flow is busy here.
pub(crate) fn before(flow: FlowId, now: Instant) -> Option<Receiver<Turn>> {
    THREAD_TURNS.with(|here| here.is_shared(flow, now).then(|| here.queue.wait(flow, TurnKind::New)))
}

/// Whether more than one flow is busy on this thread.
pub(crate) fn is_contended() -> bool {
    THREAD_TURNS.with(|here| here.shared_until.get().is_some_and(|until| Instant::now() < until))
}

/// Whether a request is the next that has a turn on this thread, and none of a flow that computed for longer than a moment in
/// its last.
pub fn is_short_turn_next() -> bool {
    THREAD_TURNS.with(|here| here.queue.is_dispatching.load(Relaxed) && here.queue.lock().is_next_short())
}

/// Lets others run. Who has computed for long then waits in queue, unless it leaves the thread.
pub(crate) async fn yield_turn(flow: FlowId, waits: bool) {
    if !waits {
        // Not woken at once: the runtime would look at sockets and timers only every 61 tasks.
        return yield_now().await;
    }
    let turn = THREAD_TURNS.with(|here| here.queue.wait(flow, TurnKind::Long));
    if let Ok(turn) = turn.await {
        begin(turn);
    }
}

/// The guest that is entered next on this thread has this turn, until it lets go of the thread.
pub(crate) fn begin(turn: Turn) {
    THREAD_TURNS.with(|here| here.turn.set(Some(turn)));
}

/// The guest that ran on this thread has let go of it, after so many nanoseconds.
pub(crate) fn end(flow: FlowId, spent: u64) {
    THREAD_TURNS.with(|here| {
        here.queue.charge(flow, spent);
        drop(here.turn.take());
    });
}

/// Those who wait on one thread. Nobody else touches it: the locks are there since a task may be sent elsewhere, as far as its type
/// tells.
#[derive(Default)]
struct RunQueue {
    queue: Mutex<FairQueue<Sender<Turn>>>,
    /// Whether somebody gives turns: as long as one is taken or waited for, and until sockets were looked at after it.
    is_dispatching: AtomicBool,
}

impl RunQueue {
    fn wait(self: &Arc<Self>, flow: FlowId, kind: TurnKind) -> Receiver<Turn> {
        let (give_to, turn) = channel();
        self.lock().push(flow, kind, give_to);
        if !self.is_dispatching.swap(true, Relaxed) {
            // Nobody is before a new one; a long one was itself.
            let first = if kind == TurnKind::New { self.next() } else { None };
            tokio::spawn(dispatch(Dispatcher(self.clone()), first));
        }
        turn
    }

    /// Gives the next turn to the first who still wants it.
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

/// A queue whose turns are given. Whoever is left in it when its runtime ends does not wait for ever.
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
