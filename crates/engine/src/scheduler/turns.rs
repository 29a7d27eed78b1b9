//! Whose turn it is on one thread.
//!
//! What a guest computes before it first waits for something, nothing interrupts but a tick; a hundred requests of one component would
//! all have theirs before the thread looks at a socket again, and sees the request of another. So where more than one component
//! is busy on a thread, requests wait in line before their sandbox is made. Guests that have computed for long wait in the same line,
//! whoever else is there, unless they leave the thread (`offload.rs`). One of them goes on, or a few that take little, then all else
//! that waits on the thread, sockets and timers too, then the next. What computes for long pays three times.
//!
//! Turns go by rounds. In each round every component that waits has one, and pays 20 µs of processor time for it; one whose turn took
//! more stays away for as many rounds as pay for that. So components that are asked for little go by turns, others by time, and one
//! that comes waits for no more than a turn of each: those that come go with the next round, and nobody is added to the one that is
//! under way.

use crate::observer::Usage;
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

/// What a component may have in each round, in nanoseconds: about what a small request costs with its HTTP, which is not charged.
const ROUND: u64 = 20_000;

/// In nanoseconds: what a turn takes at the most that others may wait for.
const SMALL: u64 = 100_000;

/// How many times over the time is charged in which a guest goes on that has computed for long.
const LONG_PRICE: u64 = 3;

/// Turns are given one after another for as long, before sockets are looked at.
const AT_ONCE: Duration = Duration::from_micros(100);

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

/// Whether more than one party is busy on this thread.
pub(crate) fn are_given() -> bool {
    HERE.with(|here| here.shared_until.get().is_some_and(|until| Instant::now() < until))
}

/// Whether a request is the next that has a turn on this thread, and none of a party that computed for longer than a moment in
/// its last.
pub fn small_turn_is_next() -> bool {
    HERE.with(|here| here.line.is_given.load(Relaxed) && here.line.lock().next_is_small())
}

/// Lets others run. Who has computed for long then waits in line, unless it leaves the thread.
pub(crate) async fn give_way(party: Party, waits: bool) {
    if !waits {
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
        let since = Instant::now();
        while let Some(over) = taken.take() {
            let _ = over.await;
            if line.0.lock().next_is_small() && since.elapsed() < AT_ONCE {
                taken = line.0.next();
            }
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

/// Who waits, and when their parties may go on.
#[derive(Debug)]
struct Queue<W> {
    /// Those that wait, and those that are not in the next round.
    parties: Vec<Waiting<W>>,
    /// That of the last turn.
    round: u64,
    /// What a party may have in a round, in nanoseconds.
    share: u64,
    /// Turns that were given, and parties that came.
    count: u64,
}

#[derive(Debug)]
struct Waiting<W> {
    party: Party,
    /// All that it has had, if it has had its share of each round before it came. So this says in which round it is next.
    had: u64,
    /// What its last turn was charged in advance and it has not used.
    ahead: u64,
    /// When it came, or had its last turn, by the queue's count.
    since: u64,
    /// Of its last turn, in nanoseconds.
    cost: u64,
    new: VecDeque<W>,
    long: VecDeque<W>,
    /// What had its last turn.
    last: Option<Kind>,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { parties: Vec::new(), round: 0, share: ROUND, count: 0 }
    }
}

impl<W> Queue<W> {
    fn push(&mut self, party: Party, kind: Kind, waiter: W) {
        self.count += 1;
        let (count, next) = (self.count, self.next_round());
        let waiting = self.of(party);
        if !waiting.is_any() {
            waiting.since = count;
            waiting.had = waiting.had.max(next);
        }
        match kind {
            Kind::New => waiting.new.push_back(waiter),
            Kind::Long => waiting.long.push_back(waiter),
        }
    }

    fn pop(&mut self) -> Option<W> {
        let (count, share) = (self.count + 1, self.share);
        let next = self.next()?;
        let next = &mut self.parties[next];
        let waiter = next.pop();
        // One that waits longer than the others is in a round that is long over.
        self.round = self.round.max(next.had / share);
        self.count = count;
        next.since = count;
        next.had = next.had.saturating_add(share);
        next.ahead = share;
        let next = self.next_round();
        self.parties.retain(|waiting| waiting.is_any() || waiting.had >= next);
        waiter
    }

    /// The place of the party whose turn it is next.
    fn next(&self) -> Option<usize> {
        let waiting = self.parties.iter().enumerate().filter(|(_, waiting)| waiting.is_any());
        let next = waiting.min_by_key(|(_, waiting)| (waiting.had / self.share, waiting.since))?;
        Some(next.0)
    }

    fn next_is_small(&self) -> bool {
        let next = self.next().map(|next| &self.parties[next]);
        next.is_some_and(|next| next.long.is_empty() && next.cost < SMALL)
    }

    fn charge(&mut self, party: Party, spent: u64) {
        let waiting = self.of(party);
        waiting.cost = spent;
        let price = if waiting.last == Some(Kind::Long) { LONG_PRICE } else { 1 };
        let beyond = spent.saturating_sub(waiting.ahead).saturating_mul(price);
        waiting.ahead = waiting.ahead.saturating_sub(spent);
        waiting.had = waiting.had.saturating_add(beyond);
    }

    /// What those have had that are in it.
    fn next_round(&self) -> u64 {
        (self.round + 1).saturating_mul(self.share)
    }

    fn of(&mut self, party: Party) -> &mut Waiting<W> {
        let index = self.parties.iter().position(|waiting| waiting.party == party).unwrap_or_else(|| {
            let (had, (new, long)) = (self.next_round(), Default::default());
            self.parties.push(Waiting { party, had, ahead: 0, since: 0, cost: 0, new, long, last: None });
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
        let is_long = self.new.is_empty() || self.last == Some(Kind::New) && !self.long.is_empty();
        self.last = Some(if is_long { Kind::Long } else { Kind::New });
        if is_long { self.long.pop_front() } else { self.new.pop_front() }
    }
}

#[cfg(test)]
mod tests;
