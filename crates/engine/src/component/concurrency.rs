//! Whether a component uses the component model's async.

use crate::component::artifact::Artifact;
use crate::component::imports::has_import;
use crate::component::wasi::{Package, WASI_0_3};
use wasmparser::{ComponentImportSectionReader, Parser, Payload, Validator, WasmFeatures};

/// Features of async, which a component that makes and takes one call at a time does not need.
pub(crate) const ASYNC: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING)
    .union(WasmFeatures::CM_ERROR_CONTEXT);

/// Returns whether a component uses no async, neither in itself nor from WASI. Invalid bytes are
/// not serial; their error is reported when they are compiled.
pub(crate) fn is_serial(artifact: &Artifact) -> bool {
    let mut validator = Validator::new_with_features(WasmFeatures::all().difference(ASYNC));
    let mut depth = 0_usize;
    Parser::new(0).parse_all(&artifact.bytes).all(|payload| {
        let Ok(payload) = payload else { return false };
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 && any_of_0_3(imports) => return false,
            // Code and data cannot use async, and are the largest part of a component.
            Payload::CodeSectionStart { .. } | Payload::CodeSectionEntry(_) => return true,
            Payload::ElementSection(_) | Payload::DataSection(_) => return true,
            _ => {}
        }
        validator.payload(&payload).is_ok()
    })
}

/// Returns whether a component imports anything of WASI 0.3.
pub(crate) fn imports_0_3(artifact: &Artifact) -> bool {
    has_import(artifact, is_of_0_3)
}

fn any_of_0_3(imports: &ComponentImportSectionReader<'_>) -> bool {
    imports.clone().into_iter().any(|import| import.is_ok_and(|import| is_of_0_3(import.name.name)))
}

fn is_of_0_3(name: &str) -> bool {
    Package::of(name).is_some_and(|package| package.version == WASI_0_3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use walnut_test_programs::{Guest, RUST_P2_HTTP_ECHO, RUST_P3_HTTP_ECHO};

    fn is_serial(bytes: Vec<u8>) -> bool {
        super::is_serial(&Artifact::from_bytes("test", bytes).expect("it is WebAssembly"))
    }

    #[test]
    fn only_what_uses_nothing_of_async_is_serial() {
        let read = |guest: Guest| std::fs::read(guest.path()).expect("the guests are built");
        assert!(is_serial(read(RUST_P2_HTTP_ECHO)));
        assert!(!is_serial(read(RUST_P3_HTTP_ECHO)));
        let imports_0_3 = |bytes| imports_0_3(&Artifact::from_bytes("test", bytes).expect("it is WebAssembly"));
        assert!(imports_0_3(read(RUST_P3_HTTP_ECHO)) && !imports_0_3(read(RUST_P2_HTTP_ECHO)));
        let text = |text: &str| is_serial(text.as_bytes().to_vec());
        assert!(text(r#"(component (import "wasi:clocks/monotonic-clock@0.2.3" (instance)))"#));
        // A package of WASI 0.3 is linked as a whole, also if a component only imports what is not
        // async.
        assert!(!text(r#"(component (import "wasi:clocks/monotonic-clock@0.3.0" (instance)))"#));
        assert!(text(r#"(component (component (import "wasi:clocks/monotonic-clock@0.3.0" (instance))))"#));
        assert!(!text(r#"(component (component (import "f" (func async))))"#));
        assert!(!text(r#"(component (core module) (type (stream u8)))"#));
        assert!(!text(r#"(component (core func (canon task.cancel)))"#));
    }
}
