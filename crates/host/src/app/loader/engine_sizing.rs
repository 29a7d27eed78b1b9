//! Sizing of an engine: the room that a set of apps needs in its pools.

use crate::app::loader::context::LoaderConfig;
use crate::app::loader::draft::AppDraft;
use walnut_engine::EngineConfig;
use walnut_policy::Limits;

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
        EngineSizing {
            engine: EngineConfig {
                tiers: config.tiers,
                worker: config.worker.clone(),
                ..EngineConfig::service(limits, pool)
            },
            sandboxes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::loader::component::ComponentDraft;
    use crate::app::loader::context::ComponentDefaults;
    use crate::app::loader::diagnostics::Diagnostics;
    use std::time::Duration;
    use walnut_engine::Artifact;
    use walnut_manifest::SourceSpan;
    use walnut_policy::Policy;

    fn app(components: &[(u32, u64)]) -> AppDraft {
        let ComponentDefaults { limits, admission, reuse } = LoaderConfig::default().defaults;
        let artifact = Artifact::from_bytes("a.wat", b"(module)".to_vec()).unwrap();
        let component = |(at, (sandboxes, memory)): (usize, &(u32, u64))| {
            let (mut limits, mut admission) = (limits.clone(), admission);
            (admission.sandboxes, limits.memory, limits.cpu) =
                (*sandboxes, *memory, Duration::from_secs(1 + at as u64));
            let (name, place, policy) = (at.to_string(), SourceSpan::default(), Policy::sealed());
            let title = format!("app/{name}");
            ComponentDraft { name, title, place, artifact: artifact.clone(), policy, limits, admission, reuse }
        };
        let components = components.iter().enumerate().map(component).collect();
        let (place, name, text) = ("app".to_owned(), "app".to_owned(), String::new());
        let (routes, diagnostics) = (Vec::new(), Diagnostics::default());
        AppDraft { place, name, has_manifest: true, components, routes, text, diagnostics }
    }

    fn sizing(components: &[(u32, u64)]) -> EngineSizing {
        EngineSizing::of(&[app(components)], &LoaderConfig::default())
    }

    #[test]
    fn an_engine_has_room_for_the_largest_and_is_as_exact_as_the_shortest() {
        let mut limits = Limits::for_service();
        (limits.memory, limits.cpu) = (2 << 20, Duration::from_secs(1));
        let expected = EngineConfig { tiers: LoaderConfig::default().tiers, ..EngineConfig::service(limits, 30) };
        assert!(sizing(&[(10, 1 << 20), (20, 2 << 20)]).engine == expected);
    }

    #[test]
    fn many_components_share_the_room_that_there_is() {
        let pool = |components: &[(u32, u64)]| sizing(components).engine.clone();
        assert!(pool(&[(2_000, 1 << 20); 2]) == pool(&[(2_500, 1 << 20); 2]), "both have the maximum");
        assert!(pool(&[(1_000, 1 << 20); 2]) != pool(&[(1_200, 1 << 20); 2]), "each has its own sum");
    }

    #[test]
    fn an_engine_is_used_again_only_for_the_same_components() {
        let size = [(10, 1 << 20), (20, 1 << 20)];
        assert!(sizing(&size) == sizing(&size));
        assert!(
            sizing(&size) != sizing(&[(20, 1 << 20), (10, 1 << 20)]),
            "the sum is the same, the components are not"
        );
    }
}
