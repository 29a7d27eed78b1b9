//! Sources of artifacts: files, and standard input.

use crate::component::artifact::{Artifact, Digest};
use crate::component::artifact_ref::ArtifactRef;
use crate::failure::error::LoadError;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use walnut_policy::units::size;

/// Largest target that is loaded, in bytes. A compiler of 100 MB is real; a gigabyte is a mistake
/// or an attack.
const MAX_SIZE: u64 = 512 << 20;
/// Size, in bytes, from which on a file is read and digested in parallel.
const PARALLEL_FROM: u64 = 2 << 20;
/// Bytes that are read before they are digested.
const PIECE: usize = 512 << 10;

/// A source of artifacts.
pub trait ArtifactSource {
    /// Reads the bytes that `reference` names: WebAssembly, binary or text.
    ///
    /// # Errors
    /// Bytes that cannot be read, or that are not WebAssembly.
    fn load(&self, reference: &ArtifactRef) -> Result<Artifact, LoadError>;
}

/// The files of this machine, and standard input.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalArtifacts;

impl ArtifactSource for LocalArtifacts {
    fn load(&self, reference: &ArtifactRef) -> Result<Artifact, LoadError> {
        match reference {
            ArtifactRef::File(path) => read_file(path, &reference.name()),
            ArtifactRef::Stdin => {
                let bytes = read_bounded(std::io::stdin().lock(), &reference.name(), 0);
                Artifact::from_bytes(&reference.name(), bytes.map_err(|e| e.at(Path::new("-")))?)
            }
        }
    }
}

fn read_file(path: &Path, name: &str) -> Result<Artifact, LoadError> {
    let file = File::open(path).map_err(|e| ReadError::Io(e).at(path))?;
    let metadata = file.metadata().map_err(|e| ReadError::Io(e).at(path))?;
    if metadata.is_dir() {
        return Err(LoadError::NotWasm { name: name.to_owned(), reason: "it is a folder".into() });
    }
    if (PARALLEL_FROM..MAX_SIZE).contains(&metadata.len())
        && let Some((bytes, digest)) = read_and_digest(&file, metadata.len())
    {
        return Artifact::with_digest(name, bytes, digest);
    }
    let bytes = read_bounded(file, name, metadata.len()).map_err(|e| e.at(path))?;
    Artifact::from_bytes(name, bytes)
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
            ReadError::TooLarge(name) => LoadError::TooLarge { name, most: size(MAX_SIZE) },
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

/// Reads a file of this size while another thread digests the beginning: each takes milliseconds.
/// Returns `None` if that fails, for instance because the size has changed; the file is at its
/// start then.
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
        (Some(digest), Ok(0)) => Some((bytes, Digest::from(digest))),
        _ => {
            file.rewind().ok()?;
            None
        }
    }
}

/// Asks the system for large pages under untouched memory. Getting the memory in small pages takes
/// longer than reading the file.
#[cfg(target_os = "linux")]
fn in_large_pages(memory: &[u8]) {
    const PAGE: usize = 4096;
    let inside = &memory[memory.as_ptr().align_offset(PAGE).min(memory.len())..];
    // SAFETY: the memory belongs to the slice, and its content does not change. A system without
    // large pages, or with small pages of another size, returns an error and does nothing.
    unsafe { libc::madvise(inside.as_ptr().cast_mut().cast(), inside.len(), libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn in_large_pages(_memory: &[u8]) {}

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
