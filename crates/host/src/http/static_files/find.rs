//! Finds and opens a file below a folder. Blocks.

use super::encoding::Encoding;
use super::path::RelativePath;
use cap_std::fs::{Dir, OpenOptions};
use std::fs::{File, Metadata};
use std::io;
use std::time::SystemTime;

/// File that answers for a folder.
const INDEX: &str = "index.html";

/// Result of a lookup.
pub(super) enum FileOrFolder {
    /// A regular file.
    File(OpenFile),
    /// A folder whose path was sent without the final slash.
    Folder,
}

/// An open file.
pub(super) struct OpenFile {
    pub file: File,
    pub size: u64,
    pub modified: Option<SystemTime>,
    pub encoding: Option<Encoding>,
    /// Name that determines the content type.
    pub name: String,
}

/// Opens the file at `path`, or its precompressed variant in the first of `encodings` that exists.
pub(super) fn find(dir: &Dir, target: &RelativePath, encodings: &[Encoding]) -> io::Result<FileOrFolder> {
    let path = match (target.path.as_str(), target.is_folder) {
        ("", true) => INDEX.to_owned(),
        ("", false) => return Ok(FileOrFolder::Folder),
        (path, true) => format!("{path}/{INDEX}"),
        (path, false) => path.to_owned(),
    };
    let (file, metadata) = open(dir, &path)?;
    if metadata.is_dir() && !target.is_folder {
        return Ok(FileOrFolder::Folder);
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    for encoding in encodings {
        if let Ok((file, metadata)) = open(dir, &format!("{path}{}", encoding.suffix()))
            && metadata.is_file()
        {
            return Ok(FileOrFolder::File(OpenFile::new(file, &metadata, Some(*encoding), path)));
        }
    }
    Ok(FileOrFolder::File(OpenFile::new(file, &metadata, None, path)))
}

impl OpenFile {
    fn new(file: File, metadata: &Metadata, encoding: Option<Encoding>, name: String) -> Self {
        OpenFile { file, size: metadata.len(), modified: metadata.modified().ok(), encoding, name }
    }
}

fn open(dir: &Dir, path: &str) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        use rustix::fs::OFlags;
        // Opening a pipe would block until there is a writer; a terminal could become the process's
        // controlling one.
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = dir.open_with(path, &options)?.into_std();
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Error of a lookup, as a client sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    /// No such file, or not a regular one.
    Absent,
    /// The file may not be read, or lies outside the folder.
    Forbidden,
    /// The system is out of file descriptors or memory.
    OutOfResources,
    /// Any other error.
    Failed,
}

/// Classifies an error of the system.
pub(super) fn classify(error: &io::Error) -> LookupError {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound | NotADirectory | InvalidFilename | InvalidInput => LookupError::Absent,
        // By the system's permissions, or by cap-std for a path that leads out.
        PermissionDenied => LookupError::Forbidden,
        _ => classify_errno(error),
    }
}

#[cfg(unix)]
fn classify_errno(error: &io::Error) -> LookupError {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => LookupError::OutOfResources,
        // A socket, or a missing device.
        Some(Errno::NXIO | Errno::NODEV) => LookupError::Absent,
        // A loop of links.
        Some(Errno::LOOP) => LookupError::Forbidden,
        _ => LookupError::Failed,
    }
}

#[cfg(not(unix))]
fn classify_errno(_: &io::Error) -> LookupError {
    LookupError::Failed
}
