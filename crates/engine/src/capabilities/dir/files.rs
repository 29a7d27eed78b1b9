//! The capability `dir`: files and folders.
//!
//! A guest gets its mounts, and after them a read-only root that only contains the way to the
//! mounts. Every path lies below this root, so a path outside every mount is seen here and
//! explained, instead of failing in the guest's C library. On the host, the root is an empty folder
//! that is made on first use and removed at once. An open folder stays usable after its removal,
//! nothing can be created in it, and nothing is left behind however the process ends.
//! [`Files::leads_to`] returns its entries.
//!
//! Inside a mount, wasmtime's cap-std resolves paths, so that no `..`, symbolic link or race leads
//! out. This file decides whether an operation may be tried ([`Files::admit`]), and reports
//! operations that were refused for leading out ([`Files::refused`]).

use crate::capabilities::dir::mounts::Mounts;
use crate::capabilities::state::HostState;
use crate::gate::gate::{Gate, Permit};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walnut_policy::{Access, Denial, Mount, Reason, Request, normalize};
use wasmtime_wasi::filesystem::{Descriptor, Dir};

/// The files of one sandbox.
pub(crate) struct Files {
    mounts: Arc<Mounts>,
    /// The guest path of each open file and folder, by its handle.
    places: HashMap<u32, String>,
}

/// State of this capability.
pub(crate) trait DirState: HostState {
    fn files(&self) -> &Files;
    fn files_mut(&mut self) -> &mut Files;
}

/// An operation that may be tried: in the folder `dir`, on the path `path`.
pub(crate) struct AdmittedPath {
    pub dir: Dir,
    pub path: String,
    /// The absolute guest path.
    pub guest: String,
    /// The permit; `None` in the folders that only lead to mounts, which give no authority.
    permit: Option<Permit>,
}

/// Error that a guest sees, before its translation to WASI 0.2 or 0.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    Access,
    NoEntry,
    NotPermitted,
    ReadOnly,
    BadDescriptor,
    NotDirectory,
}

/// Place that a path leads to.
enum PathTarget {
    Mount { dir: Dir, path: String, guest: String },
    Root { dir: Dir, guest: String },
    Outside { guest: String },
    AboveBase,
}

impl Files {
    pub fn new(mounts: Arc<Mounts>) -> Self {
        Files { mounts, places: HashMap::new() }
    }

    /// Returns the folders that the guest starts with, and their names: the mounts in order, then
    /// the root.
    pub fn start(&self) -> Vec<(Dir, String)> {
        let mounts = self.mounts.mounts.iter().map(|(mount, dir)| (dir.clone(), mount.name.clone()));
        let root = self.mounts.root().and_then(|root| Some((root.get("/")?.dir.clone(), "/".to_owned())));
        mounts.chain(root).collect()
    }

    /// Records the guest path of an open file or folder.
    pub fn opened(&mut self, handle: u32, guest: &str) {
        self.places.insert(handle, normalize(guest).unwrap_or_else(|| "/".into()));
    }

    pub fn closed(&mut self, handle: u32) {
        self.places.remove(&handle);
    }

    /// Returns the entries of the open folder `handle`, if it only leads to mounts.
    pub fn leads_to(&self, handle: u32) -> Option<Vec<String>> {
        let leading = self.mounts.root()?.get(self.places.get(&handle)?)?;
        Some(leading.names.iter().cloned().collect())
    }

    /// Decides an operation on `path`, relative to the open folder `base` with the handle `handle`.
    pub fn admit(
        &self,
        gate: &Gate,
        import: &'static str,
        handle: u32,
        base: &Descriptor,
        path: &str,
        access: Access,
    ) -> Result<AdmittedPath, FileError> {
        let Descriptor::Dir(base) = base else { return Err(FileError::NotDirectory) };
        let place = self.places.get(&handle).ok_or(FileError::BadDescriptor)?;
        let (dir, path, guest) = match self.locate(place, base, path) {
            PathTarget::AboveBase => return Err(FileError::NotPermitted),
            PathTarget::Root { dir, guest } if matches!(access, Access::Read | Access::Stat) => {
                return Ok(AdmittedPath { dir, path: ".".into(), guest, permit: None });
            }
            PathTarget::Root { guest, .. } | PathTarget::Outside { guest } => {
                let denial = gate.check(import, Request::Dir { path: guest, access }).err();
                return Err(denial.map_or(FileError::Access, |d| refusal(&d)));
            }
            PathTarget::Mount { dir, path, guest } => (dir, path, guest),
        };
        let access = if is_special(&dir, &path, access) { Access::Special } else { access };
        let permit = gate.check(import, Request::Dir { path: guest.clone(), access }).map_err(|d| refusal(&d))?;
        let real = || resolve(&real_path(&dir.dir)?.join(&path));
        if !gate.policy().denied_dirs().is_empty() && real().is_some_and(|real| is_denied(gate, import, &real, access))
        {
            return Err(FileError::Access);
        }
        Ok(AdmittedPath { dir, path, guest, permit: Some(permit) })
    }

