//! Makes a component of any WebAssembly.

use crate::component::adapter;
use crate::component::artifact::Artifact;
use crate::component::core_exports;
use crate::component::rewrite;
use crate::failure::error::{LoadError, MissingImport};
use std::borrow::Cow;
use std::collections::BTreeMap;
use walnut_policy::Printable;
use wasmparser::{Parser, Payload, TypeRef, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

/// Revision of the conversion from modules to components. Raise it with every change of the result:
/// the cache would otherwise keep code of the old one.
pub(crate) const REVISION: u32 = 11;

/// Largest number of imports of a target. Real programs have some hundreds.
const MAX_IMPORTS: usize = 20_000;

/// Remedy for a program that needs threads.
const NO_THREADS: &str = "build it without threads: for the target wasm32-wasip1 or wasm32-wasip2 instead of \
    wasm32-wasip1-threads, and C without `-pthread`";

/// Imports and exports of a core module.
#[derive(Debug, Default)]
pub(crate) struct CoreModule {
    /// Functions imported, by module.
    pub imports: BTreeMap<String, Vec<String>>,
    pub exports: Vec<String>,
    has_memory: bool,
    /// Imported memories that threads share, by module.
    shared: BTreeMap<String, String>,
}

impl CoreModule {
    pub fn is_command(&self) -> bool {
        self.names_start() || self.exports.iter().any(String::is_empty)
    }

    fn names_start(&self) -> bool {
        self.exports.iter().any(|e| e == "_start")
    }

    fn imports_wasi_0_1(&self) -> bool {
        self.imports.contains_key(adapter::NAME)
    }
}

/// Checks that the adapter has room for the arguments and variables of a program. It keeps the list
/// of them, and one string at a time, in a page of its own, and traps when that is full.
pub(crate) fn check_start(name: &str, args: &[String], env: &[(String, String)]) -> Result<(), LoadError> {
    const ROOM: usize = 56 << 10;
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let args_size = args.len() * 8 + longest(&mut args.iter().map(String::len));
    let env_size = env.len() * 16 + longest(&mut env.iter().map(|(name, value)| name.len() + value.len()));
    for (what, size) in [("arguments", args_size), ("variables", env_size)] {
        if size > ROOM {
            return Err(LoadError::Start { name: name.to_owned(), what, size: format!("{} KiB", size.div_ceil(1024)) });
        }
    }
    Ok(())
}

/// Returns the component that the artifact is, or becomes.
pub(crate) fn to_component(artifact: &Artifact) -> Result<Cow<'_, [u8]>, LoadError> {
    if artifact.is_component()? {
        reject(artifact, shared_memory(&artifact.bytes).into_iter().collect())?;
        return Ok(Cow::Borrowed(&artifact.bytes));
    }
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    validator.validate_all(&artifact.bytes).map_err(|e| artifact.invalid(&e))?;
    let module = read_module(artifact)?;
    reject_unknown_imports(artifact, &module)?;
    encode(artifact, &module).map(Cow::Owned)
}

/// Reads the imports and exports of a module.
pub(crate) fn read_module(artifact: &Artifact) -> Result<CoreModule, LoadError> {
    let mut module = CoreModule::default();
    let mut count = 0;
    for payload in Parser::new(0).parse_all(&artifact.bytes) {
        match payload.map_err(|e| artifact.invalid(&e))? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(|e| artifact.invalid(&e))?;
                    count += 1;
                    if count > MAX_IMPORTS {
                        let reason = format!("it has more than {MAX_IMPORTS} imports");
                        return Err(LoadError::Invalid { name: artifact.name.clone(), reason });
                    }
                    if matches!(import.ty, TypeRef::Memory(memory) if memory.shared) {
                        module.shared.insert(import.module.to_owned(), import.name.to_owned());
                    }
                    module.imports.entry(import.module.to_owned()).or_default().push(import.name.to_owned());
                }
            }
            Payload::MemorySection(section) => module.has_memory |= section.count() > 0,
            Payload::ExportSection(section) => {
                for export in section {
                    module.exports.push(export.map_err(|e| artifact.invalid(&e))?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(module)
}

fn reject_unknown_imports(artifact: &Artifact, module: &CoreModule) -> Result<(), LoadError> {
    let embedded = has_component_type(&artifact.bytes);
    let known = |name: &str| name == adapter::NAME || name == "__main_module__" || embedded;
    let unknown: Vec<_> = module
        .imports
        .iter()
        .filter(|(name, _)| !known(name))
        .map(|(name, functions)| explain(name, functions, module.shared.get(name)))
        .chain(shared_memory(&artifact.bytes))
        .collect();
    reject(artifact, unknown)
}

fn reject(artifact: &Artifact, imports: Vec<MissingImport>) -> Result<(), LoadError> {
    if imports.is_empty() { Ok(()) } else { Err(LoadError::MissingImports { name: artifact.name.clone(), imports }) }
}

/// Describes the problem with a module, or a component with one, that makes a memory for several
/// threads.
fn shared_memory(bytes: &[u8]) -> Option<MissingImport> {
    let is_shared = |payload: Payload<'_>| match payload {
        Payload::MemorySection(section) => section.into_iter().any(|memory| memory.is_ok_and(|memory| memory.shared)),
        _ => false,
    };
    let is_there = Parser::new(0).parse_all(bytes).any(|payload| payload.is_ok_and(is_shared));
    is_there.then(|| MissingImport {
        name: "shared memory".into(),
        problem: "which is for several threads; a sandbox has one".into(),
        hint: NO_THREADS.into(),
    })
}

/// Returns whether a componentizing toolchain left a description of the world in the module.
fn has_component_type(bytes: &[u8]) -> bool {
    let named =
        |payload: Payload<'_>| matches!(payload, Payload::CustomSection(s) if s.name().starts_with("component-type"));
    Parser::new(0).parse_all(bytes).any(|payload| payload.is_ok_and(named))
}

fn explain(module: &str, functions: &[String], shared: Option<&String>) -> MissingImport {
    let first = shared.or(functions.first()).map_or("", String::as_str);
    let (problem, hint) = match module {
        "wasi_unstable" => (
            "which is WASI of before 0.1",
            "build it with a toolchain of 2020 or later, for the target wasm32-wasip1 or wasm32-wasip2".to_owned(),
        ),
        "wasi" if first == "thread-spawn" => ("which is the withdrawn wasi-threads proposal", NO_THREADS.to_owned()),
        "env" if functions.iter().any(|f| f.starts_with("emscripten_") || f == "__syscall_openat") => (
            "which only the JavaScript that Emscripten writes beside the module provides",
            "build it for WASI: with wasi-sdk, or with Emscripten's `-sSTANDALONE_WASM`".to_owned(),
        ),
        _ if shared.is_some() => ("which is memory for several threads; a sandbox has one", NO_THREADS.to_owned()),
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
            format!(
                "provide `{}` at build time, or make it a component that imports an interface of that kind",
                Printable(module)
            ),
        ),
    };
    MissingImport { name: format!("{module}.{first}"), problem: problem.to_owned(), hint }
}

