//! Those who wait on one thread, and whose turn it is.

use crate::observer::Usage;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a component may have in each round, in nanoseconds: about what a small request costs with its HTTP, which is not charged.
const ROUND: u64 = 20_000;

/// In nanoseconds: what a turn takes at the most that others may wait for.
const SMALL: u64 = 100_000;

/// How many times over the time is charged in which a guest goes on that has computed for long.
const LONG_PRICE: u64 = 3;

/// One of those that threads are divided among: a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Party(pub(super) u64);

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

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To begin.
    New,
    /// To go on, after it has computed for long.
    Long,
}

/// Who waits, and when their parties may go on.
#[derive(Debug)]
pub(crate) struct Queue<W> {
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
    pub fn push(&mut self, party: Party, kind: Kind, waiter: W) {
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

    pub fn pop(&mut self) -> Option<W> {
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

    pub fn next_is_small(&self) -> bool {
        let next = self.next().map(|next| &self.parties[next]);
        next.is_some_and(|next| next.long.is_empty() && next.cost < SMALL)
    }

    pub fn charge(&mut self, party: Party, spent: u64) {
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