    /// Decides a change of the open file or folder `handle`, which may have been opened without the
    /// permission to write.
    pub fn change(&self, gate: &Gate, import: &'static str, handle: u32) -> Result<Permit, FileError> {
        let path = self.places.get(&handle).ok_or(FileError::BadDescriptor)?.clone();
        gate.check(import, Request::Dir { path, access: Access::Write }).map_err(|d| refusal(&d))
    }

    /// Reports that wasmtime refused an admitted operation because its path leads out of the mount.
    pub fn refused(&self, gate: &Gate, import: &'static str, admitted: &AdmittedPath) {
        // A link is only refused for an absolute target, which could lead anywhere.
        let leads_out = || import.ends_with(".symlink-at") || leads_out(&admitted.dir, &admitted.path);
        if admitted.permit.is_none() || !leads_out() {
            return;
        }
        let path = match normalize(&format!("{}/{}", admitted.guest, admitted.path)) {
            Some(_) => admitted.guest.clone(),
            None => format!("{}/{}", admitted.guest, admitted.path),
        };
        // Always a denial; checked for the sake of the listeners.
        let _ = gate.check(import, Request::Dir { path, access: Access::Escape });
    }

    /// Returns whether the opened file or folder lies in a denied folder. A link may have been
    /// exchanged since the decision.
    pub fn opened_denied(&self, gate: &Gate, import: &'static str, opened: &Descriptor) -> bool {
        if gate.policy().denied_dirs().is_empty() {
            return false;
        }
        let file = match opened {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(dir) => &dir.dir,
        };
        real_path(file).is_some_and(|real| is_denied(gate, import, &real, Access::Read))
    }

    fn locate(&self, place: &str, base: &Dir, path: &str) -> PathTarget {
        let in_root = self.mounts.root().is_some_and(|root| root.contains_key(place));
        let joined = normalize(&format!("{place}/{path}"));
        if in_root {
            return self.walk(place, path);
        }
        let guest = joined.unwrap_or_else(|| place.to_owned());
        // A mount inside a mount can be reached through the outer one.
        if !path.split('/').any(|part| part == "..")
            && let Some((inner, dir)) = self.mounts.deepest(&guest)
            && inner.guest.len() > place.len()
            && inner.guest.starts_with(place)
        {
            return PathTarget::Mount { dir: dir.clone(), path: below(&inner.guest, &guest), guest };
        }
        PathTarget::Mount { dir: base.clone(), path: path.to_owned(), guest }
    }

    /// Follows `path` from a folder of the root, part by part, until it enters a mount, which
    /// resolves the rest.
    fn walk(&self, place: &str, path: &str) -> PathTarget {
        let mut at: Vec<&str> = place.split('/').filter(|p| !p.is_empty()).collect();
        let floor = at.len();
        let mut parts = path.split('/').filter(|p| !p.is_empty() && *p != ".").peekable();
        loop {
            let here = format!("/{}", at.join("/"));
            if let Some((_, dir)) = self.mounts.mounts.iter().find(|(m, _)| m.guest == here) {
                let rest: Vec<&str> = parts.collect();
                let guest = normalize(&format!("{here}/{}", rest.join("/"))).unwrap_or_else(|| here.clone());
                if let Some((inner, dir)) = self.mounts.deepest(&guest)
                    && inner.guest.len() > here.len()
                    && !rest.contains(&"..")
                {
                    return PathTarget::Mount { dir: dir.clone(), path: below(&inner.guest, &guest), guest };
                }
                let path = if rest.is_empty() { ".".to_owned() } else { rest.join("/") };
                return PathTarget::Mount { dir: dir.clone(), path, guest };
            }
            match parts.next() {
                None => break,
                // The parent of the root is the root.
                Some("..") if at.is_empty() => {}
                Some("..") if at.len() <= floor => return PathTarget::AboveBase,
                Some("..") => {
                    at.pop();
                }
                Some(part) => at.push(part),
            }
        }
        let guest = format!("/{}", at.join("/"));
        match self.mounts.root().and_then(|root| root.get(&guest)) {
            Some(leading) => PathTarget::Root { dir: leading.dir.clone(), guest },
            None => PathTarget::Outside { guest },
        }
    }
}

