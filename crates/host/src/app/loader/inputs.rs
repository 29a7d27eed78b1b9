//! Input files of a load, and whether they have changed since.

use crate::fingerprint::Fingerprint;
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use walnut_engine::{Artifact, ArtifactRef, ArtifactSource, LoadError, LocalArtifacts};

/// Reads the files of apps, and remembers the state of each file and folder that the latest load
/// used.
#[derive(Default)]
pub struct Inputs {
    used: Mutex<Vec<(PathBuf, Option<Fingerprint>)>>,
    /// Standard input can be read only once, so later loads get the same bytes.
    standard_input: Mutex<Option<Artifact>>,
}

impl ArtifactSource for Inputs {
    fn load(&self, reference: &ArtifactRef) -> Result<Artifact, LoadError> {
        match reference {
            ArtifactRef::File(path) => {
                self.note(path);
                LocalArtifacts.load(reference)
            }
            ArtifactRef::Stdin => {
                let mut kept = self.standard_input.lock();
                if let Some(artifact) = &*kept {
                    return Ok(artifact.clone());
                }
                Ok(kept.insert(LocalArtifacts.load(reference)?).clone())
            }
        }
    }
}

impl Inputs {
    /// Forgets the files of the previous load.
    pub(crate) fn begin(&self) {
        self.used.lock().clear();
    }

    /// Reads a manifest. Text that is not UTF-8 is an error of the kind
    /// [`io::ErrorKind::InvalidData`].
    pub(crate) fn text(&self, path: &Path) -> io::Result<String> {
        self.note(path);
        String::from_utf8(fs::read(path)?).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not text in UTF-8"))
        })
    }

    /// Remembers the state of a file or folder. To be called before it is opened, so that a later
    /// change is noticed.
    pub(crate) fn note(&self, path: &Path) {
        self.used.lock().push((path.to_owned(), Fingerprint::of(path)));
    }

    /// Returns the present state of the inputs if any of them differs from when it was read. Blocks
    /// while the file system answers.
    pub fn changed(&self) -> Option<Vec<Option<Fingerprint>>> {
        let used = self.used.lock().clone();
        let now: Vec<_> = used.iter().map(|(path, _)| Fingerprint::of(path)).collect();
        used.iter().map(|(_, before)| before).ne(&now).then_some(now)
    }
}
