//! Errors of the benchmarks.

use std::error::Error;

/// The result of a step. An error ends the benchmark with its text.
pub type BenchResult<T = ()> = Result<T, Box<dyn Error>>;
