//! Whose turn it is on one thread.
//!
//! What a guest computes before it first waits for something, nothing interrupts but a tick; a hundred requests of one component would
//! all have theirs before the thread looks at a socket again, and sees the request of another. So where more than one component
//! is busy on a thread, requests wait in line before their sandbox is made. Guests that have computed for long wait in the same line,
//! whoever else is there. One of them goes on, then all else that waits on the thread, sockets and timers too, then the next.
//!
//! The next is of the component that has had the least processor time while the line lasts (start-time fair queueing). One that comes
//! to it begins with those that have had the least: what it did not use before gives it nothing. Those that have had about as much go by
//! turns, as otherwise one of a thousand components, each asked now and then, would wait for all of the others.

use crate::usage::Usage;
use futures_channel::oneshot::{Receiver, Sender, channel};
use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::yield_now;

/// For how long a component that has no requests any more counts as busy. So the first of them after a pause, too, is seen soon.
const LATELY: Duration = Duration::from_secs(10);

/// In nanoseconds: those that have had as much to within this have had the same.
const SAME: u64 = 250_000;

/// One of those that threads are divided among: a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Party(u64);

impl Party {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Party(NEXT.fetch_add(1, Relaxed))
    }

    /// All who count what they use in this place: the versions of a component, one after another.
    pub fn of(usage: &Arc<dyn Usage>) -> Self {
        Party(Arc::as_ptr(usage).cast::<()>().addr() as u64)
    }
}

/// Whoever has it may go on. It is over when this is dropped, also by a request that left before it began.
pub(crate) type Turn = Sender<Infallible>;
type Over = Receiver<Infallible>;

thread_local! {
    static HERE: Here = Here::default();
}

#[derive(Default)]
struct Here {
    line: Arc<Line>,
    /// Whose request was the last, and when.
    last: Cell<Option<(Party, Instant)>>,
    /// How long those of several parties count as busy.
    shared_until: Cell<Option<Instant>>,
    /// Of the guest that runs.
    turn: Cell<Option<Turn>>,
}

impl Here {
    /// Whether a request of `party` that comes `now` is not the only party's.
    fn is_shared(&self, party: Party, now: Instant) -> bool {
        let last = self.last.replace(Some((party, now)));
        if last.is_some_and(|(other, at)| other != party && now < at + LATELY) {
            self.shared_until.set(Some(now + LATELY));
        }
        self.shared_until.get().is_some_and(|until| now < until)
    }
}

/// What a request of `party` waits for that comes `now`, before its guest begins. Nothing if no other party is busy here.
pub(crate) fn before(party: Party, now: Instant) -> Option<Receiver<Turn>> {
    HERE.with(|here| here.is_shared(party, now).then(|| here.line.wait(party, Kind::New)))
}

/// Lets others run. Who has computed for long then waits in line.
pub(crate) async fn give_way(party: Party, is_long: bool) {
    if !is_long {
        // Not woken at once: the runtime would look at sockets and timers only every 61 tasks.
        return yield_now().await;
    }
    let turn = HERE.with(|here| here.line.wait(party, Kind::Long));
    if let Ok(turn) = turn.await {
        begin(turn);
    }
}

/// The guest that is entered next on this thread has this turn, until it lets go of the thread.
pub(crate) fn begin(turn: Turn) {
    HERE.with(|here| here.turn.set(Some(turn)));
}

/// The guest that ran on this thread has let go of it, after so many nanoseconds.
pub(crate) fn end(party: Party, spent: u64) {
    HERE.with(|here| {
        here.line.charge(party, spent);
        drop(here.turn.take());
    });
}

/// Those who wait on one thread. Nobody else touches it: the locks are there since a task may be sent elsewhere, as far as its type
/// tells.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue<Sender<Turn>>>,
    /// Whether somebody gives turns: as long as one is taken or waited for, and until sockets were looked at after it.
    is_given: AtomicBool,
}

impl Line {
    fn wait(self: &Arc<Self>, party: Party, kind: Kind) -> Receiver<Turn> {
        let (give_to, turn) = channel();
        self.lock().push(party, kind, give_to);
        if !self.is_given.swap(true, Relaxed) {
            // Nobody is before a new one; a long one was itself.
            let first = if kind == Kind::New { self.next() } else { None };
            tokio::spawn(give(Given(self.clone()), first));
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

    fn charge(&self, party: Party, spent: u64) {
        if self.is_given.load(Relaxed) {
            self.lock().charge(party, spent);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Sender<Turn>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn give(line: Given, first: Option<Over>) {
    let mut taken = first;
    loop {
        if let Some(over) = taken {
            let _ = over.await;
        }
        yield_now().await;
        taken = line.0.next();
        if taken.is_none() {
            return;
        }
    }
}

/// A line whose turns are given. Whoever is left in it when its runtime ends does not wait for ever.
struct Given(Arc<Line>);

impl Drop for Given {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.0.lock());
        self.0.is_given.store(false, Relaxed);
        drop(left);
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To begin.
    New,
    /// To go on, after it has computed for long.
    Long,
}

/// Who waits, and what their parties have had.
#[derive(Debug)]
struct Queue<W> {
    /// Those that wait, and those that have had more than `least`.
    parties: Vec<Waiting<W>>,
    /// None that waits has had less, in nanoseconds.
    least: u64,
    same: u64,
    /// Turns that were given, and parties that came.
    count: u64,
}

#[derive(Debug)]
struct Waiting<W> {
    party: Party,
    had: u64,
    /// When it came, or had its last turn, by the queue's count.
    since: u64,
    new: VecDeque<W>,
    long: VecDeque<W>,
    last: Kind,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { parties: Vec::new(), least: 0, same: SAME, count: 0 }
    }
}

impl<W> Queue<W> {
    fn push(&mut self, party: Party, kind: Kind, waiter: W) {
        self.count += 1;
        let count = self.count;
        let waiting = self.of(party);
        if !waiting.is_any() {
            waiting.since = count;
        }
        match kind {
            Kind::New => waiting.new.push_back(waiter),
            Kind::Long => waiting.long.push_back(waiter),
        }
    }

    fn pop(&mut self) -> Option<W> {
        let waiting = self.parties.iter_mut().filter(|waiting| waiting.is_any());
        let next = waiting.min_by_key(|waiting| (waiting.had / self.same, waiting.since))?;
        self.count += 1;
        next.since = self.count;
        let waiter = next.pop();
        self.least = self.least.max(next.had - next.had % self.same);
        let least = self.least;
        self.parties.retain(|waiting| waiting.is_any() || waiting.had > least);
        waiter
    }

    fn charge(&mut self, party: Party, spent: u64) {
        let had = &mut self.of(party).had;
        *had = had.saturating_add(spent);
    }

    fn of(&mut self, party: Party) -> &mut Waiting<W> {
        let index = self.parties.iter().position(|waiting| waiting.party == party).unwrap_or_else(|| {
            let (new, long) = Default::default();
            self.parties.push(Waiting { party, had: self.least, since: 0, new, long, last: Kind::Long });
            self.parties.len() - 1
        });
        &mut self.parties[index]
    }
}

impl<W> Waiting<W> {
    fn is_any(&self) -> bool {
        !(self.new.is_empty() && self.long.is_empty())
    }

    /// The one that came first; of each kind by turns, so that neither waits for all of the other.
    fn pop(&mut self) -> Option<W> {
        let is_long = self.new.is_empty() || self.last == Kind::New && !self.long.is_empty();
        self.last = if is_long { Kind::Long } else { Kind::New };
        if is_long { self.long.pop_front() } else { self.new.pop_front() }
    }
}

#[cfg(test)]
mod tests;
