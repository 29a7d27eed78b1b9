//! Tells whether a file or a folder is another than it was: by looking at it, which works on every file system and can miss
//! nothing that lasts. For certificates (`tls.rs`), and for whoever watches what is served.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

/// One state of a file; of a folder, whatever is in it, which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    modified: SystemTime,
    length: u64,
    identity: u64,
}

impl Fingerprint {
    /// How `file` is now; `None` when it is not there. To be taken before it is read, so that what changes meanwhile is seen
    /// the next time.
    pub fn of(file: &Path) -> Option<Self> {
        let of = fs::metadata(file).ok()?;
        let (modified, length) =
            if of.is_dir() { (SystemTime::UNIX_EPOCH, 0) } else { (of.modified().ok()?, of.len()) };
        Some(Fingerprint { modified, length, identity: identity(&of) })
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn a_folder_is_the_same_whatever_comes_and_goes_in_it() {
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
