//! From a name below a folder to an open file. Blocks.

use super::encoding::Encoding;
use super::path::RelativePath;
use cap_std::fs::{Dir, OpenOptions};
use std::fs::{File, Metadata};
use std::io;
use std::time::SystemTime;

/// What a folder answers with.
const INDEX: &str = "index.html";

pub(super) enum Lookup {
    File(OpenFile),
    /// A folder, where its path was sent without the final slash.
    Folder,
}

pub(super) struct OpenFile {
    pub file: File,
    pub size: u64,
    pub modified: Option<SystemTime>,
    pub encoding: Option<Encoding>,
    /// The name that says of what type it is.
    pub name: String,
}

/// Opens the file that is `wanted`, or one beside it that holds the same in the first of the `encodings` that there is.
pub(super) fn find(dir: &Dir, wanted: &RelativePath, encodings: &[Encoding]) -> io::Result<Lookup> {
    let path = match (wanted.path.as_str(), wanted.is_folder) {
        ("", true) => INDEX.to_owned(),
        ("", false) => return Ok(Lookup::Folder),
        (path, true) => format!("{path}/{INDEX}"),
        (path, false) => path.to_owned(),
    };
    let (file, metadata) = open(dir, &path)?;
    if metadata.is_dir() && !wanted.is_folder {
        return Ok(Lookup::Folder);
    }
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    for encoding in encodings {
        if let Ok((file, metadata)) = open(dir, &format!("{path}{}", encoding.suffix()))
            && metadata.is_file()
        {
            return Ok(Lookup::File(OpenFile::new(file, &metadata, Some(*encoding), path)));
        }
    }
    Ok(Lookup::File(OpenFile::new(file, &metadata, None, path)))
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
        // A pipe would wait for a writer, and a terminal would become this process's own.
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed());
    }
    let file = dir.open_with(path, &options)?.into_std();
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// What an error of the system means to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    Absent,
    Forbidden,
    /// For now.
    NoRoom,
    Failed,
}

pub(super) fn classify(error: &io::Error) -> LookupError {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound | NotADirectory | InvalidFilename | InvalidInput => LookupError::Absent,
        // The system's word, and that of the folder's wall.
        PermissionDenied => LookupError::Forbidden,
        _ => of_unix(error),
    }
}

#[cfg(unix)]
fn of_unix(error: &io::Error) -> LookupError {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => LookupError::NoRoom,
        // A socket, and a device that is not there.
        Some(Errno::NXIO | Errno::NODEV) => LookupError::Absent,
        // Links in circles.
        Some(Errno::LOOP) => LookupError::Forbidden,
        _ => LookupError::Failed,
    }
}

#[cfg(not(unix))]
fn of_unix(_: &io::Error) -> LookupError {
    LookupError::Failed
}
