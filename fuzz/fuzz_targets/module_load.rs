//! Loading: arbitrary bytes, binary or text, through everything that reads them before anything is
//! compiled.
//!
//! A bug is: a panic; a hang; memory out of proportion to the input; an error text with a hex
//! offset or a Rust name in it, which would tell a person nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use walnut_engine::{Artifact, Inspection, LoadError};

fuzz_target!(|bytes: &[u8]| {
    let artifact = match Artifact::from_bytes("input", bytes.to_vec()) {
        Ok(artifact) => artifact,
        Err(e) => return check(&e),
    };
    if let Err(e) = Inspection::of(&artifact) {
        check(&e);
    }
    if let Err(e) = Inspection::wit(&artifact) {
        check(&e);
    }
});

fn check(error: &LoadError) {
    // Names that the module gives to things are its own and may look like anything.
    if let LoadError::MissingImports { .. } = error {
        return;
    }
    let text = error.to_string();
    assert!(!text.contains("(at offset 0x"), "an offset: {text}");
    for word in ["wasmparser::", "wit_component::", "anyhow::", "BinaryReaderError", "Some(", "unwrap"] {
        assert!(!text.contains(word), "`{word}`: {text}");
    }
}