fn encode(artifact: &Artifact, module: &CoreModule) -> Result<Vec<u8>, LoadError> {
    let failed = |e: &dyn std::fmt::Display| LoadError::Invalid {
        name: artifact.name.clone(),
        reason: format!("it cannot be made a component: {}", crate::failure::error::parser_words(&e.to_string())),
    };
    let mut bytes = Cow::Borrowed(artifact.bytes.as_slice());
    if (!module.is_command() || module.imports.is_empty()) && !has_component_type(&bytes) {
        bytes = Cow::Owned(core_exports::describe(&bytes).map_err(|e| failed(&e))?);
    }
    if module.imports_wasi_0_1() || module.is_command() {
        bytes = Cow::Owned(rewrite::rewrite(&bytes, module.names_start(), module.has_memory).map_err(|e| failed(&e))?);
    }
    let mut encoder = ComponentEncoder::default()
        .validate(false)
        .module(&bytes)
        .map_err(|e| not_adapted(artifact, module, e.as_ref()))?;
    if module.imports_wasi_0_1() || module.is_command() {
        encoder = encoder
            .adapter(adapter::NAME, &adapter::module(module.is_command()))
            .map_err(|e| not_adapted(artifact, module, e.as_ref()))?;
    }
    encoder.encode().map_err(|e| not_adapted(artifact, module, e.as_ref()))
}

/// Explains why the adapter does not fit a module.
fn not_adapted(artifact: &Artifact, module: &CoreModule, error: &(dyn std::error::Error + 'static)) -> LoadError {
    let name = artifact.name.clone();
    let known = functions_of_0_1();
    let imported = module.imports.get(adapter::NAME);
    let unknown = imported.into_iter().flatten().filter(|f| !known.is_empty() && !known.contains(f));
    let unknown: Vec<_> = unknown.map(|function| unknown_function(function, &known)).collect();
    if !unknown.is_empty() {
        return LoadError::MissingImports { name, imports: unknown };
    }
    if !module.exports.iter().any(|e| e == "memory") {
        let reason = "it exports no `memory`, through which a program of WASI 0.1 talks to its host".into();
        return LoadError::Invalid { name, reason };
    }
    let innermost = std::iter::successors(Some(error), |e| e.source()).last().unwrap_or(error);
    let words = crate::failure::error::parser_words(&innermost.to_string());
    LoadError::Invalid { name, reason: format!("it cannot be made a component: {words}") }
}

fn unknown_function(function: &str, known: &[String]) -> MissingImport {
    let nearest = known.iter().map(|k| (strsim::jaro_winkler(k, function), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((similarity, name)) if similarity > 0.9 => format!("did you mean `{name}`?"),
        _ => "build it for the target wasm32-wasip1, or as a component of WASI 0.2 or 0.3".into(),
    };
    MissingImport {
        name: format!("{}.{function}", adapter::NAME),
        problem: "which is no function of WASI 0.1".into(),
        hint,
    }
}

/// Returns the functions that the adapter exports.
fn functions_of_0_1() -> Vec<String> {
    let bytes = adapter::module(true).into_owned();
    let adapter = Artifact::binary("", crate::component::artifact::Digest::of(&[]), bytes);
    let exports = read_module(&adapter).map(|module| module.exports).unwrap_or_default();
    exports.into_iter().filter(|e| !e.contains([':', '#'])).collect()
}
