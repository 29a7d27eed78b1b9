//! Definition of a trigger.

use crate::error::ManifestReport;
use crate::manifest::Manifest;
use crate::paths::HostPaths;
use crate::section::Section;
use crate::table::KeyTable;

/// Trigger of the manifest: `[[NAME]]` is one entry of it, and `[app.NAME]` has defaults for all
/// entries.
pub(crate) struct TriggerSection {
    pub name: &'static str,
    /// Table of one entry.
    pub entry: &'static KeyTable,
    /// Table of the defaults.
    pub defaults: &'static KeyTable,
    /// Reads defaults and entries into the manifest. `root` is the file.
    pub read: fn(root: &Section<'_>, to: &mut Manifest, paths: &mut HostPaths<'_>, report: &mut ManifestReport),
}
