//! The capability `dir`: files and folders.
//!
//! A guest gets its mounts, and after them a read-only root that only contains the way to the
//! mounts. Every path lies below this root, so a path outside every mount is seen here and
//! explained, instead of failing in the guest's C library. On the host, the root is an empty folder
//! that is made on first use and removed at once. An open folder stays usable after its removal,
//! nothing can be created in it, and nothing is left behind however the process ends.
//! [`Files::leads_to`] returns its entries.
//!
//! An operation on a path has three steps: [`Files::begin`] finds the folder that the path begins
//! in, [`PendingPath::walk`] follows it, and [`Files::decide`] asks the gate about the object that
//! was reached.

use crate::capabilities::descriptors::GuestDescriptor;
use crate::capabilities::dir::mounts::Mounts;
use crate::capabilities::dir::open::OpenHow;
use crate::capabilities::dir::walk::{LastComponent, Level, Walk, WalkEnd, WalkError};
use crate::capabilities::state::HostState;
use crate::gate::gate::{Gate, Permit};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashMap;
use std::sync::Arc;
use walnut_policy::{Access, Denial, Reason, Request, normalize};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};

/// The files of one sandbox.
pub(crate) struct Files {
    mounts: Arc<Mounts>,
    /// Place of each open file and folder, by its handle.
    places: HashMap<u32, Place>,
}

/// State of this capability.
pub(crate) trait DirState: HostState {
    fn files(&self) -> &Files;
    fn files_mut(&mut self) -> &mut Files;
}

/// An operation that may be tried: in the folder `dir`, on the path `path`, a single component.
pub(crate) struct AdmittedPath {
    pub dir: Dir,
    pub path: String,
    /// End of the walk; `None` in the folders that only lead to mounts, which give no authority.
    end: Option<WalkEnd>,
    /// Guest path of the object.
    guest: String,
    _permit: Option<Permit>,
    mounts: Arc<Mounts>,
}

/// Use of a path.
#[derive(Clone, Copy)]
pub(crate) struct PathUse {
    import: &'static str,
    access: Access,
    last: LastComponent,
    /// Whether a symbolic link to an absolute path is made, which could lead anywhere.
    makes_absolute_link: bool,
}

impl PathUse {
    /// Returns a use of the object that a path names; with `follows`, of the target of a link.
    pub fn object(import: &'static str, access: Access, follows: bool) -> Self {
        let last = if follows { LastComponent::Follow } else { LastComponent::Keep };
        PathUse { import, access, last, makes_absolute_link: false }
    }

    /// Returns the making of an entry.
    pub fn create(import: &'static str) -> Self {
        PathUse { import, access: Access::Write, last: LastComponent::Create, makes_absolute_link: false }
    }

    /// Returns the making of a symbolic link to `target`.
    pub fn symlink(import: &'static str, target: &str) -> Self {
        PathUse { makes_absolute_link: target.starts_with('/'), ..PathUse::create(import) }
    }

    /// Returns the move or removal of the entry that a path names.
    pub fn entry(import: &'static str) -> Self {
        PathUse { import, access: Access::Write, last: LastComponent::Entry, makes_absolute_link: false }
    }
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
    Busy,
    /// An error of the system.
    System(Errno),
}

/// Guest path of an open file or folder.
struct Place {
    guest: String,
    /// Index of its mount; `None` for a folder that only leads to mounts.
    mount: Option<usize>,
    /// Descriptor of an object that the guest opened.
    _descriptor: Option<GuestDescriptor>,
}

/// Place that a path begins at.
enum PathStart {
    Walk(Walk),
    Root { dir: Dir, guest: String },
    Outside { guest: String },
    AboveBase,
}

/// A path whose walk was not done yet.
pub(crate) struct PendingPath {
    start: PathStart,
    usage: PathUse,
    /// Guest path by the letters alone.
    guest: String,
    may_block: bool,
}

/// A path whose walk is done.
pub(crate) struct WalkedPath {
    result: Result<WalkEnd, WalkError>,
    pending: PendingPath,
}

impl PendingPath {
    /// Follows the path, on a thread that may block.
    pub async fn walk(mut self) -> WalkedPath {
        let result = match std::mem::replace(&mut self.start, PathStart::AboveBase) {
            PathStart::Walk(walk) if self.may_block => walk.run(),
            PathStart::Walk(walk) => on_blocking_thread(move || walk.run()).await.unwrap_or_else(|e| Err(e.into())),
            other => {
                self.start = other;
                Err(WalkError::LeadsOut)
            }
        };
        WalkedPath { result, pending: self }
    }
}

