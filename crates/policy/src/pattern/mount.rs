//! Mounts: `HOST::GUEST[::ro|rw]`.

use crate::pattern::pattern::{LONGEST, PatternError};
use std::fmt;
use std::path::PathBuf;

const HINT: &str = "write `HOST::GUEST`, and `::rw` after it when the guest may write: `./data::/data::rw`";

/// A folder of the host that a guest sees at a path of its own: `HOST[::GUEST][::ro|rw]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The folder on the host, as it was written.
    pub host: PathBuf,
    /// The name under which the guest is given it, as it was written.
    pub name: String,
    /// `name` as an absolute, normalized guest path.
    pub guest: String,
    /// Rights of the guest there.
    pub access: MountAccess,
}

/// Rights of a guest in a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountAccess {
    /// The guest looks and reads.
    ReadOnly,
    /// The guest also creates, changes and removes.
    ReadWrite,
}

impl Mount {
    /// Reads `HOST::GUEST::rw`, `HOST::GUEST` (read-only) or `HOST`, which the guest sees under the
    /// same name.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| PatternError::new(text, problem, HINT);
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        if text.contains('\0') {
            return Err(error("contains a zero byte"));
        }
        let mut parts: Vec<&str> = text.split("::").collect();
        let access = match parts.as_slice() {
            [_, .., "ro"] => Some(MountAccess::ReadOnly),
            [_, .., "rw"] => Some(MountAccess::ReadWrite),
            _ => None,
        };
        if access.is_some() {
            parts.pop();
        }
        if let [one] = parts.as_slice()
            && let Some((host, guest)) = one.split_once(":/")
            && !host.is_empty()
            && !host.starts_with(':')
        {
            // The modes of container tools: `:rw`, `:ro,z`.
            let (guest, modes) = guest.split_once(':').map_or((guest, None), |(guest, modes)| (guest, Some(modes)));
            let guest = inside(guest);
            let hint = match modes {
                Some(modes) if modes.split(',').any(|mode| mode == "rw") => format!("write `{host}::{guest}::rw`"),
                Some(_) => format!("write `{host}::{guest}`; it is read-only"),
                None => format!("write `{host}::{guest}`, with `::rw` after it to let the guest write"),
            };
            return Err(PatternError::new(text, "has one colon where a mount has two", hint));
        }
        let (host, name) = match parts.as_slice() {
            [host] => (*host, *host),
            [host, guest] => (*host, *guest),
            _ => return Err(error("has too many parts")),
        };
        if host.is_empty() {
            return Err(error("has no host folder"));
        }
        if name.is_empty() {
            return Err(error("has no guest path"));
        }
        if host.starts_with(':') || host.ends_with(':') {
            return Err(error("has a colon at an end of its host folder"));
        }
        if name.contains(':') && host != name {
            return Err(error("has a colon in its guest path"));
        }
        let guest = normalize(name).ok_or_else(|| {
            let rw = if access == Some(MountAccess::ReadWrite) { "::rw" } else { "" };
            let meant = format!("{host}::{}{rw}", inside(name));
            let hint = if Mount::parse(&meant).is_ok() { format!("write `{meant}`") } else { HINT.to_owned() };
            PatternError::new(text, "has a guest path that leaves the root", hint)
        })?;
        Ok(Mount {
            host: PathBuf::from(host),
            name: name.to_owned(),
            guest,
            access: access.unwrap_or(MountAccess::ReadOnly),
        })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            MountAccess::ReadOnly => "ro",
            MountAccess::ReadWrite => "rw",
        };
        write!(f, "{}::{}::{access}", self.host.display(), self.name)
    }
}

/// Returns `path` as an absolute path from the guest's root. `.` and `..` are resolved by their
/// letters alone; a path that climbs above the root gives `None`.
pub fn normalize(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Resolves a path as [`normalize`] does, but `..` at the root stays there.
fn inside(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    format!("/{}", parts.join("/"))
}

/// Returns whether `path` is `base` or below it. Both are normalized.
pub(crate) fn is_within(path: &str, base: &str) -> bool {
    base == "/" || path == base || path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}
