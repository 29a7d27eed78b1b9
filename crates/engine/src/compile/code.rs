//! Compiled code, linked with the host's functions.

use crate::compile::tier::Tier;
use crate::component::artifact::Artifact;
use crate::component::imports;
use crate::component::wasi::{Package, WASI_0_2, WASI_0_3};
use crate::component::world::{World, draft, worlds};
use crate::failure::error::LoadError;
use crate::failure::frames::GuestFrame;
use crate::failure::source_lines::SourceLines;
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
    /// Export of a draft of WASI that could start it.
    pub draft: Option<String>,
    /// Whether it was a module of WASI 0.1.
    pub adapted: bool,
    /// Resources that it needs from the start, as far as they are known.
    pub needs: Option<ResourcesRequired>,
    /// Version of WASI that the component imports.
    pub version: &'static str,
}

impl LinkedCode {
    /// Returns the compiled code.
    pub fn text(&self) -> &[u8] {
        self.pre.component().text()
    }

    /// Returns the functions at these offsets of the compiled code, with their lines in the source
    /// of `artifact`. Offsets of trampolines are left out.
    pub fn frames(&self, offsets: &[usize], artifact: &[u8]) -> Vec<GuestFrame> {
        let component = self.pre.component();
        let functions: Vec<_> = component.functions().collect();
        let instructions: Vec<_> = component.address_map().into_iter().flatten().collect();
        let lines = SourceLines::of(artifact);
        let frame = |offset: &usize| {
            let function = functions.iter().find(|f| (f.offset..f.offset + f.len).contains(offset))?;
            let next = instructions.partition_point(|(start, _)| start <= offset);
            let (_, place) = instructions.get(next.checked_sub(1)?)?;
            let line = place.and_then(|place| lines.find(usize::try_from(place).ok()?));
            Some(GuestFrame::new(function.name.as_deref(), function.index.as_u32(), line))
        };
        offsets.iter().filter_map(frame).collect()
    }

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
            draft: draft(ty.exports(engine).map(|(name, _)| name)).map(str::to_owned),
            adapted: !artifact.is_component()?,
            needs: component.resources_required(),
            version: if imports().any(is_0_3) { WASI_0_3 } else { WASI_0_2 },
        })
    }
}
