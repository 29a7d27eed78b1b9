//! `dir`: files and folders of the host, which a guest sees in mounts.

use crate::decision::{Decision, Reason};
use crate::pattern::mount::{Mount, MountAccess, is_within, normalize};
use crate::pattern::pattern::PatternError;
use crate::policy::Policy;
use crate::printable::Printable;
use std::fmt;

/// Use of a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read content or list a folder.
    Read,
    /// See that it exists, its size and times.
    Stat,
    /// Create, change, rename or remove.
    Write,
    /// Follow a path out of its mount: `..`, an absolute or an escaping symbolic link.
    Escape,
    /// Open a device, a pipe or a socket that lies in a mount.
    Special,
}

impl Access {
    /// Returns the verb of the sentence about a request.
    fn verb(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Stat => "look at",
            Access::Write => "write",
            Access::Escape => "leave its mount through",
            Access::Special => "open the device, pipe or socket",
        }
    }
}

/// Writes the request as a phrase.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, path: &str, access: Access) -> fmt::Result {
    write!(f, "{} {}", access.verb(), Printable(path))
}

impl Policy {
    pub(crate) fn decide_dir(&self, path: &str, access: Access) -> Decision {
        let Some(path) = normalize(path) else { return Decision::denied(Reason::NotGranted) };
        let path = path.as_str();
        if let Some(denied) = self.dir.deny.iter().find(|d| is_within(path, d)) {
            return Decision::denied_by(format!("deny-dir {denied}"));
        }
        // Moving or removing a folder that holds a denied one would carry it out of the denial's
        // reach.
        if access == Access::Write
            && let Some(denied) = self.dir.deny.iter().find(|d| is_within(d, path))
        {
            return Decision::denied_by(format!("deny-dir {denied}"));
        }
        match self.mount_of(path) {
            None => Decision::denied(Reason::NotGranted),
            Some((_, mount)) if self.allow_all && access == Access::Special => {
                Decision::allowed(format!("dir {mount}"))
            }
            Some((_, mount)) => mount_access(mount, access),
        }
    }

    /// Returns the deepest mount that `path` (normalized) lies in, with its place in the list.
    pub fn mount_of(&self, path: &str) -> Option<(usize, &Mount)> {
        self.dir.allow.iter().enumerate().filter(|(_, m)| is_within(path, &m.guest)).max_by_key(|(_, m)| m.guest.len())
    }

    pub(crate) fn allow_mount(&mut self, text: &str) -> Result<(), PatternError> {
        let mount = Mount::parse(text)?;
        if let Some(other) = self.dir.allow.iter_mut().find(|m| m.guest == mount.guest) {
            // Grants add up: who is shown how to write to a folder need not take back the grant to
            // read it.
            if other.host == mount.host {
                if mount.access == MountAccess::ReadWrite {
                    other.access = MountAccess::ReadWrite;
                }
                return Ok(());
            }
            return Err(PatternError::new(
                text,
                format!("is a second folder at {} (the first is {})", mount.guest, other.host.display()),
                "give each mount a guest path of its own",
            ));
        }
        self.dir.allow.push(mount);
        Ok(())
    }
}

fn mount_access(mount: &Mount, access: Access) -> Decision {
    match (access, mount.access) {
        (Access::Escape, _) => Decision::denied(Reason::OutsideMount(mount.name.clone())),
        (Access::Special, _) => Decision::denied(Reason::NotAFile),
        (Access::Write, MountAccess::ReadOnly) => {
            Decision::denied(Reason::ReadOnly { host: mount.host.display().to_string(), name: mount.name.clone() })
        }
        _ => Decision::allowed(format!("dir {mount}")),
    }
}

/// Reads a denial: a guest path.
pub(crate) fn parse_denial(text: &str) -> Result<String, PatternError> {
    let error = |problem: &str| PatternError::new(text, problem, "write a guest path such as `/data/private`");
    if text.is_empty() {
        return Err(error("is not a path"));
    }
    if text.contains("::") {
        return Err(error("looks like a mount, and a denial has the guest's path alone"));
    }
    normalize(text).ok_or_else(|| error("leaves the root"))
}

/// Returns the grant that allows a request: the folder that holds the file, since a mount is a
/// folder. `host_dir` returns the folder of the host for a folder of the guest.
pub(crate) fn grant_for(path: &str, access: Access, host_dir: impl Fn(&str) -> String) -> Option<String> {
    let writes = match access {
        Access::Read | Access::Stat => "",
        Access::Write => "::rw",
        Access::Escape | Access::Special => return None,
    };
    let path = normalize(path)?;
    let folder = match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    };
    Some(format!("{}::{folder}{writes}", host_dir(folder)))
}