async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Errno> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Errno::IO)
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

    /// Records the handles of the folders that [`Files::start`] returned, in that order.
    pub fn started(&mut self, handles: &[u32]) {
        let mounts = self.mounts.mounts.iter().enumerate();
        let places = mounts.map(|(index, (mount, _))| Place {
            guest: mount.guest.clone(),
            mount: Some(index),
            _descriptor: None,
        });
        let root = Place { guest: "/".into(), mount: None, _descriptor: None };
        let places: Vec<_> = places.chain([root]).collect();
        self.places.extend(handles.iter().copied().zip(places));
    }

    /// Records an object that was opened.
    pub fn opened(&mut self, handle: u32, admitted: &AdmittedPath, descriptor: GuestDescriptor) {
        let mount = admitted.end.as_ref().map(|end| end.mount);
        self.places.insert(handle, Place { guest: admitted.guest.clone(), mount, _descriptor: Some(descriptor) });
    }

    pub fn closed(&mut self, handle: u32) {
        self.places.remove(&handle);
    }

    /// Returns the entries of the open folder `handle`, if it only leads to mounts.
    pub fn leads_to(&self, handle: u32) -> Option<Vec<String>> {
        let leading = self.mounts.root()?.get(&self.places.get(&handle)?.guest)?;
        Some(leading.names.iter().cloned().collect())
    }

    /// Begins an operation on `path`, relative to the open folder `base` with the handle `handle`.
    pub fn begin(&self, usage: PathUse, handle: u32, base: &Descriptor, path: &str) -> Result<PendingPath, FileError> {
        let Descriptor::Dir(base) = base else { return Err(FileError::NotDirectory) };
        let place = self.places.get(&handle).ok_or(FileError::BadDescriptor)?;
        let joined = format!("{}/{path}", place.guest);
        let guest = normalize(&joined).unwrap_or(joined);
        let start = match place.mount {
            Some(mount) => {
                let start = Level { folder: base.dir.clone(), mount, guest: place.guest.clone() };
                PathStart::Walk(self.walk(start, path.to_owned(), usage.last))
            }
            None => self.walk_from_root(&place.guest, path, usage.last),
        };
        Ok(PendingPath { start, usage, guest, may_block: self.mounts.may_block })
    }

    fn walk(&self, start: Level, path: String, last: LastComponent) -> Walk {
        Walk { mounts: self.mounts.clone(), start, path, last }
    }

    /// Decides an operation whose path was followed.
    pub fn decide(&self, gate: &Gate, walked: WalkedPath) -> Result<AdmittedPath, FileError> {
        let WalkedPath { result, pending: PendingPath { start, usage, guest, .. } } = walked;
        let PathUse { import, access, .. } = usage;
        let check = |path: &str, access| gate.check(import, Request::Dir { path: path.to_owned(), access });
        match start {
            PathStart::Root { dir, guest } if matches!(access, Access::Read | Access::Stat) => {
                return Ok(AdmittedPath {
                    dir,
                    path: ".".into(),
                    end: None,
                    guest,
                    _permit: None,
                    mounts: self.mounts.clone(),
                });
            }
            PathStart::Root { guest, .. } | PathStart::Outside { guest } => {
                return Err(check(&guest, access).err().map_or(FileError::Access, |denial| refusal(&denial)));
            }
            PathStart::Walk(_) => return Err(FileError::Access),
            PathStart::AboveBase => {}
        }
        // The path as written may be denied whether or not anything is there.
        if gate.denies(&Request::Dir { path: guest.clone(), access }) {
            return Err(check(&guest, access).err().map_or(FileError::Access, |denial| refusal(&denial)));
        }
        let end = match result {
            Ok(end) => end,
            Err(WalkError::LeadsOut) => {
                let request = Request::Dir { path: guest.clone(), access };
                let is_ungranted = normalize(&guest).is_some() && !gate.would_allow(&request);
                if is_ungranted {
                    check(&guest, access).map_err(|denial| refusal(&denial))?;
                }
                // Always a denial; checked for the sake of the listeners.
                let _ = check(&guest, Access::Escape);
                return Err(FileError::NotPermitted);
            }
            Err(error) => {
                check(&guest, access).map_err(|denial| refusal(&denial))?;
                return Err(match error {
                    WalkError::System(errno) => FileError::System(errno),
                    _ => FileError::Busy,
                });
            }
        };
        if let Some(denied) = &end.denied {
            return Err(check(denied, access).err().map_or(FileError::Access, |denial| refusal(&denial)));
        }
        let access = if is_special(end.kind, access) { Access::Special } else { access };
        let permit = check(&end.guest, access).map_err(|denial| refusal(&denial))?;
        if usage.makes_absolute_link {
            check(&end.guest, Access::Escape).map_err(|denial| refusal(&denial))?;
        }
        let mut dir = self.mounts.mounts[end.mount].1.clone();
        dir.dir = end.folder.clone();
        let (path, guest) = (end.name.clone(), end.guest.clone());
        Ok(AdmittedPath { dir, path, end: Some(end), guest, _permit: Some(permit), mounts: self.mounts.clone() })
    }

    /// Decides a change of the open file or folder `handle`, which may have been opened without the
    /// permission to write.
    pub fn change(&self, gate: &Gate, import: &'static str, handle: u32) -> Result<Permit, FileError> {
        let path = self.places.get(&handle).ok_or(FileError::BadDescriptor)?.guest.clone();
        gate.check(import, Request::Dir { path, access: Access::Write }).map_err(|d| refusal(&d))
    }

    /// Follows `path` from a folder of the root, part by part, until it enters a mount, where the
    /// walk goes on.
    fn walk_from_root(&self, place: &str, path: &str, last: LastComponent) -> PathStart {
        let mut at: Vec<&str> = place.split('/').filter(|p| !p.is_empty()).collect();
        let floor = at.len();
        let mut parts = path.split('/').filter(|p| !p.is_empty() && *p != ".");
        loop {
            let here = format!("/{}", at.join("/"));
            if let Some((mount, folder)) = self.mounts.at(&here) {
                let rest: Vec<&str> = parts.collect();
                let is_mount_point = rest.is_empty() && last == LastComponent::Entry;
                let slash = if path.ends_with('/') && !rest.is_empty() { "/" } else { "" };
                let rest = if is_mount_point { ".".to_owned() } else { rest.join("/") + slash };
                let rest = if rest.is_empty() { ".".to_owned() } else { rest };
                return PathStart::Walk(self.walk(Level { folder, mount, guest: here }, rest, last));
            }
            match parts.next() {
                None => break,
                // The parent of the root is the root.
                Some("..") if at.is_empty() => {}
                Some("..") if at.len() <= floor => return PathStart::AboveBase,
                Some("..") => {
                    at.pop();
                }
                Some(part) => at.push(part),
            }
        }
        let guest = format!("/{}", at.join("/"));
        match self.mounts.root().and_then(|root| root.get(&guest)) {
            Some(leading) => PathStart::Root { dir: leading.dir.clone(), guest },
            None => PathStart::Outside { guest },
        }
    }
}

