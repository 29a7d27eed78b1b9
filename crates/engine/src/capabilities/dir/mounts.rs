//! The mounts of a component, and the root that leads to them.

use crate::failure::error::{LoadError, MountError};
use rustix::fs::{AtFlags, Stat, fstat, statat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use walnut_policy::{Mount, MountAccess, Policy};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiCtxView, WasiView};

/// The mounts of a component, opened once and shared by its sandboxes.
pub(crate) struct Mounts {
    pub mounts: Vec<(Mount, Dir)>,
    /// Identity of the folder of each mount.
    ids: Vec<FileId>,
    /// Guest paths that are denied.
    denied: Vec<String>,
    /// Folders that lead to the mounts; `None` if a mount covers the root.
    root: Option<OnceLock<Option<Root>>>,
    pub(super) may_block: bool,
}

/// The folders that only lead to mounts, by their guest paths.
pub(super) type Root = BTreeMap<String, RootFolder>;

/// A folder that only leads to mounts.
pub(super) struct RootFolder {
    pub dir: Dir,
    /// Names of its entries.
    pub names: BTreeSet<String>,
    /// Kept where an open folder cannot be removed; removed with the component.
    folder: Option<TempDir>,
}

impl Mounts {
    /// Opens every mount of `policy`. `may_block` lets file operations run on the guest's own
    /// thread.
    pub fn open(policy: &Policy, may_block: bool) -> Result<Arc<Self>, LoadError> {
        let open = |mount: &Mount| {
            let perms = match mount.access {
                MountAccess::ReadOnly => FsPerms::ReadOnly,
                MountAccess::ReadWrite => FsPerms::ReadWrite,
            };
            let dir = open_dir(&mount.host, perms, may_block);
            let failed = |source| MountError { host: mount.host.clone(), guest: mount.guest.clone(), source };
            dir.map(|dir| (mount.clone(), dir)).map_err(failed)
        };
        let (mut mounts, mut failed) = (Vec::new(), Vec::new());
        for opened in policy.mounts().iter().map(open) {
            match opened {
                Ok(mount) => mounts.push(mount),
                Err(error) => failed.push(error),
            }
        }
        if !failed.is_empty() {
            return Err(LoadError::Mounts(failed));
        }
        let ids = mounts.iter().map(|(mount, dir)| {
            let failed = |source| MountError { host: mount.host.clone(), guest: mount.guest.clone(), source };
            fstat(&*dir.dir).map(|stat| FileId::of(&stat)).map_err(|e| LoadError::Mounts(vec![failed(e.into())]))
        });
        let ids = ids.collect::<Result<_, _>>()?;
        let denied = policy.denied_dirs().to_vec();
        let covered = mounts.iter().any(|(m, _)| m.guest == "/");
        Ok(Arc::new(Mounts { mounts, ids, denied, root: (!covered).then(OnceLock::new), may_block }))
    }

    /// Removes the folders of the root, where any are left, before the end of their component.
    pub fn remove_root(&self) {
        let root = self.root.as_ref().and_then(|root| root.get()?.as_ref());
        for folder in root.iter().flat_map(|root| root.values()).filter_map(|leading| leading.folder.as_ref()) {
            let _ = std::fs::remove_dir(folder.path());
        }
    }

    /// Returns the folders that only lead to mounts. `None` if a mount covers the root, or if they
    /// cannot be made.
    pub(super) fn root(&self) -> Option<&Root> {
        self.root.as_ref()?.get_or_init(|| self.make_root().ok()).as_ref()
    }

    fn make_root(&self) -> std::io::Result<Root> {
        let leading = |(path, names)| Ok((path, RootFolder::make(names, self.may_block)?));
        self.ways().into_iter().map(leading).collect()
    }

    /// Returns each folder that leads to mounts, with its entries. The content of a mount is the
    /// mount's own.
    fn ways(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut ways = BTreeMap::from([("/".to_owned(), BTreeSet::new())]);
        for (mount, _) in &self.mounts {
            let mut at = String::new();
            for name in mount.guest[1..].split('/') {
                let here = if at.is_empty() { "/" } else { &at };
                ways.entry(here.to_owned()).or_default().insert(name.to_owned());
                at = format!("{at}/{name}");
                if self.mounts.iter().any(|(other, _)| other.guest == at) {
                    break;
                }
            }
        }
        ways
    }

    /// Returns the mount whose mount point is `guest`, with its folder.
    pub(super) fn at(&self, guest: &str) -> Option<(usize, Arc<File>)> {
        let index = self.mounts.iter().position(|(mount, _)| mount.guest == guest)?;
        Some((index, self.mounts[index].1.dir.clone()))
    }

    /// Returns the mount that has the rights in a folder that was reached inside of `mount`, and
    /// the folder's guest path there. A folder that is mounted elsewhere has that mount's rights;
    /// where several mounts have the folder, a read-only mount is preferred.
    pub(super) fn rights_of(&self, folder: FileId, mount: usize, guest: String) -> (usize, String) {
        let mut others = self.ids.iter().enumerate().filter(|(_, id)| **id == folder).map(|(index, _)| index);
        let Some(first) = others.next() else { return (mount, guest) };
        if self.ids[mount] == folder {
            return (mount, guest);
        }
        let is_read_only = |index: &usize| self.mounts[*index].0.access == MountAccess::ReadOnly;
        let chosen = std::iter::once(first).chain(others).find(is_read_only).unwrap_or(first);
        (chosen, self.mounts[chosen].0.guest.clone())
    }

