//! Worlds that Walnut can start.

/// A world that Walnut can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    Command0_2,
    Command0_3,
    Service0_2,
    Service0_3,
}

impl World {
    pub fn is_service(&self) -> bool {
        matches!(self, World::Service0_2 | World::Service0_3)
    }

    /// Returns the name of the world, without its version.
    pub fn name(self) -> &'static str {
        match self {
            World::Command0_2 | World::Command0_3 => "wasi:cli/command",
            World::Service0_2 => "wasi:http/proxy",
            World::Service0_3 => "wasi:http/service",
        }
    }
}

/// Returns the worlds that these exports implement.
pub(crate) fn worlds<'a>(exports: impl Iterator<Item = &'a str>) -> Vec<World> {
    let world = |name: &str| match name.split_once('@') {
        Some(("wasi:cli/run", v)) if v.starts_with("0.2.") => Some(World::Command0_2),
        Some(("wasi:cli/run", v)) if v.starts_with("0.3.") => Some(World::Command0_3),
        Some(("wasi:http/incoming-handler", v)) if v.starts_with("0.2.") => Some(World::Service0_2),
        Some(("wasi:http/handler", v)) if v.starts_with("0.3.") => Some(World::Service0_3),
        _ => None,
    };
    exports.filter_map(world).collect()
}
