//! Cost of a fresh sandbox: started and dropped, with policy, limits and gate, as `serve` does for
//! a request.
//!
//! Prints nanoseconds per sandbox, one line per round. `cargo benchmarks start` runs it and writes
//! the table.

#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::time::Instant;
use walnut_engine::{ArtifactSource, Engine, EngineConfig, Gate, LocalArtifacts, Setup, Stdio, Tiers};
use walnut_policy::{Limits, Policy};

const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u32 = if std::env::args().any(|a| a == "--short") { 200 } else { 20_000 };
    let artifact = LocalArtifacts.load(&walnut_test_programs::RUST_P2_HTTP_HELLO.path().as_path().into())?;
    let limits = Limits::for_service();
    let config = EngineConfig { tiers: Tiers::Optimised, ..EngineConfig::service(limits.clone(), 100) };
    let engine = Engine::new(&config, None);
    let gate = Gate::new("bench", Policy::sealed(), Vec::new());
    let stdio = Stdio::Lines(std::sync::Arc::new(|_| {}));
    let ready = engine.prepare(&artifact, None)?.ready(Setup::new(gate, limits, stdio, false)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for round in 0..=ROUNDS {
            let start = Instant::now();
            for _ in 0..count {
                ready.start_and_drop().await?;
            }
            // The first round warms the pool.
            if round > 0 {
                println!("{}", start.elapsed().as_nanos() / u128::from(count));
            }
        }
        Ok(())
    })
}
