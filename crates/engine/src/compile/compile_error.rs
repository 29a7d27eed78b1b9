//! Turns errors of the compiler into plain words.

use crate::component::artifact::Artifact;
use crate::component::proposals::unsupported;
use crate::failure::error::{LoadError, parser_words};
use walnut_policy::units::size;

/// Returns the initial size of a memory that is larger than the pool's slots.
fn minimum_memory(message: &str) -> Option<String> {
    let bytes = message.split_once("minimum byte size of ")?.1.split(' ').next()?;
    Some(size(bytes.parse().ok()?))
}

/// Explains an error of compilation. The compiler also validates, so the component may be invalid.
pub(crate) fn compile_error(artifact: &Artifact, error: &wasmtime::Error) -> LoadError {
    let name = artifact.name.clone();
    if let Some(e) = error.chain().find_map(|e| e.downcast_ref::<wasmparser::BinaryReaderError>()) {
        return artifact.invalid(e);
    }
    let cause = error.root_cause().to_string();
    let cause = cause.lines().next().unwrap_or_default();
    // The compiler reads functions lazily, and its error for them has no type here.
    let unread = cause.strip_prefix("Invalid input WebAssembly code at offset ").and_then(|rest| rest.split_once(": "));
    if cause.starts_with("section range ") {
        return LoadError::Invalid { name, reason: "it ends in the middle".into() };
    }
    // Some features that the baseline compiler lacks only have these words.
    let cause = cause.strip_prefix("Compilation error: ").unwrap_or(cause);
    let cause = cause.split_once(" (at offset ").map_or(cause, |(words, _)| words);
    if let Some(error) = unsupported(&name, cause) {
        return error;
    }
    match (minimum_memory(cause), unread) {
        (Some(needs), _) => LoadError::Memory { name, needs },
        (None, Some((_, words))) => LoadError::Invalid { name, reason: parser_words(words) },
        (None, None) => LoadError::Compile { name, reason: cause.to_owned() },
    }
}
