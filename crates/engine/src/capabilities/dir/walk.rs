//! Follows a path from an open folder, a component at a time.
//!
//! The walk opens each folder on the way and follows symbolic links itself, so it knows at each
//! step in which mount it is, and whether the folder is denied. The operation is then done on the
//! last component in the folder that was reached, without following a link. No second look at the
//! path could see something else.
//!
//! Folders are known by device and inode. A mount's rights hold in its folder of the host,
//! whichever way leads there; a mount point leads to its mount, whatever is below it on the host.

use crate::capabilities::dir::mounts::{FileId, Mounts};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::sync::Arc;

/// Longest chain of symbolic links, as in Linux.
const MAX_LINKS: usize = 40;

/// Longest path in bytes, as in Linux. Each component of it takes system calls.
const MAX_PATH: usize = 4096;

/// Flags that open a folder on the way. Searching it takes no right to list it.
#[cfg(target_os = "linux")]
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Treatment of the last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastComponent {
    /// A link is followed.
    Follow,
    /// A link is itself the object.
    Keep,
    /// A new entry of the folder is made.
    Create,
    /// The entry of the folder is moved or removed.
    Entry,
}

/// A walk that can be done on another thread.
pub(super) struct Walk {
    pub mounts: Arc<Mounts>,
    /// Folder that the walk starts in and does not leave upwards.
    pub start: Level,
    pub path: String,
    pub last: LastComponent,
}

/// A folder on the way.
#[derive(Clone)]
pub(super) struct Level {
    pub folder: Arc<File>,
    /// Index of its mount.
    pub mount: usize,
    /// Its guest path below its mount.
    pub guest: String,
}

/// End of a walk.
#[derive(Clone)]
pub(super) struct WalkEnd {
    /// Folder of the last component.
    pub folder: Arc<File>,
    /// The last component; `.` for the folder itself.
    pub name: String,
    pub mount: usize,
    /// Guest path of the object.
    pub guest: String,
    /// Kind of the object, if there is one.
    pub kind: Option<FileType>,
    /// Guest path of the denial that the object, or a folder on the way, falls under.
    pub denied: Option<String>,
}

/// Reason for which a walk has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalkError {
    /// The path leads above its start, or to an absolute link.
    LeadsOut,
    /// The entry is a mount point, or holds a mount or a denied place.
    Busy,
    System(Errno),
}

impl From<Errno> for WalkError {
    fn from(errno: Errno) -> Self {
        WalkError::System(errno)
    }
}

impl Walk {
    /// Follows the path. May block.
    pub fn run(self) -> Result<WalkEnd, WalkError> {
        if self.path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if self.path.len() >= MAX_PATH {
            return Err(Errno::NAMETOOLONG.into());
        }
        // A path of WASI is relative to its folder.
        if self.path.starts_with('/') {
            return Err(WalkError::LeadsOut);
        }
        let denied = self.mounts.denied_ids()?;
        let start = Level { guest: self.start.guest.clone(), ..self.start.clone() };
        let mut state = WalkState { walk: &self, denied, levels: vec![start], links: 0, met: None };
        let mut pending: Vec<String> = components(&self.path).rev().collect();
        // A slash at the end asks for a folder.
        let wants_folder = self.path.ends_with('/') || self.path.ends_with("/.");
        while let Some(name) = pending.pop() {
            if name == ".." {
                if state.levels.len() == 1 {
                    return Err(WalkError::LeadsOut);
                }
                state.levels.pop();
            } else if let Some(end) = state.step(name, &mut pending, wants_folder)? {
                return Ok(end);
            }
        }
        state.at_folder(self.last)
    }
}

struct WalkState<'a> {
    walk: &'a Walk,
    denied: Vec<(FileId, String)>,
    levels: Vec<Level>,
    links: usize,
    /// Denial that a folder on the way falls under.
    met: Option<String>,
}

