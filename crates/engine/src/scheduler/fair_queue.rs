//! A deficit round robin over the flows that wait on one thread.
//!
//! Time is divided into rounds. In each round every waiting flow gets one turn and is charged a
//! quantum of 20 µs. A turn that took longer is charged in full, and its flow then sits out as many
//! rounds as pay for it. See ADR 0009, and Shreedhar and Varghese, "Efficient Fair Queuing Using
//! Deficit Round Robin" (1995).

use crate::observer::UsageObserver;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Processor time of a flow in each round, in nanoseconds. About the cost of a small request with
/// its HTTP, which is not charged.
const QUANTUM: u64 = 20_000;

/// Longest turn that counts as short, in nanoseconds.
const SHORT_TURN: u64 = 100_000;

/// Price of a long-running guest's time: each nanosecond is charged this many times.
const LONG_TURN_PRICE: u64 = 3;

/// Identifies a flow: a component, among those that share threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId(pub(super) u64);

impl FlowId {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        FlowId(NEXT.fetch_add(1, Relaxed))
    }

    /// Returns the flow of all sandboxes that report to `usage`: the successive versions of one
    /// component.
    pub fn of(usage: &Arc<dyn UsageObserver>) -> Self {
        FlowId(Arc::as_ptr(usage).cast::<()>().addr() as u64)
    }
}

/// Kind of work that waits for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnKind {
    /// A request that has not begun.
    New,
    /// A guest that has computed for long and waits to go on.
    Long,
}

/// Flows that wait for turns of `W`.
#[derive(Debug)]
pub(crate) struct FairQueue<W> {
    /// Flows with waiters, and flows that have been charged for rounds to come.
    flows: Vec<Flow<W>>,
    /// Round of the latest turn.
    round: u64,
    /// Processor time of a flow in each round, in nanoseconds.
    quantum: u64,
    /// Counts turns and arrivals, to order them.
    count: u64,
}

#[derive(Debug)]
struct Flow<W> {
    flow: FlowId,
    /// Time charged so far, as if the flow had used its quantum in every round before it arrived.
    /// Divided by the quantum, it is the round of the flow's next turn.
    charged: u64,
    /// Part of the latest turn's charge that the turn has not used.
    prepaid: u64,
    /// Value of [`FairQueue::count`] when the flow arrived or had its latest turn.
    since: u64,
    /// Duration of the latest turn, in nanoseconds.
    cost: u64,
    new: VecDeque<W>,
    long: VecDeque<W>,
    /// Kind of the latest turn.
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
        // A flow that has waited longer than the others belongs to a round that is over.
        self.round = self.round.max(next.charged / quantum);
        self.count = count;
        next.since = count;
        next.charged = next.charged.saturating_add(quantum);
        next.prepaid = quantum;
        let next = self.next_round();
        self.flows.retain(|waiting| waiting.has_waiters() || waiting.charged >= next);
        waiter
    }

    /// Returns the index of the flow that has the next turn.
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

    /// Returns the charge of a flow that belongs to the next round.
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

    /// Takes the waiter that came first, alternating between the kinds so that neither waits for
    /// all of the other.
    fn pop(&mut self) -> Option<W> {
        let is_long = self.new.is_empty() || self.last == Some(TurnKind::New) && !self.long.is_empty();
        self.last = Some(if is_long { TurnKind::Long } else { TurnKind::New });
        if is_long { self.long.pop_front() } else { self.new.pop_front() }
    }
}

#[cfg(test)]
mod tests;
