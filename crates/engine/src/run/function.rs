//! `call`: an exported function, with arguments and results in WAVE (the WebAssembly Value
//! Encoding).

use crate::compile::prepared::Ready;
use crate::failure::error::{Failure, LoadError};
use crate::failure::explain;
use crate::run::supervise::supervise;
use crate::sandbox::sandbox::Sandbox;
use crate::scheduler::meter::Metered;
use std::time::Instant;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::{DisplayFuncResults, DisplayType, WasmFunc};
use wasmtime::component::{Component, ComponentExportIndex, Val};

/// Longest call that is read, in bytes.
const MAX_CALL: usize = 1 << 20;

/// A call as typed, before its function is looked up.
#[derive(Debug, PartialEq, Eq)]
pub struct WrittenCall<'a> {
    /// Name of the function, in full or as short as it is unambiguous.
    pub name: &'a str,
    /// Arguments in WAVE, as a call of a function `f`.
    pub arguments: String,
}

/// Parses `function(arguments)`. The arguments are read once the function's types are known.
///
/// # Errors
/// A text that is not a call.
pub fn parse_call(call: &str) -> Result<WrittenCall<'_>, LoadError> {
    if call.len() > MAX_CALL {
        return Err(LoadError::Call(format!("the call is longer than {MAX_CALL} bytes")));
    }
    let (name, arguments) = split_call(call).ok_or_else(|| {
        LoadError::Call(format!(
            "`{call}` is not a call; write `function(arguments)`, for example `add(1, 2)` or `greet(\"Ann\")`"
        ))
    })?;
    Ok(WrittenCall { name, arguments })
}

/// An exported function.
struct Export {
    /// The instance that exports it, such as `acme:shapes/shapes@1.0.0`; empty for an export of the
    /// component itself.
    instance: String,
    name: String,
    ty: ComponentFunc,
    index: ComponentExportIndex,
}

impl Export {
    fn full_name(&self) -> String {
        if self.instance.is_empty() { self.name.clone() } else { format!("{}.{}", self.instance, self.name) }
    }

    /// Returns whether `wanted` names this function: in full, by interface, or by its name alone.
    fn is_named(&self, wanted: &str) -> bool {
        // The name of a method contains a dot.
        let Some(before) = wanted.strip_suffix(self.name.as_str()) else { return false };
        let Some(instance) = before.strip_suffix(['.', '#']) else { return before.is_empty() };
        let unversioned = self.instance.split('@').next().unwrap_or_default();
        let interface = unversioned.rsplit('/').next().unwrap_or_default();
        [self.instance.as_str(), unversioned, interface].contains(&instance)
    }
}

impl Ready {
    /// Calls `function(arguments)` on a thread of its own, and returns its results in WAVE.
    ///
    /// # Errors
    /// The outer error is about the call as typed, the inner one about the guest.
    pub fn call(&self, call: &str) -> Result<Result<String, Failure>, LoadError> {
        let (ready, call) = (self.clone(), call.to_owned());
        supervise(self, move || async move { ready.call_within_limits(&call).await })
            .unwrap_or_else(|failure| Ok(Err(failure)))
    }

    async fn call_within_limits(&self, call: &str) -> Result<Result<String, Failure>, LoadError> {
        let exports = self.exports();
        let WrittenCall { name, arguments } = parse_call(call)?;
        let export = find(&exports, name)?;
        if signature(export).contains(UNWRITTEN) {
            return Err(LoadError::Call(format!(
                "`{name}` cannot be called from here: WAVE has no form for handles: resources, streams and futures\n  it is: {}",
                signature(export)
            )));
        }
        let parsed = UntypedFuncCall::parse(arguments.as_str());
        let typed = parsed.and_then(|parsed| {
            let types = WasmFunc::params(&export.ty).collect::<Vec<_>>();
            parsed.to_wasm_params::<Val>(&types)
        });
        let params = typed.map_err(|e| {
            LoadError::Call(format!(
                "the arguments of `{name}` do not fit: {}\n  it takes: {}",
                explain_wave_error(&e.to_string(), &arguments),
                signature(export)
            ))
        })?;
        Ok(self.invoke(export, params).await)
    }

