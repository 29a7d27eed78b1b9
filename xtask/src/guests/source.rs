//! The source of a guest.

use crate::error::TaskResult;
use std::fs;
use std::path::{Path, PathBuf};

pub struct GuestSource {
    pub name: &'static str,
    /// Folder of the sources of all guests.
    pub sources: PathBuf,
    /// File or folder of this guest.
    pub path: PathBuf,
}

impl GuestSource {
    /// The world of `wit/guests.wit` that a guest implements whose tools ask for it.
    pub fn world(&self) -> &'static str {
        if self.is_http() { "http" } else { "command" }
    }

    pub fn is_http(&self) -> bool {
        self.name.contains("_http_")
    }

    /// The path relative to the folder of all sources, as compilers write it into debug
    /// information.
    pub fn relative_path(&self) -> TaskResult<&Path> {
        Ok(self.path.strip_prefix(&self.sources)?)
    }
}

/// Adds the file, or all files in the folder.
pub fn list_files(path: &Path, files: &mut Vec<PathBuf>) -> TaskResult {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        list_files(&entry?.path(), files)?;
    }
    Ok(())
}
