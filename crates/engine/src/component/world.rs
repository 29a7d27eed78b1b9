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
    let world = |name: &str| match name.split_once('@').filter(|(_, version)| !version.contains('-')) {
        Some(("wasi:cli/run", v)) if v.starts_with("0.2.") => Some(World::Command0_2),
        Some(("wasi:cli/run", v)) if v.starts_with("0.3.") => Some(World::Command0_3),
        Some(("wasi:http/incoming-handler", v)) if v.starts_with("0.2.") => Some(World::Service0_2),
        Some(("wasi:http/handler", v)) if v.starts_with("0.3.") => Some(World::Service0_3),
        _ => None,
    };
    exports.filter_map(world).collect()
}

/// Returns the first export that starts a world of a draft of WASI, which a final version has
/// replaced.
pub(crate) fn draft<'a>(mut exports: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const STARTS: [&str; 3] = ["wasi:cli/run", "wasi:http/incoming-handler", "wasi:http/handler"];
    exports.find(|name| {
        name.split_once('@').is_some_and(|(name, version)| STARTS.contains(&name) && version.contains('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_are_no_worlds() {
        let of = |export: &str| (worlds([export].into_iter()), draft([export].into_iter()).is_some());
        assert_eq!(of("wasi:cli/run@0.2.6"), (vec![World::Command0_2], false));
        assert_eq!(of("wasi:cli/run@0.2.0-rc-2023-12-05"), (Vec::new(), true));
        assert_eq!(of("wasi:cli/run@0.3.0-rc-2026-03-15"), (Vec::new(), true));
        assert_eq!(of("wasi:http/handler@0.3.0-draft"), (Vec::new(), true));
        assert_eq!(of("acme:cli/run@0.3.0-rc-1"), (Vec::new(), false));
    }
}
