//! The mounts of a component, and the root that leads to them.

use crate::failure::error::{LoadError, MountError};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Folders that lead to the mounts; `None` if a mount covers the root.
    root: Option<OnceLock<Option<Root>>>,
    may_block: bool,
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
        let covered = mounts.iter().any(|(m, _)| m.guest == "/");
        Ok(Arc::new(Mounts { mounts, root: (!covered).then(OnceLock::new), may_block }))
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

    /// Returns the innermost mount that `guest` lies in.
    pub fn deepest(&self, guest: &str) -> Option<&(Mount, Dir)> {
        let within =
            |(m, _): &&(Mount, Dir)| m.guest == guest || guest.starts_with(&format!("{}/", m.guest)) || m.guest == "/";
        self.mounts.iter().filter(within).max_by_key(|(m, _)| m.guest.len())
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
