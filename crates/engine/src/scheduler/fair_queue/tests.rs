//! The order of turns.

use super::TurnKind::{Long, New};
use super::*;
use proptest::prelude::*;

const A: FlowId = FlowId(1000);
const B: FlowId = FlowId(1001);
const C: FlowId = FlowId(1002);

/// Returns the flows of the next `count` turns, each of which takes as long as `cost` says.
fn turns(queue: &mut FairQueue<FlowId>, count: usize, cost: impl Fn(FlowId) -> u64) -> Vec<FlowId> {
    let turn = |_| {
        let flow = queue.pop().expect("somebody waits");
        queue.charge(flow, cost(flow));
        flow
    };
    (0..count).map(turn).collect()
}

/// A queue whose quantum is a nanosecond, so that it shares by time alone.
fn exact<W>() -> FairQueue<W> {
    FairQueue { quantum: 1, ..FairQueue::default() }
}

fn waiting(of: &[(FlowId, usize)]) -> FairQueue<FlowId> {
    let mut queue = exact();
    for &(flow, count) in of {
        (0..count).for_each(|_| queue.push(flow, New, flow));
    }
    queue
}

#[test]
fn requests_of_a_flow_go_in_order() {
    let mut queue = FairQueue::default();
    (0..5).for_each(|n| queue.push(A, New, n));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[test]
fn a_flow_waits_for_one_turn_of_another() {
    let mut queue = waiting(&[(A, 100)]);
    turns(&mut queue, 10, |_| 50);
    queue.push(B, New, B);
    assert!(turns(&mut queue, 2, |_| 50).contains(&B));
}

/// A long-running guest gets what the others leave, and a quarter of the thread where another flow
/// has many requests.
#[test]
fn a_long_running_guest_has_a_quarter() {
    let mut queue = FairQueue::default();
    (0..10).for_each(|_| queue.push(A, New, A));
    queue.push(B, Long, B);
    let (mut small, mut long) = (0, 0);
    while small + long < 1_000_000_000 {
        let flow = queue.pop().unwrap();
        let (kind, cost, sum) = if flow == A { (New, 30_000, &mut small) } else { (Long, 500_000, &mut long) };
        queue.charge(flow, cost);
        *sum += cost;
        queue.push(flow, kind, flow);
    }
    let quantum = long as f64 / (small + long) as f64;
    assert!((0.2..0.3).contains(&quantum), "{quantum}");
}

#[test]
fn small_is_what_is_new_and_was_small_before() {
    let mut queue = FairQueue::default();
    assert!(!queue.is_next_short(), "nobody waits");
    queue.push(A, New, A);
    assert!(queue.is_next_short());
    turns(&mut queue, 1, |_| SHORT_TURN);
    queue.push(A, New, A);
    assert!(!queue.is_next_short(), "its last turn took a while");
    turns(&mut queue, 1, |_| SHORT_TURN / 2);
    queue.push(A, New, A);
    assert!(queue.is_next_short());
    let mut queue = FairQueue::default();
    queue.push(B, Long, B);
    assert!(!queue.is_next_short(), "it computes");
}

/// Holds as well where no clock tells turns apart.
#[test]
fn parties_take_turns() {
    for cost in [0, 50] {
        let order = turns(&mut waiting(&[(A, 10), (B, 10), (C, 10)]), 9, |_| cost);
        assert_eq!(order, [A, B, C, A, B, C, A, B, C], "{cost}");
    }
}

#[test]
fn time_is_divided_and_not_turns() {
    let order = turns(&mut waiting(&[(A, 100), (B, 100)]), 44, |flow| if flow == A { 1000 } else { 100 });
    assert_eq!(order.iter().filter(|flow| **flow == A).count(), 4);
}

#[test]
fn an_idle_flow_saves_nothing_up() {
    let mut queue = waiting(&[(A, 300), (B, 1)]);
    turns(&mut queue, 200, |_| 50);
    (0..100).for_each(|_| queue.push(B, New, B));
    let order = turns(&mut queue, 20, |_| 50);
    assert_eq!(order.iter().filter(|flow| **flow == B).count(), 10);
}

/// A flow with few requests has a turn in each round, whether it needs a little more of it or a
/// little less.
#[test]
fn flows_with_few_requests_go_as_they_come() {
    let mut queue = FairQueue::default();
    let flows = || (0..100).map(FlowId).cycle();
    for (came, flow) in flows().take(32).enumerate() {
        queue.push(flow, New, (came, flow));
    }
    for (turn, next) in flows().skip(32).take(5000).enumerate() {
        let (came, flow) = queue.pop().expect("somebody waits");
        assert_eq!(turn, came);
        queue.charge(flow, 20_000 + flow.0 * 300);
        queue.push(next, New, (turn + 32, next));
    }
}

/// New arrivals cost each waiter one turn of theirs, however many they are.
#[test]
fn light_ones_that_never_end_do_not_starve_a_heavy_one() {
    let (mut queue, cost) = (FairQueue::default(), 10 * QUANTUM);
    (0..100).for_each(|_| queue.push(A, Long, A));
    (0..32).for_each(|n| queue.push(FlowId(n), New, FlowId(n)));
    let mut waits = 0;
    for n in 32..10_000 {
        let flow = queue.pop().expect("somebody waits");
        waits = if flow == A { 0 } else { waits + 1 };
        assert!(waits <= (2 + 9 * LONG_TURN_PRICE) * 32, "{waits} went before it");
        queue.charge(flow, if flow == A { cost } else { 25_000 });
        match flow {
            A => queue.push(A, Long, A),
            _ => queue.push(FlowId(n), New, FlowId(n)),
        }
    }
}

/// At worst the flow arrives as all others have a turn in the same round.
#[test]
fn heavy_ones_do_not_starve_a_light_one() {
    let mut queue = FairQueue::default();
    (0..10).for_each(|n| queue.push(FlowId(n), Long, FlowId(n)));
    let mut waits = None;
    for turn in 0..1000 {
        if turn % 17 == 0 {
            queue.push(A, New, A);
            waits = Some(0);
        }
        let flow = queue.pop().expect("somebody waits");
        waits = waits.filter(|_| flow != A).map(|waits| waits + 1);
        assert!(waits.is_none_or(|waits| waits <= 10), "{waits:?} went before it");
        queue.charge(flow, if flow == A { 25_000 } else { 10 * QUANTUM });
        if flow != A {
            queue.push(flow, Long, flow);
        }
    }
}

/// Time that was used outside a turn, after a wait, counts too.
#[test]
fn an_overdrawn_flow_waits_until_the_others_have_caught_up() {
    let mut queue = waiting(&[(A, 100), (B, 100)]);
    turns(&mut queue, 2, |_| 50);
    queue.charge(A, 500);
    let order = turns(&mut queue, 12, |_| 50);
    assert_eq!(order.iter().take(10).filter(|flow| **flow == A).count(), 0);
    assert!(order.contains(&A));
}

#[test]
fn new_and_long_waiters_of_a_flow_alternate() {
    let mut queue = FairQueue::default();
    (0..3).for_each(|_| queue.push(A, Long, Long));
    (0..3).for_each(|_| queue.push(A, New, New));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(order, [New, Long, New, Long, New, Long]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Two flows that always wait are charged alike, up to a turn of each, where each turn counts
    /// for a quantum at least.
    #[test]
    fn flows_that_always_wait_get_equal_shares(
        costs in proptest::collection::vec((1..1000u64, 1..1000u64, any::<bool>()), 1..200),
        comes in 0..50usize,
        quantum in 1..1000u64,
    ) {
        let mut queue = FairQueue { quantum, ..waiting(&[(A, 300), (C, 3)]) };
        let (mut of_a, mut of_b, mut price) = (0u64, 0u64, 1);
        for (turn, (a, b, is_long)) in costs.into_iter().enumerate() {
            if turn == comes {
                price = if is_long { LONG_TURN_PRICE } else { 1 };
                (0..300).for_each(|_| queue.push(B, if is_long { Long } else { New }, B));
                of_a = 0;
            }
            let flow = queue.pop().expect("somebody waits");
            let cost = if flow == A { a } else { b };
            queue.charge(flow, cost);
            match flow {
                A => of_a += cost.max(quantum),
                B => of_b += quantum + cost.saturating_sub(quantum) * price,
                _ => {}
            }
            if turn >= comes {
                prop_assert!(of_a.abs_diff(of_b) <= 2000 * LONG_TURN_PRICE + 2 * quantum, "{of_a} and {of_b}");
            }
        }
    }

    /// A flow waits for one turn of each other flow, and one for each quantum that it overdrew,
    /// whatever the others do.
    #[test]
    fn how_long_one_waits_has_a_bound(
        events in proptest::collection::vec((0..6u64, 0..8usize, 0..1000u64, 0..10u64), 1..400),
        quantum in 1..300u64,
    ) {
        let mut queue = FairQueue { quantum, ..FairQueue::default() };
        // For each flow: its charge since its latest turn began, and the turns of each other flow
        // since it arrived.
        let mut charged = [0; 6];
        let mut turns = [[0u64; 6]; 6];
        let mut waits = [0usize; 6];
        for (comes, count, cost, outside) in events {
            let comes = usize::try_from(comes).unwrap();
            for _ in 0..count {
                queue.push(FlowId(comes as u64), New, comes);
                waits[comes] += 1;
            }
            // Time that it computes outside a turn.
            queue.charge(FlowId(comes as u64), outside);
            charged[comes] += outside;
            let Some(next) = queue.pop() else { continue };
            waits[next] -= 1;
            (turns[next], charged[next]) = ([0; 6], cost);
            queue.charge(FlowId(next as u64), cost);
            for other in (0..6).filter(|other| waits[*other] > 0 && *other != next) {
                turns[other][next] += 1;
                let most = 2 + charged[other] / quantum;
                prop_assert!(turns[other][next] <= most, "{other} waits for {next}: {turns:?}, {charged:?}");
            }
        }
    }

    /// Every waiter gets a turn, and no flow is remembered without need.
    #[test]
    fn every_waiter_gets_a_turn(who in proptest::collection::vec((0..5u64, any::<bool>(), 0..100u64), 0..100)) {
        let mut queue = exact();
        for (index, (flow, is_long, before)) in who.iter().enumerate() {
            queue.charge(FlowId(*flow), *before);
            queue.push(FlowId(*flow), if *is_long { Long } else { New }, index);
        }
        let mut order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        order.sort_unstable();
        prop_assert_eq!(order, (0..who.len()).collect::<Vec<_>>());
        let (next, many) = (queue.next_round(), !who.is_empty());
        prop_assert!(!many || queue.flows.iter().all(|waiting| waiting.charged >= next), "{queue:?}");
    }
}
