//! Reads `walnut.toml`: an app, its components, what each may do, and which requests they answer.
//!
//! This crate is pure. It takes text and the folder that relative paths begin at, and looks at no file: whether a source
//! or a folder is there is for its caller to see. Front doors and the host read apps through it.
//!
//! What holds for every manifest that was read:
//! * every name, pattern, number and route in it is valid, and every route leads somewhere;
//! * no two routes are for the same requests;
//! * paths of the host begin at the manifest's folder.
//!
//! What does not hold is told at once, all of it: [`ManifestErrors`]. Who looks at the files as well reads a [`Draft`], whose
//! [`Report`] takes what is wrong with them, so that it is told with the rest, and as the rest is. The keys, their defaults and ranges are one table
//! (`keys.rs`), of which the reader, [`schema()`] and [`reference()`] are three readings.

#![forbid(unsafe_code)]

mod error;
mod keys;
mod read;
mod reference;
mod route;
mod schema;
mod section;
mod syntax;

pub use error::{ManifestError, ManifestErrors, Place, Report};
pub use reference::reference;
pub use route::{HostRule, PathRule, Route, Routes, Target};
pub use schema::schema;
pub use section::nearest;

use std::path::{Path, PathBuf};
use std::time::Duration;
use walnut_policy::{LimitOverrides, Policy};

/// The longest manifest that is read, in bytes. A longer file is something else.
pub const LARGEST: usize = 1 << 20;

/// A manifest that was read and found right.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The app itself.
    pub app: App,
    /// In the order of the file.
    pub components: Vec<Component>,
    /// In the order of the file, which has no meaning: see [`Routes`].
    pub routes: Vec<Route>,
}

/// What is said of the app itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Lowercase letters, digits and hyphens.
    pub name: String,
    /// As [semver](https://semver.org) writes versions.
    pub version: Option<String>,
}

/// One component of an app.
#[derive(Clone, Debug)]
pub struct Component {
    /// Lowercase letters, digits and hyphens; each component has its own.
    pub name: String,
    /// The file.
    pub source: PathBuf,
    /// Where its `source` stands.
    pub place: Place,
    /// What it may do.
    pub policy: Policy,
    /// What a sandbox of it may use, where the manifest says it.
    pub limits: LimitOverrides,
    /// How many requests one sandbox of WASI 0.2 takes; 1 is a fresh sandbox for each. `None`, here and below, is the default
    /// of whoever runs it.
    pub reuse: Option<u32>,
    /// How many sandboxes live at once, at least 1.
    pub sandboxes: Option<u32>,
    /// How many requests may wait for one.
    pub queue: Option<u32>,
    /// How long they wait.
    pub patience: Option<Duration>,
}

/// A manifest as far as it could be read, right or wrong.
#[derive(Debug)]
pub struct Draft {
    /// What could be read. While anything is wrong, a wrong value is as if it were not there, and a wrong number or time 0; a component without its file
    /// and a route without its path or its target are left out, and a route may lead to a component that is not there.
    pub manifest: Manifest,
    /// The files and folders that are named, in no order.
    pub paths: Vec<NamedPath>,
    /// What is wrong.
    pub report: Report,
}

/// A file or a folder of the host that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// What it should be.
    pub what: Named,
    /// As it was written, of a mount with the guest's path.
    pub text: String,
    /// Where it is. A relative path begins at the manifest's folder.
    pub path: PathBuf,
    /// Where it stands in the manifest.
    pub place: Place,
}

/// What a path of the host should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The file of a component.
    Source,
    /// A folder that is served.
    Folder,
    /// A folder that a component sees.
    Mount,
}

impl Manifest {
    /// Reads `text`. `file` names it in errors, and `base` is the folder in which it lies.
    pub fn parse(text: &str, file: &str, base: &Path) -> Result<Self, ManifestErrors> {
        let Draft { manifest, report, .. } = Self::draft(text, file, base);
        report.result().map(|()| manifest)
    }

    /// Reads of `text` what can be read, for those who look at the files that it names before they call it right.
    pub fn draft(text: &str, file: &str, base: &Path) -> Draft {
        read::draft(text, file, base)
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }
}