    /// Returns the identity of each denied place that exists, with its guest path.
    ///
    /// # Errors
    /// A denied place that cannot be looked at: nobody can tell then which folder is denied.
    pub(super) fn denied_ids(&self) -> Result<Vec<(FileId, String)>, Errno> {
        let mut ids = Vec::new();
        for guest in &self.denied {
            let Some((mount, dir)) = self.deepest(guest) else { continue };
            let place = below(&mount.guest, guest);
            for flags in [AtFlags::empty(), AtFlags::SYMLINK_NOFOLLOW] {
                match statat(&*dir.dir, place, flags) {
                    Ok(stat) => ids.push((FileId::of(&stat), guest.clone())),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(ids)
    }

    /// Returns whether the folder `id` at `guest` holds a mount or a denied place. Such a folder
    /// must not be moved: either would then be found where its rule does not reach.
    pub(super) fn holds_rules(&self, id: FileId, guest: &str) -> Result<bool, Errno> {
        if self.ids.contains(&id) {
            return Ok(true);
        }
        let places = self.mounts.iter().map(|(mount, _)| &mount.guest).chain(&self.denied);
        for place in places {
            if place.strip_prefix(guest).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                return Ok(true);
            }
            // Another mount may show the same folder under another path.
            let Some((mount, dir)) = self.outer(place) else { continue };
            let mut prefix = String::new();
            for name in below(&mount.guest, place).split('/') {
                prefix = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
                match statat(&*dir.dir, prefix.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if FileId::of(&stat) == id => return Ok(true),
                    Ok(_) => {}
                    Err(Errno::NOENT | Errno::NOTDIR) => break,
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(false)
    }

    /// Returns the innermost mount that `guest` lies in, other than a mount at `guest` itself.
    fn outer(&self, guest: &str) -> Option<&(Mount, Dir)> {
        self.containing(guest).filter(|(mount, _)| mount.guest != guest).max_by_key(|(m, _)| m.guest.len())
    }

    /// Returns the innermost mount that `guest` lies in.
    pub fn deepest(&self, guest: &str) -> Option<&(Mount, Dir)> {
        self.containing(guest).max_by_key(|(m, _)| m.guest.len())
    }

    fn containing(&self, guest: &str) -> impl Iterator<Item = &(Mount, Dir)> {
        let within = move |(m, _): &&(Mount, Dir)| {
            m.guest == "/" || guest.strip_prefix(&m.guest).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.mounts.iter().filter(within)
    }
}

impl RootFolder {
    fn make(names: BTreeSet<String>, may_block: bool) -> std::io::Result<RootFolder> {
        let folder = empty_folder()?;
        let dir = open_dir(folder.path(), FsPerms::ReadOnly, may_block)?;
        let lasts = !cfg!(unix) || std::fs::remove_dir(folder.path()).is_err();
        Ok(RootFolder { dir, names, folder: lasts.then_some(folder) })
    }
}

/// Makes an empty folder, in memory where possible: on a disk it would cost a start more than
/// everything else here.
fn empty_folder() -> std::io::Result<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("walnut-root-");
    #[cfg(target_os = "linux")]
    if let Ok(in_memory) = named.tempdir_in("/dev/shm") {
        return Ok(in_memory);
    }
    named.tempdir()
}

/// Opens a folder of the host by wasmtime's own means, which know every platform.
fn open_dir(host: &Path, perms: FsPerms, may_block: bool) -> std::io::Result<Dir> {
    struct Opener(wasmtime_wasi::WasiCtx, ResourceTable);
    impl WasiView for Opener {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
        }
    }
    use wasmtime_wasi::filesystem::WasiFilesystemView;
    use wasmtime_wasi::p2::bindings::filesystem::preopens::Host;
    let other =
        |e: wasmtime::Error| e.downcast::<std::io::Error>().unwrap_or_else(|e| std::io::Error::other(format!("{e:#}")));
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_blocking_current_thread(may_block).preopened_dir(host, ".", perms).map_err(other)?;
    let mut opener = Opener(wasi.build(), ResourceTable::new());
    let directories = opener.filesystem().get_directories().map_err(other)?;
    for (descriptor, _) in directories {
        if let Ok(Descriptor::Dir(dir)) = opener.1.delete(descriptor) {
            return Ok(dir);
        }
    }
    Err(std::io::Error::other("it is not a folder"))
}

/// Returns `guest` relative to the mount at `mount`; `.` for the mount itself.
pub(super) fn below<'a>(mount: &str, guest: &'a str) -> &'a str {
    let rest = guest.strip_prefix(mount).unwrap_or(guest).trim_start_matches('/');
    if rest.is_empty() { "." } else { rest }
}

/// Identity of a file or folder: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    #[cfg_attr(target_os = "linux", expect(clippy::useless_conversion, reason = "the types differ by platform"))]
    pub fn of(stat: &Stat) -> Self {
        FileId(stat.st_dev.into(), stat.st_ino.into())
    }
}
