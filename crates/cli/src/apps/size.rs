//! What an engine must have room for, so that apps fit into it.

use super::Described;
use walnut_engine::{EngineConfig, Limits, Tiers};

/// Sandboxes that an engine has room for where components may have more in sum: the address space has room for four engines
/// of so many, and the node's bound on requests is far below.
const ROOM: u32 = 3_000;

/// What an engine must have room for.
#[derive(PartialEq, Eq)]
pub struct Size {
    pub engine: EngineConfig,
    /// How many sandboxes each component may have.
    places: Vec<(String, u32)>,
}

impl Size {
    /// Room for the sandboxes of all of them, of which no more than `at_once` have requests.
    pub fn of(apps: &[Described], tiers: Tiers, at_once: u32) -> Self {
        let components = || apps.iter().flat_map(|app| &app.components);
        let mut limits = Limits::for_service();
        limits.memory = components().map(|c| c.limits.memory).max().unwrap_or(limits.memory);
        limits.stack = components().map(|c| c.limits.stack).max().unwrap_or(limits.stack);
        limits.cpu = components().map(|c| c.limits.cpu).min().unwrap_or(limits.cpu);
        limits.deadline = components().map(|c| c.limits.deadline).min().unwrap_or(limits.deadline);
        let places: Vec<_> = components().map(|c| (c.title.clone(), c.admission.sandboxes)).collect();
        let sum = places.iter().fold(0_u32, |sum, (_, sandboxes)| sum.saturating_add(*sandboxes));
        let most = places.iter().map(|(_, sandboxes)| *sandboxes).max().unwrap_or(0);
        // More than have requests: a sandbox that idles has its place in the pool all the same.
        let sandboxes = sum.min(ROOM.max(at_once).max(most));
        Size { engine: EngineConfig { tiers, ..EngineConfig::service(limits, sandboxes) }, places }
    }
}
