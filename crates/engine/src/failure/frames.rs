//! The guest's functions on its stack, as an explanation shows them.

use std::fmt;
use walnut_policy::Printable;
use wasmtime::{FrameInfo, WasmBacktrace};

/// Number of stack frames that an explanation shows.
const MAX_FRAMES: usize = 8;

/// Describes the guest's functions on the stack of a trap, innermost first.
pub(crate) fn of_backtrace(backtrace: &WasmBacktrace) -> Vec<String> {
    // Walnut's own modules lie between the guest and WASI 0.2.
    let is_ours = |frame: &&FrameInfo| frame.module().name().is_some_and(|m| m.starts_with("wit-component:"));
    describe(backtrace.frames().iter().filter(|f| !is_ours(f)).map(GuestFrame::of).collect())
}

/// Describes the guest's functions, innermost first, without the runtime of its language.
pub(crate) fn describe(mut all: Vec<GuestFrame>) -> Vec<String> {
    // In a module with names, a function without a name is Walnut's.
    let is_told = |frame: &GuestFrame| frame.name.is_some() || !frame.place.is_empty();
    let stripped = !all.iter().any(is_told);
    all.retain(|frame| stripped || is_told(frame));
    // The language's runtime lies between a panic and its cause and tells the author nothing.
    let own: Vec<_> = all.iter().filter(|f| !f.name.as_deref().is_some_and(is_machinery)).collect();
    let shown = if own.is_empty() { all.iter().collect() } else { own };
    let mut lines: Vec<String> = shown.iter().take(MAX_FRAMES).map(|frame| format!("at {frame}")).collect();
    if shown.len() > MAX_FRAMES {
        lines.push(format!("and {} more below", shown.len() - MAX_FRAMES));
    }
    if stripped && !lines.is_empty() {
        lines.push("(its functions' names were stripped; build it with them to see them here)".into());
    }
    lines
}

/// A function on the guest's stack.
pub(crate) struct GuestFrame {
    name: Option<String>,
    index: u32,
    /// ` (file:line)`, or empty.
    place: String,
}

impl GuestFrame {
    /// Creates a frame from the function's index, its name unless that was stripped, and the file
    /// and line if they are known.
    pub fn new(name: Option<&str>, index: u32, line: Option<(&str, u32)>) -> Self {
        GuestFrame { name: name.map(demangle), index, place: line.map(in_words).unwrap_or_default() }
    }

    fn of(frame: &FrameInfo) -> Self {
        GuestFrame { name: frame.func_name().map(demangle), index: frame.func_index(), place: place(frame) }
    }
}

impl fmt::Display for GuestFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}{}", Printable(name), Printable(&self.place)),
            None => write!(f, "function {}{}", self.index, Printable(&self.place)),
        }
    }
}

fn place(frame: &FrameInfo) -> String {
    frame.symbols().iter().find_map(|s| Some((s.file()?, s.line()?))).map(in_words).unwrap_or_default()
}

fn in_words((file, line): (&str, u32)) -> String {
    format!(" ({}:{line})", short(file))
}

/// Returns whether the function belongs to a language's runtime (start-up, panics, failed
/// allocations) or to the adapter of WASI 0.1.
fn is_machinery(name: &str) -> bool {
    const PREFIXES: [&str; 8] =
        ["std::", "core::", "alloc::", "__rustc::", "<std::", "<core::", "<alloc::", "wasi_snapshot_preview1"];
    const NAMES: [&str; 13] = [
        "_start",
        "_start.command_export",
        "__main_void",
        "__original_main",
        "__wasm_call_ctors",
        "abort",
        "__abort",
        "rust_panic",
        "__rust_start_panic",
        "wasi:cli/run@0.2.12#run",
        "_initialize",
        "__main_argc_argv",
        "rust_begin_unwind",
    ];
    PREFIXES.iter().any(|p| name.starts_with(p)) || NAMES.contains(&name)
}

/// Demangles names of Rust, without their hash; returns others as they are.
fn demangle(name: &str) -> String {
    let plain = format!("{:#}", rustc_demangle::demangle(name));
    plain.chars().take(200).collect()
}

/// Returns the end of a path, by which people know the file.
fn short(path: &str) -> &str {
    let mut slashes = path.rmatch_indices(['/', '\\']).map(|(i, _)| i);
    slashes.nth(2).map_or(path, |i| &path[i + 1..])
}
