//! Bytes, where they came from, and what tells them apart.

use crate::failure::error::LoadError;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use wasmparser::{Encoding, Parser, Payload};

/// Text with longer lines than this gets no line numbers in its traps.
const MAX_LINE_WITH_DEBUG_INFO: usize = 16 << 10;
/// The largest target that is loaded. A compiler of 100 MB is real; a gigabyte is a mistake or an attack.
const MAX_SIZE: u64 = 512 << 20;
/// From here on reading and digesting take long enough to be done at once.
const PARALLEL_FROM: u64 = 2 << 20;
/// How much is read before it is digested.
const PIECE: usize = 512 << 10;

/// What the bytes from standard input are called.
const STANDARD_INPUT: &str = "standard input";

/// A target's bytes, as WebAssembly binary. Clones share them.
#[derive(Clone)]
pub struct Artifact {
    /// What people call it: the path as typed, or `standard input`.
    pub name: String,
    /// The digest of the bytes as they were read.
    pub digest: Digest,
    /// By what its code is known: the same bytes have the same. Text has its name in its code too, which says where in which file
    /// a trap is, so the same text under another name has code of its own.
    pub(crate) code: Digest,
    /// The one that others know them by, once somebody asks: it takes longer to make.
    sha256: OnceLock<String>,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// A BLAKE3 digest: what tells artifacts apart, here and in the cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Digest(blake3::hash(bytes).into())
    }

    /// Lower-case hexadecimal, without a prefix.
    pub fn hex(&self) -> String {
        hex(&self.0)
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

/// As OCI writes it.
fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Artifact({}, {} bytes, {:?})", self.name, self.bytes.len(), self.digest)
    }
}

impl Artifact {
    /// Reads a file of WebAssembly, binary or text; `-` is standard input.
    pub fn load(target: &str) -> Result<Self, LoadError> {
        if target == "-" {
            let bytes = read_bounded(std::io::stdin().lock(), STANDARD_INPUT, 0).map_err(|e| e.at(Path::new("-")))?;
            return Artifact::from_bytes(STANDARD_INPUT, bytes);
        }
        let path = Path::new(target);
        let file = File::open(path).map_err(|e| ReadError::Io(e).at(path))?;
        let metadata = file.metadata().map_err(|e| ReadError::Io(e).at(path))?;
        if metadata.is_dir() {
            return Err(LoadError::NotWasm { name: target.to_owned(), reason: "it is a folder".into() });
        }
        if (PARALLEL_FROM..MAX_SIZE).contains(&metadata.len())
            && let Some((bytes, digest)) = read_and_digest(&file, metadata.len())
        {
            return Artifact::of(target, bytes, digest);
        }
        let bytes = read_bounded(file, target, metadata.len()).map_err(|e| e.at(path))?;
        Artifact::from_bytes(target, bytes)
    }

    /// Takes bytes that are there already, binary or text.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, LoadError> {
        let digest = Digest::of(&bytes);
        Artifact::of(name, bytes, digest)
    }

    fn of(name: &str, bytes: Vec<u8>, digest: Digest) -> Result<Self, LoadError> {
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
        // To find a place in a long line takes as long as the line, for every instruction in it.
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

    /// The SHA-256 digest of the bytes as they were read, as OCI writes it: `sha256:…`.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| sha256(&self.bytes))
    }

    /// The last part of the name, which a guest sees as its own (`argv[0]`).
    pub fn short_name(&self) -> &str {
        self.name.rsplit(['/', '\\']).next().unwrap_or(&self.name)
    }

    /// Whether the bytes are a component rather than a core module. Fails on what is neither.
    pub(crate) fn is_component(&self) -> Result<bool, LoadError> {
        match Parser::new(0).parse_all(&self.bytes).next() {
            Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Component),
            Some(Err(e)) => Err(self.invalid(&e)),
            _ => Err(LoadError::Invalid { name: self.name.clone(), reason: "it has no WebAssembly header".into() }),
        }
    }

    /// An error of the parser, without the offsets that help nobody who did not write the bytes.
    pub(crate) fn invalid(&self, error: &wasmparser::BinaryReaderError) -> LoadError {
        LoadError::Invalid { name: self.name.clone(), reason: crate::failure::error::parser_words(error.message()) }
    }

    /// How many bytes of binary there are.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What is typed for a target of this name.
pub(crate) fn as_typed(name: &str) -> &str {
    if name == STANDARD_INPUT { "-" } else { name }
}

enum ReadError {
    Io(std::io::Error),
    TooLarge(String),
}

impl ReadError {
    fn at(self, path: &Path) -> LoadError {
        match self {
            ReadError::Io(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                LoadError::NotFound(path.to_owned())
            }
            ReadError::Io(source) => LoadError::Unreadable { path: path.to_owned(), source },
            ReadError::TooLarge(name) => LoadError::TooLarge { name, most: crate::limits::size(MAX_SIZE) },
        }
    }
}

fn read_bounded(source: impl Read, name: &str, expected: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(MAX_SIZE)).unwrap_or(0));
    source.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(ReadError::TooLarge(name.to_owned()));
    }
    Ok(bytes)
}

/// Reads a file of this many bytes while another thread makes the digest of what is there already: both take milliseconds.
/// `None` when that does not work out, as when the file has another size by now. The file is at its start then.
fn read_and_digest(mut file: &File, size: u64) -> Option<(Vec<u8>, Digest)> {
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    in_large_pages(&bytes);
    let digest = thread::scope(|scope| {
        let (send, pieces) = mpsc::channel::<&[u8]>();
        let digest = move || {
            let mut digest = blake3::Hasher::new();
            for piece in pieces {
                digest.update(piece);
            }
            digest.finalize()
        };
        let digest = thread::Builder::new().spawn_scoped(scope, digest).ok()?;
        for piece in bytes.chunks_mut(PIECE) {
            file.read_exact(piece).ok()?;
            send.send(piece).ok()?;
        }
        drop(send);
        digest.join().ok()
    });
    match (digest, file.read(&mut [0])) {
        (Some(digest), Ok(0)) => Some((bytes, Digest(digest.into()))),
        _ => {
            file.rewind().ok()?;
            None
        }
    }
}

/// Has the system take large pages for memory that is still untouched. To get it in small ones takes longer than to read
/// into it.
#[cfg(target_os = "linux")]
fn in_large_pages(memory: &[u8]) {
    const PAGE: usize = 4096;
    let inside = &memory[memory.as_ptr().align_offset(PAGE).min(memory.len())..];
    // SAFETY: it is about memory that the slice holds, and changes nothing of what is in it. Where the system has no large
    // pages, or others than this of small ones, it says so and does nothing.
    unsafe { libc::madvise(inside.as_ptr().cast_mut().cast(), inside.len(), libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(_memory: &[u8]) {}

/// What people pass by mistake, told by its first bytes.
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

/// Where the comment that `text` starts with ends. Block comments nest.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_is_digested_while_it_is_read_has_the_same_digest() {
        let mut file = tempfile::tempfile().unwrap();
        let all: Vec<u8> = (0..PARALLEL_FROM + 12_345).map(|i| (i % 251) as u8).collect();
        file.write_all(&all).unwrap();
        for wrong in [PARALLEL_FROM, PARALLEL_FROM + 12_346] {
            file.rewind().unwrap();
            assert!(read_and_digest(&file, wrong).is_none(), "{wrong}");
            assert_eq!(file.stream_position().unwrap(), 0);
        }
        let (bytes, digest) = read_and_digest(&file, PARALLEL_FROM + 12_345).unwrap();
        assert!(bytes == all);
        assert_eq!(digest, Digest::of(&all));
    }
}
