//! A compiler, with the wasmtime engine that runs its code.

use crate::compile::config::{CallModel, Compiler, EngineConfig};
use crate::component::adapt;
use crate::failure::error::LoadError;
use crate::scheduler::epoch_ticker::EpochTicker;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A compiler, with the wasmtime engine that runs its code.
pub(crate) struct Tier {
    pub wasmtime: wasmtime::Engine,
    /// Absent where the compiled code checks no limits.
    pub ticker: Option<Arc<EpochTicker>>,
    pub calls: CallModel,
    pub compiler: Compiler,
    /// Hash of everything that affects compiled code.
    pub hash: u64,
    /// Tells idle sandboxes that a request needs their room.
    pub room_needed: Arc<Notify>,
}

impl Tier {
    pub fn new(config: &EngineConfig, calls: CallModel, compiler: Compiler) -> Result<Arc<Self>, LoadError> {
        let wasmtime = config.engine(calls, compiler)?;
        let mut hasher = DefaultHasher::new();
        adapt::REVISION.hash(&mut hasher);
        wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        let ticker = config.checks_time.then(|| EpochTicker::new(&wasmtime, tick(config)));
        Ok(Arc::new(Tier { wasmtime, ticker, calls, compiler, hash: hasher.finish(), room_needed: Arc::default() }))
    }
}

/// Returns the period of ticks: short enough that a limit holds to a few percent, long enough to
/// cost nothing. A guest that computes while others wait yields as often.
fn tick(config: &EngineConfig) -> Duration {
    if config.is_service() {
        return Duration::from_micros(500);
    }
    (config.limits.cpu.min(config.limits.deadline) / 50).clamp(Duration::from_millis(1), Duration::from_millis(10))
}
