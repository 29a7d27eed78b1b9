//! Tells whether a file is another than it was: by looking at it, which works on every file system and can miss nothing that
//! lasts. For certificates (`tls.rs`), and for whoever watches what is served.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

/// One state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    length: u64,
    identity: u64,
}

impl Stamp {
    /// How `file` is now; `None` when it is not there. To be taken before it is read, so that what changes meanwhile is seen
    /// the next time.
    pub fn of(file: &Path) -> Option<Self> {
        let of = fs::metadata(file).ok()?;
        Some(Stamp { modified: of.modified().ok()?, length: of.len(), identity: identity(&of) })
    }
}

/// A file that was put in another's place has another number, however quickly that went.
#[cfg(unix)]
fn identity(of: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(of)
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> u64 {
    0
}
