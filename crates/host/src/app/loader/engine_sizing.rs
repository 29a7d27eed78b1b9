//! Sizing of an engine: the room that a set of apps needs in its pools.

use crate::app::loader::context::LoaderConfig;
use crate::app::loader::draft::AppDraft;
use walnut_engine::{EngineConfig, Limits};

/// Sandboxes that an engine has room for when its components may have more in total. The address
/// space holds four engines of this size, and the node admits far fewer requests.
const MAX_POOL: u32 = 3_000;

/// Size of an engine. An engine of the same size can be used by the next version of the apps.
#[derive(PartialEq, Eq)]
pub(crate) struct EngineSizing {
    pub engine: EngineConfig,
    /// Sandboxes of each component, by its title.
    sandboxes: Vec<(String, u32)>,
}

impl EngineSizing {
    /// Computes the size for all components of `apps`.
    pub(crate) fn of(apps: &[AppDraft], config: &LoaderConfig) -> Self {
        let components = || apps.iter().flat_map(|app| &app.components);
        let mut limits = Limits::for_service();
        limits.memory = components().map(|c| c.limits.memory).max().unwrap_or(limits.memory);
        limits.stack = components().map(|c| c.limits.stack).max().unwrap_or(limits.stack);
        limits.cpu = components().map(|c| c.limits.cpu).min().unwrap_or(limits.cpu);
        limits.deadline = components().map(|c| c.limits.deadline).min().unwrap_or(limits.deadline);
        let sandboxes: Vec<_> = components().map(|c| (c.title.clone(), c.admission.sandboxes)).collect();
        let total = sandboxes.iter().fold(0_u32, |total, (_, count)| total.saturating_add(*count));
        let largest = sandboxes.iter().map(|(_, count)| *count).max().unwrap_or(0);
        // More than have requests: an idle sandbox occupies its slot of the pool, too.
        let pool = total.min(MAX_POOL.max(config.node_sandboxes).max(largest));
        EngineSizing { engine: EngineConfig { tiers: config.tiers, ..EngineConfig::service(limits, pool) }, sandboxes }
    }
}
