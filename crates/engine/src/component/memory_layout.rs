//! Keeps the adapter's memory apart from that of a WASI 0.1 program.
//!
//! The adapter needs some of the program's memory, and gets it by growing that memory. Many
//! programs assume that nobody else does: the heaps of Go, of AssemblyScript and of older C
//! libraries take every page after their own for theirs, and overwrite the adapter's state. The
//! program therefore gets a memory that ends where it expects, and the adapter's pages come after
//! the largest size that the program can ever have:
//!
//! ```text
//! 0          $size, as the program sees it         $end, at the sandbox's limit
//! | program | ........ grows into this ............ | adapter |
//! ```
//!
//! Before the program starts, the host calls the export [`EXPORT`] with the number of pages that
//! the sandbox may have. The memory grows to it at once, which takes address space, and memory only
//! where it is touched. From then on, the program's `memory.size` and `memory.grow` work on `$size`
//! alone. A program whose start function needs the adapter earlier shares its memory with it.
//!
//! Offsets of code do not change, for the sake of line numbers: `memory.size` is replaced in place,
//! by an instruction of the same length; a function with `memory.grow` moves to the end, and a call
//! of the same length takes its place.

#![expect(clippy::cast_possible_truncation, reason = "a target has at most 512 MiB, so every count in it fits")]

use std::collections::BTreeMap;
use std::ops::Range;
use wasm_encoder::{BlockType, Function, Instruction, ValType};
use wasmparser::{Operator, Parser, Payload, TypeRef};

/// Export that reserves memory, as WIT names it.
pub(crate) const EXPORT: &str = "walnut-reserve-memory";

/// Pages of the adapter: its stack and its state, of 64 KiB each, and room to align them.
const ADAPTER_PAGES: i32 = 4;

const I32: u8 = 0x7f;
/// Largest number of pages of a 32-bit memory.
const MAX_PAGES: u64 = 65_536;

/// Facts about the module, read before it is changed.
#[derive(Default)]
struct ModuleFacts {
    types: u32,
    imported_functions: u32,
    functions: Vec<u32>,
    globals: u32,
    /// The only memory: its pages at the start, and at most.
    memory: Option<(u64, Option<u64>)>,
    memories: u32,
    exports_realloc: bool,
    params: Vec<usize>,
}

/// Returns the module with a memory of its own; `None` if it has no memory of the plain kind.
pub(crate) fn apart(module: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let facts = ModuleFacts::read(module).map_err(|e| e.message().to_owned())?;
    let (Some(memory), 1, false) = (facts.memory, facts.memories, facts.exports_realloc) else { return Ok(None) };
    // The index of a later global has two bytes, which do not fit in the place of `memory.size`.
    if facts.globals > 120 {
        return Ok(None);
    }
    Rewriter { facts, memory }.rewrite(module).map(Some).map_err(|e| e.message().to_owned())
}

