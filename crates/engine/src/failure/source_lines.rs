//! Source lines of an artifact's instructions, from the DWARF of its modules.
//!
//! wasmtime finds the lines of a trap itself. This is for a guest that was stopped from outside.

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, Error, LittleEndian};
use std::collections::HashMap;
use std::ops::Range;
use wasmparser::{Parser, Payload};

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A module of an artifact, with what its source lines are read from.
#[derive(Default)]
struct DebugModule<'a> {
    /// Place of the code section's content in the artifact; the addresses of DWARF begin there.
    code: Range<usize>,
    sections: HashMap<&'a str, &'a [u8]>,
}

/// Source lines of the instructions of a module, or of all modules in a component.
pub(crate) struct SourceLines<'a> {
    modules: Vec<(Range<usize>, Context<Bytes<'a>>)>,
}

impl<'a> SourceLines<'a> {
    /// Reads the DWARF of an artifact. Modules without DWARF, or with damaged DWARF, have no lines.
    pub fn of(artifact: &'a [u8]) -> Self {
        let modules = modules(artifact).into_iter().filter_map(|module| {
            let section = |name: &str| module.sections.get(name).copied().unwrap_or_default();
            let load = |id: addr2line::gimli::SectionId| Ok::<_, Error>(Bytes::new(section(id.name()), LittleEndian));
            Some((module.code.clone(), Context::from_dwarf(Dwarf::load(load).ok()?).ok()?))
        });
        SourceLines { modules: modules.collect() }
    }

    /// Returns file and line of the instruction at this offset of the artifact.
    pub fn find(&self, offset: usize) -> Option<(&str, u32)> {
        let (code, context) = self.modules.iter().find(|(code, _)| code.contains(&offset))?;
        let location = context.find_location(u64::try_from(offset - code.start).ok()?).ok()??;
        Some((location.file?, location.line?))
    }
}

/// Returns the modules of an artifact that have code. An artifact that cannot be read to its end
/// has those before the damage.
fn modules(artifact: &[u8]) -> Vec<DebugModule<'_>> {
    let (mut modules, mut open) = (Vec::new(), vec![DebugModule::default()]);
    for payload in Parser::new(0).parse_all(artifact).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => open.push(DebugModule::default()),
            Payload::CodeSectionStart { range, .. } => {
                if let Some(module) = open.last_mut() {
                    module.code = range;
                }
            }
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                if let Some(module) = open.last_mut() {
                    module.sections.insert(section.name(), section.data());
                }
            }
            Payload::End(_) => modules.extend(open.pop().filter(|module| !module.code.is_empty())),
            _ => {}
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "(module\n  (func (export \"spin\")\n    (loop\n      br 0)))";

    fn with_lines(text: &str) -> Vec<u8> {
        let mut parser = wat::Parser::new();
        parser.generate_dwarf(wat::GenerateDwarf::Lines);
        parser.parse_str(Some("spin.wat".as_ref()), text).unwrap()
    }

    /// Returns the lines of all offsets, without repetitions.
    fn lines(artifact: &[u8]) -> Vec<u32> {
        let lines = SourceLines::of(artifact);
        let found = (0..artifact.len()).filter_map(|offset| lines.find(offset));
        let mut found: Vec<_> =
            found.inspect(|(file, _)| assert!(file.ends_with("spin.wat"))).map(|(_, l)| l).collect();
        found.dedup();
        found
    }

    #[test]
    fn instructions_of_a_module_have_their_lines() {
        assert_eq!(lines(&with_lines(TEXT)), [3, 4]);
    }

    #[test]
    fn modules_of_a_component_have_their_lines() {
        let component = with_lines(&format!("(component\n(core module (func))\n(core {})", &TEXT[1..]));
        assert!(lines(&component).starts_with(&[5, 6]), "{:?}", lines(&component));
    }

    #[test]
    fn damaged_artifacts_have_no_lines() {
        let artifact = with_lines(TEXT);
        for end in 0..artifact.len() {
            let _ = lines(&artifact[..end]);
        }
        assert!(lines(b"nothing").is_empty());
    }
}
