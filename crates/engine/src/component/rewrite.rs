//! Small changes to a module of WASI 0.1, before it is adapted, for cases that the adapter does not
//! handle.
//!
//! - The adapter knows success and failure only: `proc_exit(7)` would end as 1. `wasi:cli/exit` has
//!   a function that takes a code, of the same shape once compiled; the import is changed to that
//!   function.
//! - The adapter takes memory that many programs consider theirs: see `memory_layout.rs`.
//! - The adapter works in the program's memory, and a program may have none. It gets a page then.
//! - The start of a command is `_start`. Some toolchains leave it without a name, which other
//!   runtimes start, too.

use crate::component::memory_layout;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    EntityType, ExportKind, ExportSection, ImportSection, MemorySection, MemoryType, Module, RawSection,
};
use wasmparser::{Parser, Payload, TypeRef};
use wit_component::StringEncoding;
use wit_parser::Resolve;

const WIT: &str = "
package walnut:adapted;

world exits {
  import wasi:cli/exit@0.2.12;
}

world reserves {
  import wasi:cli/exit@0.2.12;
  export walnut-reserve-memory: func(pages: u32);
}

package wasi:cli@0.2.12 {
  interface exit {
    exit: func(status: result);
    exit-with-code: func(status-code: u8);
  }
}
";

/// Sections that come after the memories: tags, globals, exports and the rest.
const AFTER_MEMORY: [u8; 8] = [13, 6, 7, 8, 9, 12, 10, 11];
const SMALL_MEMORY: MemoryType =
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };

/// Returns the module with its exit and its start where the adapter looks for them.
pub(crate) fn rewrite(module: &[u8], names_start: bool, has_memory: bool) -> Result<Vec<u8>, String> {
    let mut rewritten = Module::new();
    let mut memory_is_due = !has_memory;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|e| e.message().to_owned())?;
        if memory_is_due && payload.as_section().is_some_and(|(id, _)| AFTER_MEMORY.contains(&id)) {
            rewritten.section(MemorySection::new().memory(SMALL_MEMORY));
            memory_is_due = false;
        }
        match payload {
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
                rewritten.section(&imports);
            }
            Payload::ExportSection(section) if !names_start || !has_memory => {
                let mut exports = ExportSection::new();
                for export in section {
                    let export = export.map_err(|e| e.message().to_owned())?;
                    match export.name {
                        "" => exports.export("_start", ExportKind::Func, export.index),
                        _ => exports.export(
                            export.name,
                            RoundtripReencoder.export_kind(export.kind).map_err(|e| e.to_string())?,
                            export.index,
                        ),
                    };
                }
                if !has_memory {
                    exports.export("memory", ExportKind::Memory, 0);
                }
                rewritten.section(&exports);
            }
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    rewritten.section(&RawSection { id, data: &module[range] });
                }
            }
        }
    }
    let mut resolve = Resolve::default();
    let package = resolve.push_str("adapted.wit", WIT).map_err(|e| format!("{e:#}"))?;
    let rewritten = rewritten.finish();
    let (mut described, world) = match memory_layout::apart(&rewritten)? {
        Some(apart) => (apart, "reserves"),
        None => (rewritten, "exits"),
    };
    let world = resolve.select_world(&[package], Some(world)).map_err(|e| format!("{e:#}"))?;
    wit_component::embed_component_metadata(&mut described, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    Ok(described)
}

#[cfg(test)]
mod tests {
    use crate::{Artifact, Inspection, Verb};

    #[test]
    fn a_command_without_a_memory_or_a_name_for_its_start_is_a_command() {
        for text in
            ["(module (func (export \"_start\")))", "(module (memory (export \"memory\") 1) (func (export \"\")))"]
        {
            let artifact = Artifact::from_bytes("test", text.as_bytes().to_vec()).unwrap();
            assert_eq!(Inspection::of(&artifact).unwrap().verb, Verb::Run, "{text}");
        }
    }
}