/// Returns `guest` relative to the mount at `mount`.
fn below(mount: &str, guest: &str) -> String {
    let rest = guest.strip_prefix(mount).unwrap_or(guest).trim_start_matches('/');
    if rest.is_empty() { ".".into() } else { rest.into() }
}

/// Returns the error for a denial. The root answers like an empty, read-only folder: nothing is
/// found there, and nothing can be created. Programs that try several places for a file depend on
/// that; the explanation tells a person the real reason.
fn refusal(denial: &Denial) -> FileError {
    match (&denial.reason, &denial.request) {
        (Reason::NotGranted, Request::Dir { access: Access::Write, .. }) | (Reason::ReadOnly { .. }, _) => {
            FileError::ReadOnly
        }
        (Reason::NotGranted, _) => FileError::NoEntry,
        (Reason::OutsideMount(_) | Reason::NotAFile, _) => FileError::NotPermitted,
        _ => FileError::Access,
    }
}

/// Returns whether the path leads to something other than a file or a folder, such as a device.
#[cfg(unix)]
fn is_special(dir: &Dir, path: &str, access: Access) -> bool {
    use rustix::fs::{AtFlags, FileType, statat};
    matches!(access, Access::Read | Access::Write)
        && statat(&*dir.dir, path, AtFlags::empty()).is_ok_and(|stat| {
            !matches!(
                FileType::from_raw_mode(stat.st_mode),
                FileType::RegularFile | FileType::Directory | FileType::Symlink
            )
        })
}

#[cfg(not(unix))]
fn is_special(_: &Dir, _: &str, _: Access) -> bool {
    false
}

/// Returns whether resolving `path` leaves `dir`: by `..`, by an absolute path, or through a
/// symbolic link.
fn leads_out(dir: &Dir, path: &str) -> bool {
    if path.starts_with('/') || normalize(path).is_none() {
        return true;
    }
    let Some(base) = real_path(&dir.dir) else { return false };
    let target = base.join(path);
    match resolve(&target) {
        Some(real) => !real.starts_with(&base),
        None => std::fs::read_link(&target).is_ok_and(|link| link.is_absolute()),
    }
}

/// Returns whether `real`, a path of the host, is denied under any of the paths by which the guest
/// may know it. Neither a link nor a second mount of the same folder leads around a denial.
fn is_denied(gate: &Gate, import: &'static str, real: &Path, access: Access) -> bool {
    let guest_path = |mount: &Mount| {
        let host = std::fs::canonicalize(&mount.host).ok()?;
        let rest = real.strip_prefix(&host).ok()?;
        normalize(&format!("{}/{}", mount.guest, rest.to_str()?))
    };
    let paths = gate.policy().mounts().iter().filter_map(guest_path);
    let denied = paths.map(|path| Request::Dir { path, access }).find(|request| gate.denies(request));
    // Denied already; checked again for the sake of the listeners.
    denied.is_some_and(|request| gate.check(import, request).is_err())
}

/// Returns the real path of `target`, which need not exist, nor the file that it links to.
fn resolve(target: &Path) -> Option<PathBuf> {
    const MAX_LINKS: usize = 40;
    let mut target = target.to_owned();
    for _ in 0..MAX_LINKS {
        if let Ok(real) = std::fs::canonicalize(&target) {
            return Some(real);
        }
        let folder = std::fs::canonicalize(target.parent()?).ok()?;
        let place = folder.join(target.file_name()?);
        match std::fs::read_link(&place) {
            Ok(link) => target = folder.join(link),
            Err(_) => return Some(place),
        }
    }
    None
}

/// Returns the path of an open file or folder.
#[cfg(target_os = "linux")]
fn real_path(file: &std::fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

#[cfg(target_vendor = "apple")]
fn real_path(file: &std::fs::File) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let path = rustix::fs::getpath(file).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())))
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn real_path(_: &std::fs::File) -> Option<PathBuf> {
    None
}
