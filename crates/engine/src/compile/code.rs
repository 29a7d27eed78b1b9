//! Compiled code, linked with the host's functions.

use crate::compile::tier::Tier;
use crate::component::artifact::Artifact;
use crate::component::imports;
use crate::component::wasi::{Package, WASI_0_2, WASI_0_3};
use crate::component::world::{World, worlds};
use crate::failure::error::LoadError;
use crate::linker;
use crate::sandbox::sandbox::Sandbox;
use std::sync::Arc;
use wasmtime::ResourcesRequired;
use wasmtime::component::{Component, InstancePre};

/// The code of a component, linked with the host's functions. Everybody who runs the same bytes on
/// the same tier shares it. The rights and limits of each component are in its
/// [`Setup`](crate::sandbox::setup::Setup), which host functions find in the sandbox.
pub(crate) struct LinkedCode {
    pub tier: Arc<Tier>,
    pub pre: InstancePre<Sandbox>,
    pub worlds: Vec<World>,
    /// Whether it was a module of WASI 0.1.
    pub adapted: bool,
    /// Resources that it needs from the start, as far as they are known.
    pub needs: Option<ResourcesRequired>,
    /// Version of WASI that the component imports.
    pub version: &'static str,
}

impl LinkedCode {
    /// Checks that all imports of `component` are provided, and links it.
    pub fn new(tier: &Arc<Tier>, component: &Component, artifact: &Artifact) -> Result<Self, LoadError> {
        let (engine, ty) = (&tier.wasmtime, component.component_type());
        let imports = || ty.imports(engine).map(|(name, _)| name);
        let missing: Vec<_> = imports().filter_map(imports::missing).collect();
        if !missing.is_empty() {
            return Err(LoadError::MissingImports { name: artifact.name.clone(), imports: missing });
        }
        let linker = linker::linker(engine, imports()).map_err(|e| LoadError::Engine(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(component).map_err(|e| LoadError::WrongWorld {
            name: artifact.name.clone(),
            verb: "linked",
            reason: format!("{:#}", e),
            hint: "it was built for another version of an interface; rebuild it with a toolchain for WASI 0.2 or the final 0.3".into(),
        })?;
        let is_0_3 = |name| Package::of(name).is_some_and(|p| p.version == WASI_0_3);
        Ok(LinkedCode {
            tier: tier.clone(),
            pre,
            worlds: worlds(ty.exports(engine).map(|(name, _)| name)),
            adapted: !artifact.is_component()?,
            needs: component.resources_required(),
            version: if imports().any(is_0_3) { WASI_0_3 } else { WASI_0_2 },
        })
    }
}
