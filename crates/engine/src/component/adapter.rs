//! The adapter from WASI 0.1 to 0.2, with one correction: it reports success for a write of no
//! buffers without looking at the file descriptor. Here, a closed descriptor is an error then, too,
//! as for every other write.

use std::borrow::Cow;
use wasi_preview1_component_adapter_provider as provider;
use wasm_encoder::reencode::{Error, Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// Name by which programs import it.
pub(crate) const NAME: &str = provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;

const WRITE: &str = "fd_write";
/// Checks the descriptor, and does nothing else for a length of 0 without advice.
const LOOK: &str = "fd_advise";
/// `errno.badf`.
const CLOSED: i32 = 8;

/// Returns the adapter for a command, or for a reactor.
pub(crate) fn module(is_command: bool) -> Cow<'static, [u8]> {
    let original = if is_command {
        provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    // Another version of the adapter may be built in another way; a test notices.
    with_look(original).ok().flatten().map_or(Cow::Borrowed(original), Cow::Owned)
}

/// Facts about the adapter, read before it is changed.
#[derive(Default)]
struct AdapterFacts {
    imported: u32,
    types: Vec<u32>,
    write: Option<u32>,
    look: Option<u32>,
}

impl AdapterFacts {
    fn read(module: &[u8]) -> Result<Self, Error> {
        let mut facts = AdapterFacts::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        facts.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => facts.types = section.into_iter().collect::<Result<_, _>>()?,
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match (export.kind, export.name) {
                            (ExternalKind::Func, WRITE) => facts.write = Some(export.index),
                            (ExternalKind::Func, LOOK) => facts.look = Some(export.index),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

/// Returns the module with a function before its `fd_write`. `None` if the module lacks something
/// that this needs.
fn with_look(module: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let facts = AdapterFacts::read(module)?;
    let (Some(write), Some(look)) = (facts.write, facts.look) else { return Ok(None) };
    let defined = write.checked_sub(facts.imported).and_then(|index| usize::try_from(index).ok());
    let Some(ty) = defined.and_then(|index| facts.types.get(index)).copied() else { return Ok(None) };
    let new = facts.imported + u32::try_from(facts.types.len()).unwrap_or(u32::MAX);
    let (mut changed, mut code) = (Module::new(), CodeSection::new());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match payload {
            Payload::FunctionSection(_) => {
                let mut functions = FunctionSection::new();
                facts.types.iter().chain([&ty]).for_each(|ty| _ = functions.function(*ty));
                changed.section(&functions);
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                for export in section {
                    let export = export?;
                    match export.name {
                        WRITE => exports.export(WRITE, ExportKind::Func, new),
                        name => exports.export(name, RoundtripReencoder.export_kind(export.kind)?, export.index),
                    };
                }
                changed.section(&exports);
            }
            Payload::CodeSectionEntry(body) => {
                code.raw(body.as_bytes());
                if usize::try_from(code.len()).is_ok_and(|length| length == facts.types.len()) {
                    code.function(&look_and_write(write, look));
                    changed.section(&code);
                }
            }
            Payload::CodeSectionStart { .. } => {}
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    changed.section(&RawSection { id, data: &module[range] });
                }
            }
        }
    }
    Ok(Some(changed.finish()))
}

/// `(fd, buffers, number of buffers, place of the number of bytes) -> errno`
fn look_and_write(write: u32, look: u32) -> Function {
    let mut function = Function::new([]);
    let mut body = function.instructions();
    body.local_get(2).i32_eqz().if_(BlockType::Empty);
    body.local_get(0).i64_const(0).i64_const(0).i32_const(0).call(look);
    body.i32_const(CLOSED).i32_eq().if_(BlockType::Empty).i32_const(CLOSED).return_().end().end();
    (0..4).for_each(|parameter| _ = body.local_get(parameter));
    body.call(write).end();
    function
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_adapters_are_changed_and_valid() {
        for is_command in [true, false] {
            let Cow::Owned(changed) = module(is_command) else { panic!("not changed") };
            wasmparser::Validator::new().validate_all(&changed).unwrap();
        }
    }
}
