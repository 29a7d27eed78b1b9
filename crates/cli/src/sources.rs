//! The files that apps are read from and the folders that they serve, and whether they are still what they were.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use walnut_engine::{Artifact, LoadError};
use walnut_host::Fingerprint;

/// How often files are looked at. A look is one call for each, so that nothing has to tell of changes: it works on every
/// file system, and for files that are put in place of others.
const LOOK: Duration = Duration::from_millis(500);
/// How long a file that changed must stay as it is. Tools write in steps.
const QUIET: Duration = Duration::from_millis(200);

/// What was read last.
#[derive(Default)]
pub struct Sources {
    files: Mutex<Vec<(PathBuf, Option<Fingerprint>)>>,
    /// Which gives its bytes once.
    standard_input: Mutex<Option<Artifact>>,
}

impl Sources {
    /// Everything is read anew from here.
    pub fn begin(&self) {
        lock(&self.files).clear();
    }

    /// Reads a component.
    pub fn artifact(&self, target: &str) -> Result<Artifact, LoadError> {
        if target != "-" {
            self.note(Path::new(target));
            return Artifact::load(target);
        }
        let mut kept = lock(&self.standard_input);
        if let Some(artifact) = &*kept {
            return Ok(artifact.clone());
        }
        Ok(kept.insert(Artifact::load(target)?).clone())
    }

    /// Reads a manifest.
    pub fn text(&self, path: &Path) -> io::Result<String> {
        self.note(path);
        String::from_utf8(std::fs::read(path)?).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not text in UTF-8"))
        })
    }

    /// To be told of a file or a folder before it is opened, so that what changes meanwhile is seen.
    pub fn note(&self, path: &Path) {
        lock(&self.files).push((path.to_owned(), Fingerprint::of(path)));
    }

    /// Ends once one of them is another than the one that was opened, and is not being written any more.
    pub async fn changed(self: &Arc<Self>) {
        loop {
            sleep(LOOK).await;
            let Some(mut seen) = self.look().await else { continue };
            loop {
                sleep(QUIET).await;
                match self.look().await {
                    Some(now) if now == seen => return,
                    Some(now) => seen = now,
                    None => break,
                }
            }
        }
    }

    /// How the files are now, when they are not as they were. A file system that hangs must not hold this thread.
    async fn look(self: &Arc<Self>) -> Option<Vec<Option<Fingerprint>>> {
        let sources = self.clone();
        let look = move || {
            let read = lock(&sources.files).clone();
            let now: Vec<_> = read.iter().map(|(file, _)| Fingerprint::of(file)).collect();
            read.iter().map(|(_, before)| before).ne(&now).then_some(now)
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
