//! From wasmtime's errors to words.

use crate::calls;
use crate::error::{Failure, LimitReached};
use crate::limits::{Limit, Limits};
use std::fmt;
use walnut_policy::Printable;
use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, Trap, WasmBacktrace};

/// How many frames of the guest's stack are shown.
const FRAMES: usize = 8;

/// How the engine's error ends when a sandbox holds as many handles as it may.
const HANDLES_FULL: &str = "store handle limit exceeded";

/// Says how a sandbox failed. Called while the thread still runs it, so that its last host calls are known.
pub(crate) fn failure(error: &wasmtime::Error, limits: &Limits) -> Failure {
    match limit(error) {
        Some(limit) => Failure::Limit { limit, value: limit.value(limits), details: details(error) },
        None => match error.downcast_ref::<Trap>() {
            Some(trap) => Failure::Trap { cause: cause(*trap), details: details(error) },
            None => Failure::Trap { cause: plain(error), details: details(error) },
        },
    }
}

/// A deadline that passed while the guest was waiting, with what it had called last.
pub(crate) fn deadline(limits: &Limits, calls: Option<String>) -> Failure {
    let details = calls.map(last_calls).into_iter().collect();
    Failure::Limit { limit: Limit::Deadline, value: Limit::Deadline.value(limits), details }
}

fn limit(error: &wasmtime::Error) -> Option<Limit> {
    if let Some(LimitReached(limit)) = error.downcast_ref() {
        return Some(*limit);
    }
    if error.is::<wasmtime::GcHeapOutOfMemory<()>>() {
        return Some(Limit::Memory);
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(Limit::Handles);
    }
    if matches!(error.downcast_ref(), Some(Trap::StackOverflow)) {
        return Some(Limit::Stack);
    }
    // The component's own table of handles is full; the engine has no type for that.
    error.root_cause().to_string().ends_with(HANDLES_FULL).then_some(Limit::Handles)
}

/// What a trap means to somebody who wrote the program.
fn cause(trap: Trap) -> String {
    let words = match trap {
        Trap::UnreachableCodeReached => "it gave up (a panic, an abort or a failed assertion ends in `unreachable`)",
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory",
        Trap::HeapMisaligned => "it used an atomic operation on an address that is not aligned",
        Trap::TableOutOfBounds => "it used a table element that does not exist",
        Trap::IndirectCallToNull => "it called a function pointer that is null",
        Trap::BadSignature => "it called a function pointer of another type",
        Trap::IntegerOverflow => "an integer operation overflowed",
        Trap::IntegerDivisionByZero => "it divided an integer by zero",
        Trap::BadConversionToInteger => "it converted a number that no integer can hold",
        Trap::NullReference => "it used a null reference",
        Trap::CastFailure => "a cast of a reference failed",
        Trap::AllocationTooLarge => "it asked for an object that is too large",
        Trap::CannotLeaveComponent => "it called the host at a moment when a component must not",
        other => {
            let words = other.to_string();
            return words.strip_prefix("wasm trap: ").unwrap_or(&words).to_owned();
        }
    };
    words.to_owned()
}

/// An error that is not a trap, by its innermost words, which say most to a person.
fn plain(error: &wasmtime::Error) -> String {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("it ended itself with the code {}", exit.0);
    }
    let text = error.root_cause().to_string();
    let text = text.lines().next().unwrap_or_default().trim();
    BROKEN.iter().find(|(part, _)| text.contains(part)).map_or(text, |(_, words)| words).to_owned()
}

/// Values and handles that cross the component's edge are checked there. These are the ways to fail: a part of the engine's
/// words, and ours.
const BROKEN: [(&str, &str); 13] = [
    ("realloc return", "its `realloc` gave a place that the host cannot write to"),
    ("not aligned", "it handed over an address that is not aligned"),
    ("out of bounds", "it handed over a value that lies outside its memory"),
    ("utf-8", "it handed over text that is not valid Unicode"),
    ("utf-16", "it handed over text that is not valid Unicode"),
    ("for `char`", "it handed over a number that is no character"),
    ("discriminant", "it handed over a case that its type does not have"),
    (
        "fuel allocated for hostcalls",
        "it handed over more in one call than the host takes (128 MiB, as the host keeps it)",
    ),
    ("requested len", "it asked for more random bytes in one call than the host gives"),
    ("has children", "it dropped a resource while others that came from it are in use"),
    ("borrow", "it kept, passed on or dropped a handle that was only lent"),
    ("handle", "it used a handle that it does not have, or that is of another kind"),
    ("resource", "it used a handle that it does not have, or that is of another kind"),
];

fn details(error: &wasmtime::Error) -> Vec<String> {
    let mut details = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    details.extend(calls::recent().map(last_calls));
    details
}

fn last_calls(calls: String) -> String {
    format!("last host calls: {calls}")
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    // What lies between the guest and WASI 0.2 was put there by Walnut.
    let is_ours = |frame: &&FrameInfo| frame.module().name().is_some_and(|m| m.starts_with("wit-component:"));
    let mut all: Vec<_> = backtrace.frames().iter().filter(|f| !is_ours(f)).map(Frame::of).collect();
    // Among functions that have names, one without is ours as well.
    let is_told = |frame: &Frame| frame.name.is_some() || !frame.place.is_empty();
    let stripped = !all.iter().any(is_told);
    all.retain(|frame| stripped || is_told(frame));
    // Between a panic and its cause lies the language's own machinery, which tells the author nothing.
    let own: Vec<_> = all.iter().filter(|f| !f.name.as_deref().is_some_and(is_machinery)).collect();
    let shown = if own.is_empty() { all.iter().collect() } else { own };
    let mut lines: Vec<String> = shown.iter().take(FRAMES).map(|frame| format!("at {frame}")).collect();
    if shown.len() > FRAMES {
        lines.push(format!("and {} more below", shown.len() - FRAMES));
    }
    if stripped && !lines.is_empty() {
        lines.push("(its functions' names were stripped; build it with them to see them here)".into());
    }
    lines
}

/// One function of the guest that was under way.
struct Frame {
    name: Option<String>,
    index: u32,
    /// ` (file:line)`, or nothing.
    place: String,
}

impl Frame {
    fn of(frame: &FrameInfo) -> Self {
        Frame { name: frame.func_name().map(demangle), index: frame.func_index(), place: place(frame) }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}{}", Printable(name), Printable(&self.place)),
            None => write!(f, "function {}{}", self.index, Printable(&self.place)),
        }
    }
}

fn place(frame: &FrameInfo) -> String {
    let symbol = frame.symbols().iter().find_map(|s| Some((s.file()?, s.line()?)));
    symbol.map(|(file, line)| format!(" ({}:{line})", short(file))).unwrap_or_default()
}

/// Functions of a language's runtime: start-up, panics, allocation failure, and the adapter from WASI 0.1.
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

/// Rust's names without their hash, the others as they are.
fn demangle(name: &str) -> String {
    let plain = format!("{:#}", rustc_demangle::demangle(name));
    plain.chars().take(200).collect()
}

/// The end of a path, which is what people know it by.
fn short(path: &str) -> &str {
    let mut slashes = path.rmatch_indices(['/', '\\']).map(|(i, _)| i);
    slashes.nth(2).map_or(path, |i| &path[i + 1..])
}
