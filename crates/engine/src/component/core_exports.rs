//! Describes a plain core module as a component, so that `call` reaches its functions.
//!
//! A module without imports that was built without component tooling describes no world. Its
//! exported functions over numbers have an obvious one: `i32` is `s32`, `i64` is `s64`, floats stay
//! floats. Functions that return several values, take other types, or have names that WIT cannot
//! express are left out.

use std::fmt::Write;
use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Returns the module with a description of its world.
pub(crate) fn describe(module: &[u8]) -> Result<Vec<u8>, String> {
    let exports = numeric_exports(module).map_err(|e| e.message().to_owned())?;
    let mut wit = String::from("package walnut:module;\nworld module {\n");
    for (name, ty) in &exports {
        let params: Vec<_> =
            ty.params().iter().enumerate().filter_map(|(i, p)| Some(format!("p{i}: {}", wit_type(*p)?))).collect();
        let result = ty.results().first().and_then(|r| wit_type(*r)).map(|r| format!(" -> {r}")).unwrap_or_default();
        let _ = writeln!(wit, "  export %{name}: func({}){result};", params.join(", "));
    }
    wit.push_str("}\n");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("module.wit", &wit).map_err(|e| format!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some("module")).map_err(|e| format!("{e:#}"))?;
    let mut described = module.to_vec();
    wit_component::embed_component_metadata(&mut described, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    Ok(described)
}

fn numeric_exports(module: &[u8]) -> wasmparser::Result<Vec<(String, FuncType)>> {
    let (mut types, mut functions, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    types.extend(group?.into_types().map(|t| match t.composite_type.inner {
                        CompositeInnerType::Func(f) => Some(f),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) = import?.ty {
                        functions.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    functions.push(ty?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        exports.push((export.name.to_owned(), export.index));
                    }
                }
            }
            _ => {}
        }
    }
    let type_of = |index: u32| -> Option<FuncType> { types.get(*functions.get(index as usize)? as usize)?.clone() };
    let sayable = |(name, index): (String, u32)| {
        type_of(index).filter(|ty| is_kebab(&name) && is_numeric(ty)).map(|ty| (name, ty))
    };
    Ok(exports.into_iter().filter_map(sayable).collect())
}

fn is_numeric(ty: &FuncType) -> bool {
    ty.results().len() <= 1 && ty.params().iter().chain(ty.results()).all(|t| wit_type(*t).is_some())
}

fn wit_type(ty: ValType) -> Option<&'static str> {
    match ty {
        ValType::I32 => Some("s32"),
        ValType::I64 => Some("s64"),
        ValType::F32 => Some("f32"),
        ValType::F64 => Some("f64"),
        _ => None,
    }
}

/// Returns whether `name` is a `label` of the Component Model: words of letters and digits, joined
/// by single hyphens, each starting with a letter.
fn is_kebab(name: &str) -> bool {
    name.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}
