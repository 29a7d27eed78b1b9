//! Fingerprints of files and folders, to detect changes by polling. That works on every file system
//! and misses no change that lasts. Used for certificates, and by `--watch`.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

/// Modification time, size and inode of a file; only the inode of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Fingerprint {
    /// Takes the fingerprint of `file`; `None` if it does not exist. To be taken before the file is
    /// read, so that a change in between is detected the next time.
    pub fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let (modified, length) =
            if metadata.is_dir() { (SystemTime::UNIX_EPOCH, 0) } else { (metadata.modified().ok()?, metadata.len()) };
        Some(Fingerprint { modified, length, inode: inode(&metadata) })
    }
}

/// Returns the inode number: a replaced file has another one, even within the resolution of the
/// clock.
#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_folder_keeps_its_fingerprint_whatever_changes_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (folder, next) = (path("folder"), path("next"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&next).unwrap();
        let before = Fingerprint::of(&folder);
        (0..100).for_each(|n| fs::write(folder.join(n.to_string()), "").unwrap());
        File::open(&folder).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        assert_eq!(Fingerprint::of(&folder), before);
        fs::rename(&folder, path("old")).unwrap();
        assert_eq!(Fingerprint::of(&folder), None);
        fs::rename(&next, &folder).unwrap();
        assert_ne!(Fingerprint::of(&folder), before);
    }
}
