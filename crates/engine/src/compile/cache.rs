//! Compiled code on disk, so that a component is compiled once per machine.
//!
//! The name of an entry consists of the digest of the artifact and the hash of everything that
//! affects compiled code, so an upgrade or another setting never finds an old entry. Each entry
//! ends in a [`Trailer`] with its length and checksum; an entry that does not match is removed and
//! compiled again, never run. Entries are written to a temporary file and renamed, so that several
//! processes may start at once, and one may die during a write.
//!
//! The size of the cache is bounded: a process that writes an entry removes the least recently used
//! ones until the rest fits. Entries that another process has mapped or opened stay valid for that
//! process.
//!
//! Compiled code is native code: whoever can write here can run any code as this user. The folder
//! is therefore created with mode 0700, and a folder that others own or may write to is not used.

use crate::component::artifact::Digest;
use memmap2::Mmap;
use std::collections::HashSet;
use std::fs::{self, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use walnut_policy::units::{UnitError, parse_size, size};

/// The folder of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Bound of the size, in bytes.
    max_bytes: u64,
}

/// Content of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// Number of components with code.
    pub components: u64,
    /// Size on disk, in bytes.
    pub bytes: u64,
}

/// Reasons why a cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages describe them")]
pub enum CacheError {
    #[error("WALNUT_CACHE_SIZE: {0}")]
    Size(UnitError),
    #[error("no folder for the cache: neither WALNUT_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")]
    NoPlace,
    #[error("the cache folder {} is not safe: {reason}", dir.display())]
    Unsafe { dir: PathBuf, reason: &'static str },
    #[error("the cache folder {} cannot be used: {source}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

const EXTENSION: &str = "code";
const PARTIAL: &str = "partial";
const LOCK: &str = "lock";
/// Time after which an unfinished write counts as abandoned.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Longest wait for another process that writes the same entry.
const LOCK_TIMEOUT: Duration = Duration::from_secs(120);
/// Size without `WALNUT_CACHE_SIZE`, in bytes: a few components of the largest kind, many of every
/// other.
const MAX: u64 = 4 << 30;
/// Precision of the time of the last use. A start should read, not write.
const USED: Duration = Duration::from_secs(24 * 3600);

impl Cache {
    /// Opens the cache of this user: `$WALNUT_CACHE_DIR`, else the XDG cache folder.
    /// `$WALNUT_CACHE_SIZE` bounds its size.
    ///
    /// # Errors
    /// No place for a cache, a folder that is not private, or an invalid size.
    pub fn open() -> Result<Self, CacheError> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        let max_bytes = set("WALNUT_CACHE_SIZE").map_or(Ok(MAX), |text| parse_size(&text.to_string_lossy()));
        let set = |name| set(name).map(PathBuf::from);
        let dir = set("WALNUT_CACHE_DIR")
            .or_else(|| set("XDG_CACHE_HOME").map(|d| d.join("walnut")))
            .or_else(|| set("HOME").map(|d| d.join(".cache/walnut")))
            .or_else(|| set("LOCALAPPDATA").map(|d| d.join("walnut")))
            .ok_or(CacheError::NoPlace)?;
        Cache::at(&dir.join("code"), max_bytes.map_err(CacheError::Size)?)
    }

    /// Opens a cache of at most `max_bytes` in `dir`, which is created if needed.
    ///
    /// # Errors
    /// A folder that cannot be created, or that is not private.
    pub fn at(dir: &Path, max_bytes: u64) -> Result<Self, CacheError> {
        let io_error = |source| CacheError::Io { dir: dir.to_owned(), source };
        make_private(dir).map_err(io_error)?;
        // The folder's own path, without links: nobody else can change where it leads.
        let own = dir.canonicalize().map_err(io_error)?;
        for folder in own.ancestors() {
            if let Some(reason) = unsafe_because(folder, folder == own).map_err(io_error)? {
                let dir = if folder == own { dir } else { folder };
                return Err(CacheError::Unsafe { dir: dir.to_owned(), reason });
            }
        }
        Ok(Cache { dir: own, max_bytes })
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the bound of the size, in words.
    pub fn bound(&self) -> String {
        size(self.max_bytes)
    }

    /// Returns the content.
    pub fn usage(&self) -> io::Result<CacheUsage> {
        let files = self.files()?;
        let bytes = files.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
        let codes = files.iter().filter(|path| path.extension().is_some_and(|e| e == EXTENSION));
        let digests: HashSet<_> = codes.filter_map(|path| path.file_name()?.to_str()?.split('-').next()).collect();
        Ok(CacheUsage { components: digests.len() as u64, bytes })
    }

    /// Removes all entries and returns what they were. Running programs keep their code.
    pub fn clear(&self) -> io::Result<CacheUsage> {
        let usage = self.usage()?;
        for path in self.files()? {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(usage)
    }

    /// Returns whether there is an entry, which may be damaged.
    pub(crate) fn has(&self, digest: &Digest, engine: u64) -> bool {
        self.path(digest, engine).exists()
    }

    /// Returns the file of an entry whose checksum is right.
    pub(crate) fn get(&self, digest: &Digest, engine: u64) -> Option<PathBuf> {
        let path = self.path(digest, engine);
        let file = open_own(&path).ok()?;
        if is_whole(&file).ok()? {
            used(&file);
            return Some(path);
        }
        let _ = fs::remove_file(&path);
        None
    }

    /// Writes an entry and makes room for it. Other processes see it once it is complete. An entry
    /// that is larger than the cache is not kept.
    pub(crate) fn put(&self, digest: &Digest, engine: u64, code: &[u8]) -> io::Result<()> {
        self.sweep();
        let Some(others) = self.max_bytes.checked_sub((code.len() + Trailer::SIZE) as u64) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.shrink(others);
        let mut partial = tempfile::Builder::new().suffix(&format!(".{PARTIAL}")).tempfile_in(&self.dir)?;
        partial.write_all(code)?;
        partial.write_all(&Trailer::of(code).to_bytes())?;
        partial.persist(self.path(digest, engine)).map_err(|e| e.error)?;
        Ok(())
    }

    /// Removes an entry. Running programs keep their code.
    pub(crate) fn remove(&self, digest: &Digest, engine: u64) {
        let _ = fs::remove_file(self.path(digest, engine));
    }

    /// Waits until no other process writes this entry, but not for ever: that process may be
    /// stopped, or slow. The lock ends when it is dropped, and with its process.
    pub(crate) fn lock(&self, digest: &Digest, engine: u64) -> io::Result<CompileLock> {
        let path = self.path(digest, engine).with_extension(LOCK);
        let file = fs::File::create(&path)?;
        let until = Instant::now() + LOCK_TIMEOUT;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(CompileLock { path, _file: file })
    }

    fn path(&self, digest: &Digest, engine: u64) -> PathBuf {
        self.dir.join(format!("{}-{engine:016x}.{EXTENSION}", digest.hex()))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let ours = |path: &PathBuf| path.extension().is_some_and(|e| e == EXTENSION || e == PARTIAL || e == LOCK);
        Ok(fs::read_dir(&self.dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).collect())
    }

    /// Removes the least recently used entries until the others take at most `max_bytes`. Other
    /// processes may do the same, or want a removed entry; they compile it again.
    fn shrink(&self, max_bytes: u64) {
        let about = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), path))
        };
        let mut entries: Vec<_> = self.files().unwrap_or_default().into_iter().filter_map(about).collect();
        entries.sort_unstable();
        let mut bytes: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries.iter().filter(|(_, _, path)| path.extension().is_some_and(|e| e == EXTENSION))
        {
            if bytes <= max_bytes {
                return;
            }
            if fs::remove_file(path).is_ok() {
                bytes -= length;
            }
        }
    }

    /// Removes unfinished writes of processes that have died.
    fn sweep(&self) {
        for path in self.files().unwrap_or_default() {
            let old = |m: fs::Metadata| {
                m.modified().is_ok_and(|t| SystemTime::now().duration_since(t).is_ok_and(|age| age > ABANDONED))
            };
            if path.extension().is_some_and(|e| e == PARTIAL || e == LOCK) && fs::metadata(&path).is_ok_and(old) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// The right to write an entry.
pub(crate) struct CompileLock {
    path: PathBuf,
    _file: fs::File,
}

impl Drop for CompileLock {
    fn drop(&mut self) {
        // A process that waits has the file open and finds the new entry. At worst, two processes
        // write the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// End of an entry: magic, length and CRC-32 of the content. Protects against accidents, not
/// against the owner.
#[derive(PartialEq, Eq)]
struct Trailer {
    length: u64,
    checksum: u32,
}

impl Trailer {
    const MAGIC: [u8; 4] = *b"wlnt";
    const SIZE: usize = 16;

    fn of(code: &[u8]) -> Self {
        Trailer { length: code.len() as u64, checksum: crc32fast::hash(code) }
    }

    fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..4].copy_from_slice(&Self::MAGIC);
        bytes[4..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }
}

/// Records the use of an entry in its modification time, once a day.
fn used(file: &fs::File) {
    let now = SystemTime::now();
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    if changed.is_ok_and(|time| now.duration_since(time).is_ok_and(|age| age > USED)) {
        // An entry that cannot be changed is not removed either.
        let _ = file.set_modified(now);
    }
}

/// Returns whether an entry matches its trailer. The entry is mapped: reading would copy it first,
/// which takes longer than the checksum.
fn is_whole(file: &fs::File) -> io::Result<bool> {
    // SAFETY: nothing changes an entry once it has its name. Only this user could, who can run any
    // code anyway.
    let entry = unsafe { Mmap::map(file)? };
    // An unreadable block of the disk is an error here; later, a touch of it would end the process.
    // Linux has the call from 5.14 on.
    #[cfg(target_os = "linux")]
    match entry.advise(memmap2::Advice::PopulateRead) {
        Err(e) if e.kind() != io::ErrorKind::InvalidInput => return Err(e),
        _ => {}
    }
    let parts = entry.split_last_chunk::<{ Trailer::SIZE }>();
    Ok(parts.is_some_and(|(code, trailer)| Trailer::of(code).to_bytes() == *trailer))
}

/// Opens a file of this user, and no link to another file.
#[cfg(unix)]
fn open_own(path: &Path) -> io::Result<fs::File> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::unix::fs::MetadataExt;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    if metadata.is_file() && is_own { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(not(unix))]
fn open_own(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
/// Returns why somebody else could put code into the cache by way of this folder: the cache itself,
/// or a folder above it. In a folder above it, the sticky bit keeps others from moving what is not
/// theirs, and root may own it.
fn unsafe_because(folder: &Path, is_cache: bool) -> io::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt;
    const ROOT: u32 = 0;
    const STICKY: u32 = 0o1000;
    let metadata = fs::symlink_metadata(folder)?;
    let owner = metadata.uid();
    let is_trusted = owner == rustix::process::geteuid().as_raw() || (owner == ROOT && !is_cache);
    let is_open = metadata.mode() & 0o022 != 0 && (is_cache || metadata.mode() & STICKY == 0);
    Ok(match () {
        () if !metadata.is_dir() => Some("it is no folder"),
        () if !is_trusted => Some("another user owns it"),
        () if is_open => Some("others may write to it"),
        () => None,
    })
}

#[cfg(not(unix))]
fn unsafe_because(_: &Path, _: bool) -> io::Result<Option<&'static str>> {
    // The access list of a user's profile folder makes it private.
    Ok(None)
}

#[cfg(test)]
mod tests;
