//! Results of open-loop load at a fixed rate.

use super::stats::ratio;
use crate::stats::Spread;
use serde_json::Value;

/// Reports of our own generator, one for each round.
#[derive(Default)]
pub struct FixedRateRuns(pub Vec<Value>);

/// The heads of the columns of [`FixedRateRuns::p99_against`].
pub const P99_COLUMNS: &str = "p99 | × | p99 in a typical 0.1 s | ×";

impl FixedRateRuns {
    /// In microseconds. Rounds without a response have no latency.
    fn spread(&self, key: &str) -> Option<Spread> {
        let found: Vec<_> = self.0.iter().filter_map(|round| round[key].as_f64()).collect();
        (!found.is_empty()).then(|| Spread::of(&found))
    }

    pub fn show(&self, key: &str) -> String {
        self.spread(key).map_or_else(|| "–".to_owned(), |spread| spread.show(1e-3, 2, " ms"))
    }

    /// Writes the p99 of whole rounds and of a typical tenth of a second, each with its ratio to
    /// that of `other`.
    pub fn p99_against(&self, other: &Self) -> String {
        let columns = ["p99_us", "p99_us_of_slices"].map(|key| {
            let compared = || Some(self.spread(key)?.median / other.spread(key)?.median);
            format!("{} | {}", self.show(key), ratio(compared()))
        });
        columns.join(" | ")
    }

    fn sum(&self, key: &str) -> u64 {
        self.0.iter().filter_map(|round| round[key].as_u64()).sum()
    }

    /// Writes how many requests had no response, had a wrong one, and were not sent.
    pub fn show_failures(&self) -> String {
        ["errors", "wrong", "unsent"].map(|key| self.sum(key).to_string()).join(" / ")
    }

    /// Unsent requests are not failures of the server: the machine may have been busy.
    pub fn failures(&self) -> u64 {
        self.sum("errors") + self.sum("wrong")
    }
}