impl ModuleFacts {
    fn read(module: &[u8]) -> wasmparser::Result<Self> {
        let mut facts = ModuleFacts::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.types() {
                            facts.types += 1;
                            facts.params.push(match &ty.composite_type.inner {
                                wasmparser::CompositeInnerType::Func(f) => f.params().len(),
                                _ => 0,
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => facts.imported_functions += 1,
                            TypeRef::Global(_) => facts.globals += 1,
                            TypeRef::Memory(_) => facts.memories += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        facts.functions.push(ty?);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        facts.memories += 1;
                        let plain = !memory.memory64 && !memory.shared && memory.page_size_log2.is_none();
                        facts.memory = plain.then_some((memory.initial, memory.maximum));
                    }
                }
                Payload::GlobalSection(section) => facts.globals += section.count(),
                Payload::ExportSection(section) => {
                    for export in section {
                        facts.exports_realloc |= matches!(export?.name, "cabi_realloc" | "canonical_abi_realloc");
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

struct Rewriter {
    facts: ModuleFacts,
    memory: (u64, Option<u64>),
}

impl Rewriter {
    fn rewrite(&self, module: &[u8]) -> wasmparser::Result<Vec<u8>> {
        let mut sections: BTreeMap<usize, (u8, Vec<u8>)> = BTreeMap::new();
        let mut code = CodeBody::default();
        let mut place = 0;
        let mut has_globals = false;
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload?;
            if let Payload::CodeSectionEntry(body) = &payload {
                code.read(self, body, module)?;
                continue;
            }
            let Some((id, range)) = payload.as_section() else { continue };
            let data = &module[range.clone()];
            place += 2;
            let data = match payload {
                Payload::MemorySection(_) => self.memory_section(),
                Payload::GlobalSection(_) => {
                    has_globals = true;
                    append(data, 3, &self.globals())
                }
                // Globals come before exports, and only a module with exports runs.
                Payload::ExportSection(_) => {
                    if !has_globals {
                        sections.insert(place - 1, (6, append(&[0], 3, &self.globals())));
                    }
                    append(data, 2, &self.exports())
                }
                Payload::TypeSection(_) => append(data, 3, &types()),
                Payload::CodeSectionStart { .. } => {
                    code.start = range.start;
                    code.read_to = range.start + count_length(data);
                    code.place = place;
                    data.to_vec()
                }
                _ => data.to_vec(),
            };
            sections.insert(place, (id, data));
        }
        let moved: Vec<_> = code.moved.iter().map(|(ty, _)| *ty).collect();
        for (id, data) in sections.values_mut() {
            if *id == 3 {
                let types: Vec<u8> =
                    [0, 1, 2].iter().map(|i| self.facts.types + i).chain(moved.iter().copied()).flat_map(leb).collect();
                *data = append(data, 3 + moved.len() as u32, &types);
            }
        }
        if let Some((_, data)) = sections.get_mut(&code.place) {
            *data = code.finish(data, self);
        }
        let mut out = module[..8].to_vec();
        for (id, data) in sections.into_values() {
            out.push(id);
            out.extend(leb(data.len() as u32));
            out.extend(data);
        }
        Ok(out)
    }

    /// Returns the section without a maximum, since the adapter's pages come after it.
    fn memory_section(&self) -> Vec<u8> {
        let mut data = vec![1, 0];
        data.extend(leb(self.memory.0 as u32));
        data
    }

    /// Returns `$size`, `$end` and `$next`, all of them `(mut i32)`.
    fn globals(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for initial in [self.memory.0 as i32, 0, 0] {
            data.extend([I32, 1]);
            wasm_encoder::Encode::encode(&Instruction::I32Const(initial), &mut data);
            data.push(0x0b);
        }
        data
    }

    fn exports(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for (name, index) in [("cabi_realloc", self.realloc()), (EXPORT, self.reserve())] {
            data.extend(leb(name.len() as u32));
            data.extend(name.as_bytes());
            data.push(0);
            data.extend(leb(index));
        }
        data
    }

    fn size(&self) -> u32 {
        self.facts.globals
    }
    fn end(&self) -> u32 {
        self.facts.globals + 1
    }
    fn next(&self) -> u32 {
        self.facts.globals + 2
    }

    fn grow(&self) -> u32 {
        self.facts.imported_functions + self.facts.functions.len() as u32
    }
    fn realloc(&self) -> u32 {
        self.grow() + 1
    }
    fn reserve(&self) -> u32 {
        self.grow() + 2
    }
    fn moved(&self, nth: usize) -> u32 {
        self.grow() + 3 + nth as u32
    }

    /// Returns the body that replaces the program's `memory.grow`.
    fn grow_body(&self) -> Vec<u8> {
        use Instruction as I;
        let most = self.memory.1.unwrap_or(MAX_PAGES).min(MAX_PAGES) as i32;
        let (size, end) = (self.size(), self.end());
        body(
            &[],
            &[
                // Beyond the program's own maximum: refused, as the specification says.
                I::LocalGet(0),
                I::I32Const(most),
                I::GlobalGet(size),
                I::I32Sub,
                I::I32GtU,
                I::If(BlockType::Empty),
                I::I32Const(-1),
                I::Return,
                I::End,
                // Nothing is reserved: the memory grows as usual.
                I::GlobalGet(end),
                I::I32Eqz,
                I::If(BlockType::Empty),
                I::LocalGet(0),
                I::MemoryGrow(0),
                I::LocalSet(0),
                I::MemorySize(0),
                I::GlobalSet(size),
                I::LocalGet(0),
                I::Return,
                I::End,
                // Beyond the sandbox's limit: asks the host for more than there can be, which
                // reaches the limit.
                I::LocalGet(0),
                I::GlobalGet(end),
                I::GlobalGet(size),
                I::I32Sub,
                I::I32GtU,
                I::If(BlockType::Empty),
                I::I32Const(MAX_PAGES as i32 - 1),
                I::MemoryGrow(0),
                I::Drop,
                I::I32Const(-1),
                I::Return,
                I::End,
                I::GlobalGet(size),
                I::GlobalGet(size),
                I::LocalGet(0),
                I::I32Add,
                I::GlobalSet(size),
                I::End,
            ],
        )
    }

    /// Returns the body from which the adapter gets its memory. The adapter asks twice and gives
    /// nothing back.
    fn realloc_body(&self) -> Vec<u8> {
        use Instruction as I;
        let (size, next) = (self.size(), self.next());
        body(
            &[(1, ValType::I32)],
            &[
                I::GlobalGet(next),
                I::I32Eqz,
                I::If(BlockType::Empty),
                I::I32Const(ADAPTER_PAGES),
                I::MemoryGrow(0),
                I::LocalTee(4),
                I::I32Const(-1),
                I::I32Eq,
                I::If(BlockType::Empty),
                I::Unreachable,
                I::End,
                I::LocalGet(4),
                I::I32Const(16),
                I::I32Shl,
                I::GlobalSet(next),
                I::MemorySize(0),
                I::GlobalSet(size),
                I::End,
                I::GlobalGet(next),
                I::LocalGet(2),
                I::I32Add,
                I::I32Const(1),
                I::I32Sub,
                I::I32Const(0),
                I::LocalGet(2),
                I::I32Sub,
                I::I32And,
                I::LocalTee(4),
                I::LocalGet(3),
                I::I32Add,
                I::GlobalSet(next),
                I::LocalGet(4),
                I::End,
            ],
        )
    }

    /// Returns the body that grows the memory by the host's number of pages, and places the
    /// adapter's at their end.
    fn reserve_body(&self) -> Vec<u8> {
        use Instruction as I;
        let (end, next) = (self.end(), self.next());
        body(
            &[],
            &[
                I::GlobalGet(next),
                I::LocalGet(0),
                I::I32Const(ADAPTER_PAGES),
                I::I32LtU,
                I::I32Or,
                I::If(BlockType::Empty),
                I::Return,
                I::End,
                I::LocalGet(0),
                I::MemoryGrow(0),
                I::I32Const(-1),
                I::I32Eq,
                I::If(BlockType::Empty),
                I::Return,
                I::End,
                I::MemorySize(0),
                I::I32Const(ADAPTER_PAGES),
                I::I32Sub,
                I::GlobalSet(end),
                I::GlobalGet(end),
                I::I32Const(16),
                I::I32Shl,
                I::GlobalSet(next),
                I::End,
            ],
        )
    }
}

/// Returns the types of the three functions: `(i32) -> i32`, `(i32, i32, i32, i32) -> i32` and
/// `(i32)`.
fn types() -> Vec<u8> {
    [&[0x60, 1, I32, 1, I32][..], &[0x60, 4, I32, I32, I32, I32, 1, I32], &[0x60, 1, I32, 0]].concat()
}

fn body(locals: &[(u32, ValType)], instructions: &[Instruction<'_>]) -> Vec<u8> {
    let mut function = Function::new(locals.iter().copied());
    for instruction in instructions {
        function.instruction(instruction);
    }
    function.into_raw_body()
}

/// Changes to the code section.
#[derive(Default)]
struct CodeBody {
    /// Start of the section's content in the module, and its position among the sections.
    start: usize,
    place: usize,
    /// Replacements for ranges of the module, in order.
    patches: Vec<(Range<usize>, Vec<u8>)>,
    /// End of the function that was read last.
    read_to: usize,
    /// Functions that moved to the end: their types and bodies.
    moved: Vec<(u32, Vec<u8>)>,
    seen: usize,
}

impl CodeBody {
    fn read(
        &mut self,
        rewriter: &Rewriter,
        body: &wasmparser::FunctionBody<'_>,
        module: &[u8],
    ) -> wasmparser::Result<()> {
        let nth = self.seen;
        self.seen += 1;
        let entry = std::mem::replace(&mut self.read_to, body.range().end);
        let (mut sizes, mut grows) = (Vec::new(), Vec::new());
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            // The index of the memory may take several bytes.
            let place = at..operators.original_position();
            match operator {
                Operator::MemorySize { .. } => sizes.push(place),
                Operator::MemoryGrow { .. } => grows.push(place),
                _ => {}
            }
        }
        let size = leb(rewriter.size());
        let get_size = [&[0x23][..], &size].concat();
        if grows.is_empty() {
            self.patches.extend(sizes.into_iter().map(|place| (place, get_size.clone())));
            return Ok(());
        }
        let ty = rewriter.facts.functions[nth];
        let range = body.range();
        let call = [&[0x10][..], &leb(rewriter.grow())].concat();
        let mut edits: Vec<_> = sizes
            .into_iter()
            .map(|place| (place, &get_size))
            .chain(grows.into_iter().map(|place| (place, &call)))
            .collect();
        edits.sort_by_key(|(place, _)| place.start);
        let (mut moved, mut from) = (Vec::new(), range.start);
        for (place, instruction) in edits {
            moved.extend(&module[from..place.start]);
            moved.extend(instruction);
            from = place.end;
        }
        moved.extend(&module[from..range.end]);
        match stand_in(rewriter.facts.params[ty as usize], rewriter.moved(self.moved.len()), range.len()) {
            Some(stand_in) => {
                self.moved.push((ty, moved));
                self.patches.push((range, stand_in));
            }
            // Too short for a call. The code after it shifts by some bytes, and its line numbers
            // too.
            None => self.patches.push((entry..range.end, [leb(moved.len() as u32), moved].concat())),
        }
        Ok(())
    }

    /// Returns the section's content, with the patches and the new functions.
    fn finish(&self, data: &[u8], rewriter: &Rewriter) -> Vec<u8> {
        let (mut patched, mut from) = (Vec::new(), 0);
        for (range, bytes) in &self.patches {
            patched.extend(&data[from..range.start - self.start]);
            patched.extend(bytes);
            from = range.end - self.start;
        }
        patched.extend(&data[from..]);
        let own = [rewriter.grow_body(), rewriter.realloc_body(), rewriter.reserve_body()];
        let mut added = Vec::new();
        for body in own.iter().chain(self.moved.iter().map(|(_, body)| body)) {
            added.extend(leb(body.len() as u32));
            added.extend(body);
        }
        append(&patched, 3 + self.moved.len() as u32, &added)
    }
}

/// Returns a body of exactly `length` bytes that calls `function` with its own parameters; `None`
/// if `length` is too small.
fn stand_in(params: usize, function: u32, length: usize) -> Option<Vec<u8>> {
    let mut body = vec![0];
    for param in 0..params {
        body.push(0x20);
        body.extend(leb(param as u32));
    }
    body.push(0x10);
    body.extend(leb(function));
    // `nop`, and the `end` after them.
    let padding = length.checked_sub(body.len() + 1)?;
    body.extend(std::iter::repeat_n(0x01, padding));
    body.push(0x0b);
    Some(body)
}

/// Returns a section's content with `count` more entries.
fn append(data: &[u8], count: u32, entries: &[u8]) -> Vec<u8> {
    let digits = count_length(data);
    let before = data[..digits].iter().rev().fold(0, |count, byte| count << 7 | u32::from(byte & 0x7f));
    [leb(before + count).as_slice(), &data[digits..], entries].concat()
}

/// Returns the number of bytes of a section's number of entries.
fn count_length(data: &[u8]) -> usize {
    data.iter().take(5).position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1)
}

/// Encodes an unsigned number in LEB128, as WebAssembly does.
fn leb(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    wasm_encoder::Encode::encode(&number, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"(module
        (memory (export "memory") 1 10)
        (func $sbrk (export "sbrk") (param i32) (result i32)
          (i32.add (i32.mul (memory.size) (i32.const 0)) (memory.grow (local.get 0))))
        (func (export "size") (result i32) (memory.size))
        (func (export "tiny") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "_start") (drop (call $sbrk (i32.const 1)))))"#;

    fn instance() -> (wasmtime::Store<()>, wasmtime::Instance) {
        let module = apart(&wat::parse_str(PROGRAM).unwrap()).unwrap().unwrap();
        wasmparser::Validator::new().validate_all(&module).unwrap();
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, module).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        (store, instance)
    }

    fn call(store: &mut wasmtime::Store<()>, instance: &wasmtime::Instance, name: &str, params: &[i32]) -> Option<i32> {
        let function = instance.get_func(&mut *store, name).unwrap();
        let params: Vec<_> = params.iter().map(|p| wasmtime::Val::I32(*p)).collect();
        let mut results = vec![wasmtime::Val::I32(0); function.ty(&*store).results().len()];
        function.call(&mut *store, &params, &mut results).unwrap();
        results.first().map(wasmtime::Val::unwrap_i32)
    }

    #[test]
    fn the_program_grows_without_a_gap_and_the_adapter_is_beyond_it() {
        let (mut store, instance) = instance();
        call(&mut store, &instance, EXPORT, &[100]);
        let adapter = call(&mut store, &instance, "cabi_realloc", &[0, 0, 16, 65_536]).unwrap();
        assert_eq!(adapter, 97 << 16);
        assert_eq!(call(&mut store, &instance, "size", &[]), Some(1));
        assert_eq!(call(&mut store, &instance, "sbrk", &[3]), Some(1));
        assert_eq!(call(&mut store, &instance, "tiny", &[0]), Some(4));
        assert_eq!(call(&mut store, &instance, "sbrk", &[7]), Some(-1), "the program's own maximum is 10");
        assert_eq!(call(&mut store, &instance, "size", &[]), Some(4));
    }

    #[test]
    fn without_a_reservation_the_memory_is_shared() {
        let (mut store, instance) = instance();
        assert_eq!(call(&mut store, &instance, "cabi_realloc", &[0, 0, 16, 65_536]), Some(1 << 16));
        assert_eq!(call(&mut store, &instance, "size", &[]), Some(5));
        assert_eq!(call(&mut store, &instance, "sbrk", &[1]), Some(5));
    }

    #[test]
    fn beyond_the_reservation_the_host_is_asked_and_the_program_is_told_no() {
        let (mut store, instance) = instance();
        call(&mut store, &instance, EXPORT, &[6]);
        assert_eq!(call(&mut store, &instance, "sbrk", &[2]), Some(1));
        assert_eq!(call(&mut store, &instance, "sbrk", &[1]), Some(-1));
    }

    #[test]
    fn code_stays_where_it_was() {
        let module = wat::parse_str(PROGRAM.replace(
            "(memory.grow (local.get 0)))\n        (func (export \"_start\")",
            "(i32.const 0))\n        (func (export \"_start\")",
        ))
        .unwrap();
        let bodies = |bytes: &[u8]| {
            let mut found = Vec::new();
            let mut start = 0;
            for payload in Parser::new(0).parse_all(bytes) {
                match payload.unwrap() {
                    Payload::CodeSectionStart { range, .. } => start = range.start,
                    Payload::CodeSectionEntry(body) => found.push((body.range().start - start, body.range().len())),
                    _ => {}
                }
            }
            found
        };
        let before = bodies(&module);
        assert_eq!(bodies(&apart(&module).unwrap().unwrap())[..before.len()], before);
    }
}
