//! Size of an artifact's code.

use crate::component::artifact::Artifact;
use wasmparser::{Parser, Payload};

/// Sizes of the functions of an artifact, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeSize {
    /// All functions.
    pub total: usize,
    /// The largest function.
    pub largest: usize,
}

impl CodeSize {
    /// Adds up the functions, as far as the total is at most `most`. Data is passed over.
    pub fn up_to(most: usize, artifact: &Artifact) -> Self {
        let mut size = CodeSize::default();
        for payload in Parser::new(0).parse_all(&artifact.bytes).map_while(Result::ok) {
            if let Payload::CodeSectionEntry(body) = payload {
                let bytes = body.range().len();
                size = CodeSize { total: size.total + bytes, largest: size.largest.max(bytes) };
            }
            if size.total > most {
                break;
            }
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_all_modules_are_added_up() {
        let of = |text: &str, most| CodeSize::up_to(most, &Artifact::from_bytes("test.wat", text.into()).unwrap());
        let one = of("(module (func) (func nop nop nop))", 1000);
        assert!(one.largest > 0 && one.total > one.largest, "{one:?}");
        let two = of("(component (core module (func)) (core module (func nop nop nop)))", 1000);
        assert_eq!(one, two);
        assert_eq!(of("(module (data \"x\"))", 1000), CodeSize::default());
        assert!(of("(module (func nop) (func nop) (func nop nop nop nop))", 1).total < one.total);
    }
}
