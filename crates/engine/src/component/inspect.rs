//! `inspect`: describes an artifact from its bytes, without running or compiling it.

use crate::component::adapt;
use crate::component::artifact::Artifact;
use crate::component::imports;
use crate::component::wasi::Package;
use crate::component::world::{World, worlds};
use crate::failure::error::LoadError;
use serde::Serialize;
use std::collections::BTreeMap;
use wasmparser::{Parser, Payload};
use wit_parser::WorldKey;

/// Description of an artifact. Its JSON form is versioned: fields may be added; the existing ones
/// keep their meaning.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Version of the JSON form: 1.
    pub v: u32,
    /// The target, as typed.
    pub name: String,
    /// SHA-256 digest of the bytes as they were read: `sha256:…`.
    pub digest: String,
    /// Module or component.
    pub kind: ArtifactKind,
    /// Versions of WASI that it uses, such as `0.2.6`.
    pub wasi: Vec<String>,
    /// World that it was built for, such as `wasi:http/proxy`, if Walnut knows it.
    pub world: Option<&'static str>,
    /// Command that starts it.
    pub verb: Verb,
    /// Capabilities that it can ask for.
    pub capabilities: Vec<CapabilityUse>,
    /// Imports that give no authority: clocks, random numbers, streams.
    pub harmless_imports: Vec<String>,
    /// Imports that nothing provides, each with its problem.
    pub missing_imports: Vec<String>,
    /// Its exports.
    pub exports: Vec<String>,
    /// The `producers` sections: `language`, `processed-by` and `sdk`, each with names and
    /// versions.
    pub producers: BTreeMap<String, BTreeMap<String, String>>,
    /// Size in bytes.
    pub size: usize,
    /// Size of each part, in bytes.
    pub parts: BTreeMap<&'static str, usize>,
    /// Number of core modules inside.
    pub modules: usize,
    /// Number of components inside.
    pub components: usize,
}

/// Kind of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A core module, which becomes a component when it is loaded.
    Module,
    /// A component.
    Component,
}

/// Command that starts an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// `walnut run`.
    Run,
    /// `walnut serve`.
    Serve,
    /// `walnut call`.
    Call,
}

/// A capability that an artifact can ask for.
#[derive(Clone, Debug, Serialize)]
pub struct CapabilityUse {
    /// Name of the capability.
    pub capability: &'static str,
    /// Imports through which it can ask.
    pub imports: Vec<String>,
}

impl Inspection {
    /// Describes `artifact`.
    ///
    /// # Errors
    /// Bytes that are not valid WebAssembly.
    pub fn of(artifact: &Artifact) -> Result<Self, LoadError> {
        let kind = if artifact.is_component()? { ArtifactKind::Component } else { ArtifactKind::Module };
        let outline = Outline::read(artifact)?;
        let (imports, exports, missing) = match kind {
            ArtifactKind::Component => {
                let missing: Vec<_> = outline.imports.iter().filter_map(|i| imports::missing(i)).collect();
                (outline.imports.clone(), outline.exports.clone(), missing)
            }
            ArtifactKind::Module => module_view(artifact)?,
        };
        let found = worlds(exports.iter().map(String::as_str));
        let missing_imports: Vec<_> = missing.iter().map(|m| format!("{}, {}", m.name, m.problem)).collect();
        let (capabilities, harmless) = group(imports.iter().filter(|i| missing.iter().all(|m| m.name != **i)));
        Ok(Inspection {
            v: 1,
            name: artifact.name.clone(),
            digest: artifact.sha256().to_owned(),
            kind,
            wasi: wasi_versions(kind, &imports, &exports),
            world: found.first().map(|w| w.name()),
            verb: verb(&found),
            capabilities,
            harmless_imports: harmless,
            missing_imports,
            exports,
            producers: outline.producers,
            size: artifact.size(),
            parts: outline.parts,
            modules: outline.modules,
            components: outline.components,
        })
    }

    /// Returns the world as WIT text.
    ///
    /// # Errors
    /// Bytes that are not valid WebAssembly, or whose world cannot be written as WIT.
    pub fn wit(artifact: &Artifact) -> Result<String, LoadError> {
        let failed = |e: &dyn std::fmt::Display| LoadError::Invalid {
            name: artifact.name.clone(),
            reason: format!("its WIT cannot be told: {}", crate::failure::error::parser_words(&e.to_string())),
        };
        let bytes = adapt::to_component(artifact)?;
        let mut decoded = wit_component::decode(&bytes).map_err(|e| failed(&format!("{e:#}")))?;
        if let wit_component::DecodedWasm::Component(resolve, world) = &mut decoded {
            resolve.worlds[*world]
                .exports
                .retain(|key, _| *key != WorldKey::Name(crate::component::memory_layout::EXPORT.into()));
        }
        let mut printer = wit_component::WitPrinter::default();
        let others: Vec<_> =
            decoded.resolve().packages.iter().map(|(id, _)| id).filter(|id| *id != decoded.package()).collect();
        printer.print(decoded.resolve(), decoded.package(), &others).map_err(|e| failed(&format!("{e:#}")))?;
        Ok(printer.output.to_string())
    }
}

