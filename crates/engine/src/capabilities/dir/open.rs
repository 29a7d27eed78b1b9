//! Opens the object that a walk ended at, and checks what was opened.

use crate::capabilities::dir::mounts::FileId;
use crate::capabilities::dir::walk::WalkEnd;
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, ftruncate, openat};
use rustix::io::Errno;
use std::fs::File;
use wasmtime_wasi::filesystem::OpenMode;

/// How to open a file or folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpenHow {
    pub reads: bool,
    pub writes: bool,
    pub creates: bool,
    pub is_exclusive: bool,
    pub truncates: bool,
    pub wants_folder: bool,
}

/// An open file or folder that was not checked yet.
pub(super) struct Opened {
    pub file: File,
    pub kind: FileType,
    pub id: FileId,
    pub mode: OpenMode,
}

impl OpenHow {
    /// Returns whether the guest needs the right to write.
    pub fn changes(self) -> bool {
        self.writes || self.creates || self.truncates
    }

    /// Opens the end of a walk. Follows no link, and waits for nobody: a pipe or a device may have
    /// taken the place of a file. Content is left as it is until [`OpenHow::finish`].
    pub fn open(self, end: &WalkEnd) -> Result<Opened, Errno> {
        if self.wants_folder && (self.creates || self.is_exclusive || self.truncates) {
            return Err(Errno::INVAL);
        }
        let writes = self.changes();
        // A file that is not opened to write is opened to read.
        let reads = self.reads || !self.writes;
        let mut flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        flags |= match (reads, writes) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags.set(OFlags::CREATE, self.creates);
        flags.set(OFlags::EXCL, self.creates && self.is_exclusive);
        flags.set(OFlags::DIRECTORY, self.wants_folder);
        let opened = openat(&*end.folder, end.name.as_str(), flags, Mode::from_raw_mode(0o666))?;
        let stat = fstat(&opened)?;
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::READ, reads);
        mode.set(OpenMode::WRITE, writes);
        let kind = FileType::from_raw_mode(stat.st_mode);
        Ok(Opened { file: File::from(opened), kind, id: FileId::of(&stat), mode })
    }

    /// Makes a checked file ready for use.
    pub fn finish(self, opened: &Opened) -> Result<(), Errno> {
        if opened.kind == FileType::RegularFile {
            fcntl_setfl(&opened.file, OFlags::empty())?;
            if self.truncates {
                ftruncate(&opened.file, 0)?;
            }
        }
        Ok(())
    }
}
