//! From any WebAssembly to a component, so that there is one path from here on.

use crate::artifact::Artifact;
use crate::core_export;
use crate::error::{LoadError, MissingImport};
use crate::rewrite;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

/// Counts the ways in which modules have been made components. Raise it with every change to that, or the cache goes on
/// giving out what was made the old way.
pub(crate) const REVISION: u32 = 4;

/// The most imports that a target may have at its outside. Real programs have some hundreds.
const MOST_IMPORTS: usize = 20_000;

/// What the bytes of a core module say about it.
#[derive(Debug, Default)]
pub(crate) struct CoreModule {
    /// Functions imported, by module.
    pub imports: BTreeMap<String, Vec<String>>,
    pub exports: Vec<String>,
}

impl CoreModule {
    pub fn is_command(&self) -> bool {
        self.names_start() || self.exports.iter().any(String::is_empty)
    }

    fn names_start(&self) -> bool {
        self.exports.iter().any(|e| e == "_start")
    }

    fn imports_wasi_0_1(&self) -> bool {
        self.imports.contains_key(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
    }
}

/// Whether the bytes are a component rather than a core module. Fails on what is neither.
pub(crate) fn is_component(artifact: &Artifact) -> Result<bool, LoadError> {
    match Parser::new(0).parse_all(&artifact.bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Component),
        Some(Err(e)) => Err(invalid(artifact, &e)),
        _ => Err(LoadError::Invalid { name: artifact.name.clone(), reason: "it has no WebAssembly header".into() }),
    }
}

/// The component that these bytes are, or that they become.
pub(crate) fn to_component(artifact: &Artifact) -> Result<Cow<'_, [u8]>, LoadError> {
    if is_component(artifact)? {
        return Ok(Cow::Borrowed(&artifact.bytes));
    }
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    validator.validate_all(&artifact.bytes).map_err(|e| invalid(artifact, &e))?;
    let module = read_module(artifact)?;
    reject_unknown_imports(artifact, &module)?;
    encode(artifact, &module).map(Cow::Owned)
}

/// Reads a module's imports and exports.
pub(crate) fn read_module(artifact: &Artifact) -> Result<CoreModule, LoadError> {
    let mut module = CoreModule::default();
    let mut count = 0;
    for payload in Parser::new(0).parse_all(&artifact.bytes) {
        match payload.map_err(|e| invalid(artifact, &e))? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(|e| invalid(artifact, &e))?;
                    count += 1;
                    if count > MOST_IMPORTS {
                        let reason = format!("it has more than {MOST_IMPORTS} imports");
                        return Err(LoadError::Invalid { name: artifact.name.clone(), reason });
                    }
                    module.imports.entry(import.module.to_owned()).or_default().push(import.name.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    module.exports.push(export.map_err(|e| invalid(artifact, &e))?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(module)
}

/// An error of the parser, without the offsets that help nobody who did not write the bytes.
pub(crate) fn invalid(artifact: &Artifact, error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid { name: artifact.name.clone(), reason: crate::error::parser_words(error.message()) }
}

fn reject_unknown_imports(artifact: &Artifact, module: &CoreModule) -> Result<(), LoadError> {
    let embedded = has_component_type(&artifact.bytes);
    let known =
        |name: &str| name == adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME || name == "__main_module__" || embedded;
    let unknown: Vec<_> = module
        .imports
        .iter()
        .filter(|(name, _)| !known(name))
        .map(|(name, functions)| explain(name, functions))
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(LoadError::MissingImports { name: artifact.name.clone(), imports: unknown })
    }
}

/// Whether a componentizing toolchain left a description of the world in the module.
fn has_component_type(bytes: &[u8]) -> bool {
    let named =
        |payload: Payload<'_>| matches!(payload, Payload::CustomSection(s) if s.name().starts_with("component-type"));
    Parser::new(0).parse_all(bytes).any(|payload| payload.is_ok_and(named))
}

fn explain(module: &str, functions: &[String]) -> MissingImport {
    let first = functions.first().map_or("", String::as_str);
    let (problem, hint) = match module {
        "wasi_unstable" => (
            "which is WASI of before 0.1",
            "build it with a toolchain of 2020 or later, for the target wasm32-wasip1 or wasm32-wasip2".to_owned(),
        ),
        "wasi" if first == "thread-spawn" => (
            "which is the withdrawn wasi-threads proposal",
            "build it without threads, for the target wasm32-wasip1".to_owned(),
        ),
        "env" if functions.iter().any(|f| f.starts_with("emscripten_") || f == "__syscall_openat") => (
            "which only the JavaScript that Emscripten writes beside the module provides",
            "build it for WASI: with wasi-sdk, or with Emscripten's `-sSTANDALONE_WASM`".to_owned(),
        ),
        m if m.starts_with("__wbindgen") || m.ends_with("_bg.js") || m == "wbg" => (
            "which only JavaScript that wasm-bindgen writes provides: it was built for a browser",
            "build it for the target wasm32-wasip2 instead of wasm32-unknown-unknown".to_owned(),
        ),
        "go" | "gojs" => (
            "which only Go's JavaScript support provides",
            "build it with `GOOS=wasip1 GOARCH=wasm go build`".to_owned(),
        ),
        _ => (
            "and modules can only import WASI 0.1 (`wasi_snapshot_preview1`)",
            format!("provide `{module}` at build time, or make it a component that imports an interface of that kind"),
        ),
    };
    MissingImport { name: format!("{module}.{first}"), problem: problem.to_owned(), hint }
}

fn encode(artifact: &Artifact, module: &CoreModule) -> Result<Vec<u8>, LoadError> {
    let failed = |e: &dyn std::fmt::Display| LoadError::Invalid {
        name: artifact.name.clone(),
        reason: format!("it cannot be made a component: {e}"),
    };
    let mut bytes = Cow::Borrowed(artifact.bytes.as_slice());
    if !module.is_command() && !has_component_type(&bytes) {
        bytes = Cow::Owned(core_export::describe(&bytes).map_err(|e| failed(&e))?);
    }
    if module.imports_wasi_0_1() {
        bytes = Cow::Owned(rewrite::rewrite(&bytes, module.names_start()).map_err(|e| failed(&e))?);
    }
    let mut encoder =
        ComponentEncoder::default().validate(false).module(&bytes).map_err(|e| failed(&format!("{e:#}")))?;
    if module.imports_wasi_0_1() || module.is_command() {
        let kind = if module.is_command() {
            adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
        } else {
            adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
        };
        encoder = encoder
            .adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, kind)
            .map_err(|e| failed(&format!("{e:#}")))?;
    }
    encoder.encode().map_err(|e| failed(&format!("{e:#}")))
}
