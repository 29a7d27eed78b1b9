//! Artifacts: the bytes of a target, with a name and digests.

use crate::component::proposals::unsupported;
use crate::failure::error::LoadError;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use wasmparser::{Encoding, Parser, Payload};

/// Longest line of WebAssembly text whose traps get line numbers, in bytes.
const MAX_LINE_WITH_DEBUG_INFO: usize = 16 << 10;

/// The bytes of a target, as WebAssembly binary. Clones share them.
#[derive(Clone)]
pub struct Artifact {
    /// Name in messages: the path as typed, or `standard input`.
    pub name: String,
    /// Digest of the bytes as they were read.
    pub digest: Digest,
    /// Digest that identifies the compiled code. Equal binaries have the same. Code of a text
    /// contains the text's name, for the lines of traps, so its digest includes the name.
    pub(crate) code: Digest,
    /// SHA-256 digest, computed on first use because that takes longer.
    sha256: OnceLock<String>,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// BLAKE3 digest, which identifies artifacts here and in the cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Digest(blake3::hash(bytes).into())
    }

    /// Returns the digest as lower-case hexadecimal, without a prefix.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Digest(hash.into())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", self.hex())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns the SHA-256 digest as OCI writes it.
fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Artifact({}, {} bytes, {:?})", self.name, self.bytes.len(), self.digest)
    }
}

impl Artifact {
    /// Creates an artifact from bytes, binary or text.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, LoadError> {
        let digest = Digest::of(&bytes);
        Artifact::with_digest(name, bytes, digest)
    }

    pub(crate) fn with_digest(name: &str, bytes: Vec<u8>, digest: Digest) -> Result<Self, LoadError> {
        let not_wasm = |reason: &str| LoadError::NotWasm { name: name.to_owned(), reason: reason.to_owned() };
        if bytes.is_empty() {
            return Err(not_wasm("it is empty"));
        }
        if bytes.starts_with(b"\0asm") {
            if !matches!(bytes.get(4..8), Some([1, 0, 0, 0] | [0x0d, 0, 1, 0])) {
                return Err(LoadError::Invalid {
                    name: name.to_owned(),
                    reason: "it is of no version of WebAssembly that there is".into(),
                });
            }
            return Ok(Artifact::binary(name, digest, bytes));
        }
        if let Some(what) = foreign(&bytes) {
            return Err(not_wasm(what));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| not_wasm("it starts with other bytes"))?;
        let text = text.trim_start_matches('\u{feff}');
        if !looks_like_wat(text) {
            return Err(not_wasm("it is text, but not WebAssembly text"));
        }
        let sha256 = sha256(&bytes).into();
        let mut parser = wat::Parser::new();
        // Locating an instruction in a line takes time proportional to the line's length.
        if text.lines().all(|line| line.len() <= MAX_LINE_WITH_DEBUG_INFO) {
            parser.generate_dwarf(wat::GenerateDwarf::Lines);
        }
        let bytes = parser.parse_str(Some(Path::new(name)), text).map_err(|e| LoadError::Text {
            name: name.to_owned(),
            reason: crate::failure::error::short_lines(&e.to_string()),
        })?;
        let code = Digest(blake3::Hasher::new().update(&digest.0).update(name.as_bytes()).finalize().into());
        Ok(Artifact { sha256, code, ..Artifact::binary(name, digest, bytes) })
    }

    pub(crate) fn binary(name: &str, digest: Digest, bytes: Vec<u8>) -> Self {
        Artifact { name: name.to_owned(), digest, code: digest, sha256: OnceLock::new(), bytes: Arc::new(bytes) }
    }

    /// Returns the SHA-256 digest of the bytes as they were read, as OCI writes it: `sha256:…`.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| sha256(&self.bytes))
    }

    /// Returns the last part of the name, which a guest sees as its own (`argv[0]`).
    pub fn short_name(&self) -> &str {
        self.name.rsplit(['/', '\\']).next().unwrap_or(&self.name)
    }

    /// Returns whether the bytes are a component rather than a core module. Fails for other bytes.
    pub(crate) fn is_component(&self) -> Result<bool, LoadError> {
        match Parser::new(0).parse_all(&self.bytes).next() {
            Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Component),
            Some(Err(e)) => Err(self.invalid(&e)),
            _ => Err(LoadError::Invalid { name: self.name.clone(), reason: "it has no WebAssembly header".into() }),
        }
    }

    /// Creates the error for bytes that the parser rejects, without offsets, which only help the
    /// author of the bytes.
    pub(crate) fn invalid(&self, error: &wasmparser::BinaryReaderError) -> LoadError {
        let name = self.name.clone();
        unsupported(&name, error.message()).unwrap_or_else(|| {
            let reason = crate::failure::error::parser_words(error.message());
            LoadError::Invalid { name, reason }
        })
    }

    /// Returns the size of the binary, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Recognises other kinds of files by their first bytes.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 7] = [
        (b"\x7fELF", "it is a native program or precompiled code (ELF)"),
        (b"MZ", "it is a Windows program"),
        (b"\xcf\xfa\xed\xfe", "it is a macOS program"),
        (b"#!", "it is a script"),
        (b"\x1f\x8b", "it is gzip-compressed"),
        (b"PK\x03\x04", "it is a zip archive"),
        (b"<", "it is a web page or XML"),
    ];
    KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| *what)
}

fn looks_like_wat(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let end = if rest.starts_with(";;") {
            rest.find('\n').map(|i| i + 1)
        } else if rest.starts_with("(;") {
            block_comment(rest)
        } else {
            return rest.starts_with('(');
        };
        rest = rest[end.unwrap_or(rest.len())..].trim_start();
    }
}

/// Returns the end of the comment that `text` starts with. Block comments nest.
fn block_comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = text.as_bytes().get(at..at + 2) {
        match pair {
            b"(;" => depth += 1,
            b";)" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
