//! Content of a manifest.

use crate::error::{ManifestReport, SourceSpan};
use crate::route::Route;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use walnut_policy::{LimitOverrides, Policy};

/// Manifest without errors.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The app itself.
    pub app: AppSection,
    /// Components, in the order of the file.
    pub components: Vec<ComponentSection>,
    /// Routes for HTTP requests, and settings of the components that answer them.
    pub http: HttpSection,
}

/// The app itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppSection {
    /// Lowercase letters, digits and hyphens.
    pub name: String,
    /// Version, as [semver](https://semver.org) defines it.
    pub version: Option<String>,
}

/// Component of an app.
#[derive(Clone, Debug)]
pub struct ComponentSection {
    /// Lowercase letters, digits and hyphens. Each component has a name of its own.
    pub name: String,
    /// Where the component's bytes come from.
    pub source: ComponentSource,
    /// Place of `source` in the manifest.
    pub place: SourceSpan,
    /// Grants and denials.
    pub policy: Policy,
    /// Limits that the manifest sets.
    pub limits: LimitOverrides,
}

/// Source of a component's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentSource {
    /// File of the host.
    File(PathBuf),
}

/// HTTP trigger: routes, and settings of the components that answer.
#[derive(Clone, Debug, Default)]
pub struct HttpSection {
    /// Routes, in the order of the file. The order has no meaning: see [`Routes`](crate::Routes).
    pub routes: Vec<Route>,
    pub(crate) defaults: HttpSettings,
    pub(crate) components: BTreeMap<String, HttpSettings>,
}

/// How requests reach one component; `None` is the default of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Requests that one sandbox of WASI 0.2 takes. With 1, each request has a fresh sandbox.
    pub reuse: Option<u32>,
    /// Largest number of sandboxes at once, at least 1.
    pub sandboxes: Option<u32>,
    /// Largest number of requests that wait for a sandbox.
    pub queue: Option<u32>,
    /// Longest wait for a sandbox.
    pub queue_timeout: Option<Duration>,
}

/// Manifest as far as it could be read, with its errors.
#[derive(Debug)]
pub struct ManifestDraft {
    /// Values that could be read. A wrong value counts as absent. A component without a source is
    /// left out, and so is a route without a path or a target. A route may lead to a component
    /// that does not exist.
    pub manifest: Manifest,
    /// Files and folders that the manifest names, in no order.
    pub paths: Vec<NamedPath>,
    /// Errors.
    pub report: ManifestReport,
}

/// File or folder of the host that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// Purpose of the path.
    pub role: PathRole,
    /// Text in the manifest; for a mount, with the path of the guest.
    pub text: String,
    /// Path on the host. A relative path begins at the folder of the manifest.
    pub path: PathBuf,
    /// Place in the manifest.
    pub place: SourceSpan,
}

/// Purpose of a path of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRole {
    /// File of a component.
    Source,
    /// Folder that is served.
    Folder,
    /// Folder that a component sees.
    Mount,
}

impl Manifest {
    /// Returns the component of this name.
    pub fn component(&self, name: &str) -> Option<&ComponentSection> {
        self.components.iter().find(|component| component.name == name)
    }
}

impl HttpSection {
    /// Returns the settings of a component: those of its routes, and for each setting that they
    /// lack, that of `[app.http]`.
    pub fn settings(&self, component: &str) -> HttpSettings {
        let own = self.components.get(component).copied().unwrap_or_default();
        HttpSettings {
            reuse: own.reuse.or(self.defaults.reuse),
            sandboxes: own.sandboxes.or(self.defaults.sandboxes),
            queue: own.queue.or(self.defaults.queue),
            queue_timeout: own.queue_timeout.or(self.defaults.queue_timeout),
        }
    }
}
