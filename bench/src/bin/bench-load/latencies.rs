//! Latencies, and their quantiles.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The start and the latency of each request.
#[derive(Default)]
pub struct Latencies(Vec<(Instant, Duration)>);

/// Length of the slices whose p99 is compared. A stall of the machine raises the p99 of one slice,
/// but that of a whole round.
const SLICE: Duration = Duration::from_millis(100);

impl Latencies {
    /// Adds a request that has its response now.
    pub fn push(&mut self, since: Instant) {
        self.0.push((since, since.elapsed()));
    }

    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn report(mut self) -> Value {
        let sliced = self.p99_of_slices();
        self.0.sort_by_key(|(_, latency)| *latency);
        let quantile = |thousandths| quantile(&self.0, thousandths);
        json!({
            "requests": self.0.len(), "p99_us_of_slices": sliced,
            "p50_us": quantile(500), "p99_us": quantile(990), "p999_us": quantile(999), "max_us": quantile(1000),
        })
    }

    /// The p99 in a typical slice: the median of the p99 of all slices.
    fn p99_of_slices(&mut self) -> Option<f64> {
        self.0.sort_by_key(|(since, _)| *since);
        let start = self.0.first()?.0;
        let slice_of = |since: Instant| since.duration_since(start).as_nanos() / SLICE.as_nanos();
        let slices = self.0.chunk_by_mut(|(a, _), (b, _)| slice_of(*a) == slice_of(*b));
        let mut found: Vec<_> = slices
            .filter_map(|slice| {
                slice.sort_by_key(|(_, latency)| *latency);
                quantile(slice, 990)
            })
            .collect();
        found.sort_by(f64::total_cmp);
        found.get(found.len() / 2).copied()
    }
}

/// The quantile in microseconds.
fn quantile(sorted: &[(Instant, Duration)], thousandths: usize) -> Option<f64> {
    let index = (sorted.len() * thousandths).div_ceil(1000).saturating_sub(1);
    sorted.get(index).map(|(_, latency)| latency.as_secs_f64() * 1e6)
}