    async fn invoke(&self, export: &Export, params: Vec<Val>) -> Result<String, Failure> {
        let limits = &self.setup.limits;
        let mut store = Sandbox::store(&self.code.tier.wasmtime, &self.setup);
        let meter = store.data().meter.clone();
        let call = async move {
            let mut results = vec![Val::Bool(false); export.ty.results().len()];
            let outcome = async {
                let instance = Sandbox::instantiate(&mut store, &self.code.pre).await?;
                let function = instance
                    .get_func(&mut store, export.index)
                    .ok_or_else(|| wasmtime::format_err!("the export is gone"))?;
                store
                    .run_concurrent(async |accessor| function.call_concurrent(accessor, &params, &mut results).await)
                    .await?
            };
            outcome
                .await
                .map(|()| DisplayFuncResults(&results).to_string())
                .map_err(|e: wasmtime::Error| explain::failure(&e, limits))
        };
        let mut guest = Metered::new(call, meter, self.code.tier.ticker.clone());
        guest.until(Instant::now() + limits.deadline, limits).await?
    }

    fn exports(&self) -> Vec<Export> {
        let component: &Component = self.code.pre.component();
        let engine = &self.code.tier.wasmtime;
        let mut exports = Vec::new();
        for (outer, item) in component.component_type().exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) if outer == crate::component::memory_layout::EXPORT => {}
                ComponentItem::ComponentFunc(ty) => {
                    if let Some(index) = component.get_export_index(None, outer) {
                        exports.push(Export { instance: String::new(), name: outer.to_owned(), ty, index });
                    }
                }
                ComponentItem::ComponentInstance(instance) => {
                    let parent = component.get_export_index(None, outer);
                    for (name, item) in instance.exports(engine) {
                        let index = parent.as_ref().and_then(|p| component.get_export_index(Some(p), name));
                        if let (ComponentItem::ComponentFunc(ty), Some(index)) = (item.ty, index) {
                            exports.push(Export { instance: outer.to_owned(), name: name.to_owned(), ty, index });
                        }
                    }
                }
                _ => {}
            }
        }
        exports
    }
}

fn find<'a>(exports: &'a [Export], name: &str) -> Result<&'a Export, LoadError> {
    let matches: Vec<_> = exports.iter().filter(|e| e.is_named(name)).collect();
    match matches.as_slice() {
        [one] => Ok(one),
        [] if exports.is_empty() => Err(LoadError::Call("it exports no function that can be called".into())),
        [] => {
            let mut names: Vec<_> = exports.iter().map(|e| (strsim::jaro_winkler(&e.name, name), e)).collect();
            names.sort_by(|a, b| b.0.total_cmp(&a.0));
            let shown: Vec<_> = names.iter().take(8).map(|(_, e)| format!("\n  {}", signature(e))).collect();
            Err(LoadError::Call(format!("it exports no function `{name}`; it has:{}", shown.concat())))
        }
        several => {
            let shown: Vec<_> = several.iter().map(|e| format!("\n  {}", e.full_name())).collect();
            Err(LoadError::Call(format!("`{name}` could be any of these; write one in full:{}", shown.concat())))
        }
    }
}

/// Splits a call into the function's name and a call of a plain name, which WAVE's parser reads.
fn split_call(call: &str) -> Option<(&str, String)> {
    let call = call.trim();
    let open = call.find('(')?;
    let name = call[..open].trim();
    (!name.is_empty() && call.ends_with(')')).then(|| (name, format!("f{}", &call[open..])))
}

/// Rewrites an error of WAVE: quotes the text instead of offsets into `call`.
fn explain_wave_error(error: &str, call: &str) -> String {
    let span = |text: &str| {
        let (start, end) = text.split_once("..")?;
        call.get(start.parse().ok()?..end.parse().ok()?)
    };
    let (words, about) = match error.rsplit_once(" at ") {
        Some((words, place)) => (words, span(place)),
        None => (error, None),
    };
    match (words.trim_start_matches("error converting Wasm value: "), about) {
        (words, _) if words.contains("missing required param") || words.contains("no params provided") => {
            "there are too few".into()
        }
        (words, Some(about)) if words.contains("more param") => format!("there are too many, from `{about}` on"),
        ("invalid value type", Some(about)) => format!("`{about}` is of another type"),
        (words, Some(about)) if !about.is_empty() => format!("{words}, at `{about}`"),
        (words, _) => words.into(),
    }
}

/// Shown for a type that WAVE cannot express, since its values never leave the sandbox.
const UNWRITTEN: &str = "(a handle)";

fn signature(export: &Export) -> String {
    let words = |ty: &Type| DisplayType(ty).to_string().replace("<<UNSUPPORTED>>", UNWRITTEN);
    let params: Vec<_> = export.ty.params().map(|(name, ty)| format!("{name}: {}", words(&ty))).collect();
    let results: Vec<_> = export.ty.results().map(|ty| words(&ty)).collect();
    let results = if results.is_empty() { String::new() } else { format!(" -> {}", results.join(", ")) };
    format!("{}({}){results}", export.full_name(), params.join(", "))
}