impl WalkState<'_> {
    fn here(&self) -> &Level {
        // The first level is never removed.
        &self.levels[self.levels.len() - 1]
    }

    /// Goes on by a component. Returns the end if it was the last.
    fn step(
        &mut self,
        name: String,
        pending: &mut Vec<String>,
        wants_folder: bool,
    ) -> Result<Option<WalkEnd>, WalkError> {
        let last = self.walk.last;
        let guest = join(&self.here().guest, &name);
        let is_last = pending.is_empty();
        if let Some((mount, folder)) = self.walk.mounts.at(&guest) {
            match last {
                LastComponent::Entry if is_last => return Err(WalkError::Busy),
                LastComponent::Create if is_last => return Err(Errno::EXIST.into()),
                _ => {}
            }
            self.levels.push(Level { folder, mount, guest });
            return Ok(None);
        }
        let stat = match statat(&*self.here().folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) if is_last => return Ok(Some(self.end(name, guest, None, wants_folder))),
            Err(errno) => return Err(errno.into()),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let names_object = matches!(last, LastComponent::Follow | LastComponent::Keep);
        let follows = !is_last || last == LastComponent::Follow || wants_folder;
        match kind {
            FileType::Symlink if follows => {
                self.follow(&name, pending)?;
                Ok(None)
            }
            FileType::Directory if !is_last || names_object => {
                self.enter(&name, guest)?;
                Ok(None)
            }
            _ if is_last => {
                if last == LastComponent::Entry && kind == FileType::Directory {
                    self.check_movable(&stat, &guest)?;
                }
                self.meet(&stat);
                Ok(Some(self.end(name, guest, Some(kind), wants_folder)))
            }
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn follow(&mut self, name: &str, pending: &mut Vec<String>) -> Result<(), WalkError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&*self.here().folder, name, Vec::new())?;
        let target = target.into_string().map_err(|_| Errno::ILSEQ)?;
        if target.starts_with('/') {
            return Err(WalkError::LeadsOut);
        }
        pending.extend(components(&target).rev());
        Ok(())
    }

    /// Enters a folder. A folder of the host that is itself mounted has the rights of that mount.
    fn enter(&mut self, name: &str, guest: String) -> Result<(), WalkError> {
        let folder = File::from(openat(&*self.here().folder, name, FOLDER, Mode::empty())?);
        let stat = fstat(&folder)?;
        self.meet(&stat);
        let (mount, guest) = self.walk.mounts.rights_of(FileId::of(&stat), self.here().mount, guest);
        self.levels.push(Level { folder: Arc::new(folder), mount, guest });
        Ok(())
    }

    /// Checks that the folder may be moved or removed.
    fn check_movable(&self, stat: &Stat, guest: &str) -> Result<(), WalkError> {
        if self.walk.mounts.holds_rules(FileId::of(stat), guest)? { Err(WalkError::Busy) } else { Ok(()) }
    }

    /// Notes the denial that an object falls under.
    fn meet(&mut self, stat: &Stat) {
        if self.met.is_none() && !self.denied.is_empty() {
            let id = FileId::of(stat);
            self.met = self.denied.iter().find(|(denied, _)| *denied == id).map(|(_, guest)| guest.clone());
        }
    }

    fn end(&self, name: String, guest: String, kind: Option<FileType>, wants_folder: bool) -> WalkEnd {
        let name = if wants_folder { name + "/" } else { name };
        let Level { folder, mount, .. } = self.here().clone();
        WalkEnd { folder, name, mount, guest, kind, denied: self.met.clone() }
    }

    /// Ends at the folder that was reached.
    fn at_folder(&mut self, last: LastComponent) -> Result<WalkEnd, WalkError> {
        let stat = fstat(&*self.here().folder)?;
        self.meet(&stat);
        let Level { folder, mount, guest } = self.here().clone();
        // The system neither moves nor removes a folder by the name `.`.
        if last == LastComponent::Create {
            return Err(Errno::EXIST.into());
        }
        let kind = Some(FileType::Directory);
        Ok(WalkEnd { folder, name: ".".into(), mount, guest, kind, denied: self.met.clone() })
    }
}

fn components(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

fn join(folder: &str, name: &str) -> String {
    if folder == "/" { format!("/{name}") } else { format!("{folder}/{name}") }
}
