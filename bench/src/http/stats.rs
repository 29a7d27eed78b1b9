//! Ratios and spreads of samples.

use super::sample::LoadSample;
use crate::stats::Spread;

pub fn spread(samples: &[LoadSample], value: impl Fn(&LoadSample) -> f64) -> Spread {
    Spread::of(&samples.iter().map(value).collect::<Vec<_>>())
}

/// Writes a ratio with two digits, or a dash when there is no peer.
pub fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}
