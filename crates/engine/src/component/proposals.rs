//! Proposals for WebAssembly that the engine does not support, by the words of the parser.

use crate::failure::error::LoadError;

/// A proposal that is not supported.
struct Proposal {
    /// Words in the parser's message about code that uses it.
    words: &'static [&'static str],
    name: &'static str,
    /// How to build without it.
    hint: &'static str,
}

const PROPOSALS: [Proposal; 7] = [
    Proposal {
        words: &["legacy_exceptions", "legacy exceptions"],
        name: "the legacy form of exceptions",
        hint: "build it with their final form (Emscripten: `-sWASM_LEGACY_EXCEPTIONS=0`; clang: \
            `-mllvm -wasm-use-legacy-eh=false`), or without exceptions (`-fno-exceptions`)",
    },
    Proposal {
        words: &["stack switching", "stack_switching", "continuation"],
        name: "stack switching",
        hint: "build it without stack switching: in place of `cont` types, use threads of the language's own runtime",
    },
    Proposal {
        words: &["wide arithmetic", "wide_arithmetic"],
        name: "wide arithmetic",
        hint: "build it without wide arithmetic (clang: `-mno-wide-arithmetic`; Rust: `-C target-feature=-wide-arithmetic`)",
    },
    Proposal {
        words: &["custom page size", "custom-page-sizes", "page size"],
        name: "custom page sizes",
        hint: "build it with pages of 64 KiB: leave out `--page-size` of the linker",
    },
    Proposal {
        words: &["shared_everything_threads", "shared-everything", "shared composite types", "shared globals"],
        name: "shared-everything threads",
        hint: "build it without threads: leave out `-pthread`, and build for wasm32-wasip1 or wasm32-wasip2",
    },
    Proposal {
        words: &["memory control", "memory_control", "memory.discard"],
        name: "memory control",
        hint: "build it without `memory.discard`",
    },
    Proposal {
        words: &["custom descriptors", "custom_descriptors", "exact heap type"],
        name: "custom descriptors",
        hint: "build it without custom descriptors",
    },
];

/// Returns the error for a target that uses a proposal, if a message of the parser, or of an error
/// of this kind, is about one.
pub(crate) fn unsupported(name: &str, message: &str) -> Option<LoadError> {
    let is_about = |proposal: &&Proposal| {
        message.contains(proposal.name) || proposal.words.iter().any(|words| message.contains(words))
    };
    let Proposal { name: proposal, hint, .. } = PROPOSALS.iter().find(is_about)?;
    Some(LoadError::Unsupported { name: name.to_owned(), proposal, hint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Validator, WasmFeatures};

    /// Holds the words against the parser's own.
    #[test]
    fn the_parser_is_understood() {
        for (text, name) in [
            ("(module (tag $e) (func try throw $e catch $e end))", "the legacy form of exceptions"),
            ("(module (type $f (func)) (type (cont $f)))", "stack switching"),
            (
                "(module (func (param i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 0))))",
                "wide arithmetic",
            ),
            ("(module (memory 1 (pagesize 1)))", "custom page sizes"),
            ("(module (type (shared (func))))", "shared-everything threads"),
        ] {
            let bytes = wat::parse_str(text).unwrap();
            let mut validator = Validator::new_with_features(WasmFeatures::default());
            let error = validator.validate_all(&bytes).map(drop).unwrap_err();
            let found = unsupported("it", error.message()).map(|error| error.to_string());
            let expected = format!("it uses {name}, which Walnut does not support");
            assert_eq!(found, Some(expected), "{}", error.message());
        }
        assert!(unsupported("it", "unexpected end-of-file").is_none());
    }
}
