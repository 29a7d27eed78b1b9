//! Gives programs of WASI 0.1 their exit code.
//!
//! The adapter from 0.1 to 0.2 knows success and failure only: `proc_exit(7)` would end as 1. `wasi:cli/exit` has a function
//! that takes a code, of the same shape once compiled, so the module's import is pointed at that one before it is adapted.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{EntityType, ImportSection, Module, RawSection};
use wasmparser::{Parser, Payload, TypeRef};
use wit_component::StringEncoding;
use wit_parser::Resolve;

const WIT: &str = "
package walnut:exit;

world exit {
  import wasi:cli/exit@0.2.12;
}

package wasi:cli@0.2.12 {
  interface exit {
    exit: func(status: result);
    exit-with-code: func(status-code: u8);
  }
}
";

/// The module with `proc_exit` pointed at `wasi:cli/exit.exit-with-code`.
pub(crate) fn redirect(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut redirected = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(|e| e.message().to_owned())? {
            Payload::ImportSection(section) => {
                let mut imports = ImportSection::new();
                for import in section.into_imports() {
                    let import = import.map_err(|e| e.message().to_owned())?;
                    match (import.module, import.name, import.ty) {
                        ("wasi_snapshot_preview1", "proc_exit", TypeRef::Func(ty)) => {
                            imports.import("wasi:cli/exit@0.2.12", "exit-with-code", EntityType::Function(ty));
                        }
                        _ => RoundtripReencoder.parse_import(&mut imports, import).map_err(|e| e.to_string())?,
                    }
                }
                redirected.section(&imports);
            }
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    redirected.section(&RawSection { id, data: &module[range] });
                }
            }
        }
    }
    let mut resolve = Resolve::default();
    let package = resolve.push_str("exit.wit", WIT).map_err(|e| format!("{e:#}"))?;
    let world = resolve.select_world(&[package], Some("exit")).map_err(|e| format!("{e:#}"))?;
    let mut described = redirected.finish();
    wit_component::embed_component_metadata(&mut described, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    Ok(described)
}
