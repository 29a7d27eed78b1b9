//! Those who wait on one thread, and whose turn it is.

use crate::observer::UsageObserver;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a component may have in each round, in nanoseconds: about what a small request costs with its HTTP, which is not charged.
const QUANTUM: u64 = 20_000;

/// In nanoseconds: what a turn takes at the most that others may wait for.
const SHORT_TURN: u64 = 100_000;

/// How many times over the time is charged in which a guest goes on that has computed for long.
const LONG_TURN_PRICE: u64 = 3;

/// One of those that threads are divided among: a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId(pub(super) u64);

impl FlowId {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        FlowId(NEXT.fetch_add(1, Relaxed))
    }

    /// All who count what they use in this place: the versions of a component, one after another.
    pub fn of(usage: &Arc<dyn UsageObserver>) -> Self {
        FlowId(Arc::as_ptr(usage).cast::<()>().addr() as u64)
    }
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnKind {
    /// To begin.
    New,
    /// To go on, after it has computed for long.
    Long,
}

/// Who waits, and when their flows may go on.
#[derive(Debug)]
pub(crate) struct FairQueue<W> {
    /// Those that wait, and those that are not in the next round.
    flows: Vec<Flow<W>>,
    /// That of the last turn.
    round: u64,
    /// What a flow may have in a round, in nanoseconds.
    quantum: u64,
    /// Turns that were given, and flows that came.
    count: u64,
}

#[derive(Debug)]
struct Flow<W> {
    flow: FlowId,
    /// All that it has charged, if it has charged its quantum of each round before it came. So this says in which round it is next.
    charged: u64,
    /// What its last turn was charged in advance and it has not used.
    prepaid: u64,
    /// When it came, or charged its last turn, by the queue's count.
    since: u64,
    /// Of its last turn, in nanoseconds.
    cost: u64,
    new: VecDeque<W>,
    long: VecDeque<W>,
    /// What charged its last turn.
    last: Option<TurnKind>,
}

impl<W> Default for FairQueue<W> {
    fn default() -> Self {
        FairQueue { flows: Vec::new(), round: 0, quantum: QUANTUM, count: 0 }
    }
}

impl<W> FairQueue<W> {
    pub fn push(&mut self, flow: FlowId, kind: TurnKind, waiter: W) {
        self.count += 1;
        let (count, next) = (self.count, self.next_round());
        let waiting = self.of(flow);
        if !waiting.has_waiters() {
            waiting.since = count;
            waiting.charged = waiting.charged.max(next);
        }
        match kind {
            TurnKind::New => waiting.new.push_back(waiter),
            TurnKind::Long => waiting.long.push_back(waiter),
        }
    }

    pub fn pop(&mut self) -> Option<W> {
        let (count, quantum) = (self.count + 1, self.quantum);
        let next = self.next()?;
        let next = &mut self.flows[next];
        let waiter = next.pop();
        // One that waits longer than the others is in a round that is long over.
        self.round = self.round.max(next.charged / quantum);
        self.count = count;
        next.since = count;
        next.charged = next.charged.saturating_add(quantum);
        next.prepaid = quantum;
        let next = self.next_round();
        self.flows.retain(|waiting| waiting.has_waiters() || waiting.charged >= next);
        waiter
    }

    /// The place of the flow whose turn it is next.
    fn next(&self) -> Option<usize> {
        let waiting = self.flows.iter().enumerate().filter(|(_, waiting)| waiting.has_waiters());
        let next = waiting.min_by_key(|(_, waiting)| (waiting.charged / self.quantum, waiting.since))?;
        Some(next.0)
    }

    pub fn is_next_short(&self) -> bool {
        let next = self.next().map(|next| &self.flows[next]);
        next.is_some_and(|next| next.long.is_empty() && next.cost < SHORT_TURN)
    }

    pub fn charge(&mut self, flow: FlowId, spent: u64) {
        let waiting = self.of(flow);
        waiting.cost = spent;
        let price = if waiting.last == Some(TurnKind::Long) { LONG_TURN_PRICE } else { 1 };
        let beyond = spent.saturating_sub(waiting.prepaid).saturating_mul(price);
        waiting.prepaid = waiting.prepaid.saturating_sub(spent);
        waiting.charged = waiting.charged.saturating_add(beyond);
    }

    /// What those have charged that are in it.
    fn next_round(&self) -> u64 {
        (self.round + 1).saturating_mul(self.quantum)
    }

    fn of(&mut self, flow: FlowId) -> &mut Flow<W> {
        let index = self.flows.iter().position(|waiting| waiting.flow == flow).unwrap_or_else(|| {
            let (charged, (new, long)) = (self.next_round(), Default::default());
            self.flows.push(Flow { flow, charged, prepaid: 0, since: 0, cost: 0, new, long, last: None });
            self.flows.len() - 1
        });
        &mut self.flows[index]
    }
}

impl<W> Flow<W> {
    fn has_waiters(&self) -> bool {
        !(self.new.is_empty() && self.long.is_empty())
    }

    /// The one that came first; of each kind by turns, so that neither waits for all of the other.
    fn pop(&mut self) -> Option<W> {
        let is_long = self.new.is_empty() || self.last == Some(TurnKind::New) && !self.long.is_empty();
        self.last = Some(if is_long { TurnKind::Long } else { TurnKind::New });
        if is_long { self.long.pop_front() } else { self.new.pop_front() }
    }
}

#[cfg(test)]
mod tests;