/// Export of an adapted module that has a start function.
const COMMAND: &str = "wasi:cli/run@0.2.12";

type ModuleView = (Vec<String>, Vec<String>, Vec<crate::failure::error::MissingImport>);

/// Returns the imports and exports that a module has once it is adapted.
fn module_view(artifact: &Artifact) -> Result<ModuleView, LoadError> {
    match adapt::to_component(artifact) {
        Ok(bytes) => {
            let adapted = Artifact::binary(&artifact.name, artifact.digest, bytes.into_owned());
            let outline = Outline::read(&adapted)?;
            let own = |name: &String| name != crate::component::memory_layout::EXPORT;
            Ok((outline.imports, outline.exports.into_iter().filter(own).collect(), Vec::new()))
        }
        Err(LoadError::MissingImports { imports, .. }) => {
            let module = adapt::read_module(artifact)?;
            let names = module
                .imports
                .iter()
                .map(|(m, functions)| format!("{m}.{}", functions.first().map_or("", String::as_str)))
                .collect();
            let exports = if module.is_command() { vec![COMMAND.into()] } else { module.exports };
            Ok((names, exports, imports))
        }
        Err(e) => Err(e),
    }
}

fn group<'a>(imports: impl Iterator<Item = &'a String>) -> (Vec<CapabilityUse>, Vec<String>) {
    let mut uses: Vec<CapabilityUse> = Vec::new();
    let mut harmless = Vec::new();
    for import in imports {
        let capabilities = Package::capabilities_of(import);
        if capabilities.is_empty() {
            harmless.push(import.clone());
        }
        for capability in capabilities {
            match uses.iter_mut().find(|u| u.capability == capability.name()) {
                Some(found) => found.imports.push(import.clone()),
                None => uses.push(CapabilityUse { capability: capability.name(), imports: vec![import.clone()] }),
            }
        }
    }
    let order = |word: &str| walnut_policy::Capability::ALL.iter().position(|c| c.name() == word);
    uses.sort_by_key(|u| order(u.capability));
    (uses, harmless)
}

fn wasi_versions(kind: ArtifactKind, imports: &[String], exports: &[String]) -> Vec<String> {
    if kind == ArtifactKind::Module {
        return if imports.is_empty() { Vec::new() } else { vec!["0.1".into()] };
    }
    let versions = imports
        .iter()
        .chain(exports)
        .filter_map(|name| name.strip_prefix("wasi:")?.split_once('@').map(|(_, v)| v.to_owned()));
    versions.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn verb(worlds: &[World]) -> Verb {
    if worlds.iter().any(World::is_service) {
        Verb::Serve
    } else if worlds.is_empty() {
        Verb::Call
    } else {
        Verb::Run
    }
}

/// Imports and exports of a component, and the sizes of its parts.
#[derive(Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
    producers: BTreeMap<String, BTreeMap<String, String>>,
    parts: BTreeMap<&'static str, usize>,
    modules: usize,
    components: usize,
}

impl Outline {
    fn read(artifact: &Artifact) -> Result<Self, LoadError> {
        let invalid = |e: wasmparser::BinaryReaderError| artifact.invalid(&e);
        let mut outline = Outline::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(&artifact.bytes) {
            let payload = payload.map_err(invalid)?;
            outline.count(&payload);
            match payload {
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    outline.modules += 1;
                }
                Payload::ComponentSection { .. } => {
                    depth += 1;
                    outline.components += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        outline.imports.push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        outline.exports.push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) if section.name() == "producers" => {
                    outline.add_producers(section.data(), section.data_offset());
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    fn count(&mut self, payload: &Payload<'_>) {
        let part = match payload {
            Payload::CodeSectionStart { .. } => "code",
            Payload::DataSection(_) => "data",
            Payload::CustomSection(s) if s.name().starts_with(".debug") => "debug information",
            Payload::CustomSection(s) if s.name() == "name" => "names",
            Payload::CustomSection(_) => "other custom sections",
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } | Payload::CodeSectionEntry(_) => return,
            _ => "types and tables",
        };
        let range = match payload {
            Payload::CodeSectionStart { range, .. } => Some(range.clone()),
            other => other.as_section().map(|(_, range)| range),
        };
        if let Some(range) = range {
            *self.parts.entry(part).or_default() += range.len();
        }
    }

    fn add_producers(&mut self, data: &[u8], offset: usize) {
        // Producers are notes for people; a damaged section is no reason to fail.
        let Ok(producers) = wasm_metadata::Producers::from_bytes(data, offset) else { return };
        for (field, values) in producers.iter() {
            let known = self.producers.entry(field.clone()).or_default();
            for (name, version) in values.iter() {
                known.insert(name.clone(), version.clone());
            }
        }
    }
}