impl AdmittedPath {
    /// Opens the object, on a thread that may block. Checks what was opened, since it may have been
    /// exchanged after the walk.
    pub(super) async fn open(
        &self,
        gate: &Gate,
        import: &'static str,
        how: OpenHow,
    ) -> Result<(Descriptor, GuestDescriptor), FileError> {
        let taken = GuestDescriptor::take().ok_or(FileError::System(Errno::NFILE))?;
        let Some(end) = self.end.clone() else {
            return if how.changes() {
                Err(FileError::ReadOnly)
            } else {
                Ok((Descriptor::Dir(self.dir.clone()), taken))
            };
        };
        if how.changes() && self.dir.perms.write_not_permitted() {
            return Err(FileError::NotPermitted);
        }
        let opened = self.blocking(move || how.open(&end)).await?;
        let check = |access| gate.check(import, Request::Dir { path: self.guest.clone(), access });
        let is_plain = matches!(opened.kind, FileType::RegularFile | FileType::Directory);
        if !is_plain {
            check(Access::Special).map_err(|denial| refusal(&denial))?;
        }
        let denied = self.mounts.denied_ids().map_err(|_| FileError::Access)?;
        if let Some((_, denied)) = denied.into_iter().find(|(id, _)| *id == opened.id) {
            let _ = gate.check(import, Request::Dir { path: denied, access: Access::Read });
            return Err(FileError::Access);
        }
        how.finish(&opened).map_err(FileError::System)?;
        let (perms, may_block) = (self.dir.perms, self.mounts.may_block);
        let descriptor = match opened.kind {
            FileType::Directory => Descriptor::Dir(Dir::new(opened.file, perms, opened.mode, may_block)),
            _ => Descriptor::File(File::new(opened.file, perms, opened.mode, may_block)),
        };
        Ok((descriptor, taken))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, FileError> {
        let result = if self.mounts.may_block { work() } else { on_blocking_thread(work).await.and_then(|r| r) };
        result.map_err(FileError::System)
    }
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

/// Returns whether an object is neither a file nor a folder, such as a device.
fn is_special(kind: Option<FileType>, access: Access) -> bool {
    let is_plain = |kind| matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Symlink);
    matches!(access, Access::Read | Access::Write) && kind.is_some_and(|kind| !is_plain(kind))
}
