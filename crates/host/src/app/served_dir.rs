//! A folder whose files answer the requests of a route: `dir` in a route of a manifest.

use crate::app::admission::{Admission, AdmissionLimits};
use crate::telemetry::ComponentMetrics;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use walnut_manifest::{PathRule, Route};

/// Open files of one route. A client that reads slowly keeps its file open, and the process's limit
/// of open files may be little more than this. A file that is read in one go needs no permit, so
/// slow clients do not keep others from it.
pub(crate) const OPEN_FILES: AdmissionLimits =
    AdmissionLimits { sandboxes: 512, queue: 1000, queue_timeout: Duration::from_secs(10) };
/// File lookups of one route: enough for any disk, and fewer than the runtime's blocking threads.
const LOOKUPS: AdmissionLimits =
    AdmissionLimits { sandboxes: 256, queue: 10_000, queue_timeout: Duration::from_secs(10) };

/// Receives a file that the system could not read: its path below the folder, and the error.
pub(crate) type ReadErrorListener = dyn Fn(&str, &io::Error) + Send + Sync;

/// A folder whose files answer the requests of a route. Opened once; files are opened relative to
/// it.
pub struct ServedDir {
    /// Path of the folder.
    pub path: PathBuf,
    pub(crate) dir: Dir,
    pub(crate) rule: PathRule,
    pub(crate) admission: Arc<DirAdmission>,
    pub(crate) on_read_error: Arc<ReadErrorListener>,
    metrics: Arc<ComponentMetrics>,
}

/// Admission of a route's file requests. Successive folders of the route share it, so that
/// responses still streaming from the previous folder count.
pub(crate) struct DirAdmission {
    pub lookups: Admission,
    pub open_files: Admission,
}

impl DirAdmission {
    fn new() -> Self {
        DirAdmission { lookups: Admission::new(LOOKUPS), open_files: Admission::new(OPEN_FILES) }
    }
}

impl ServedDir {
    /// Opens the folder at `path` for `route`. Shares the admission of `previous`, the folder that
    /// the route has now.
    pub(crate) fn open(
        route: &Route,
        path: &Path,
        previous: Option<&ServedDir>,
        metrics: Arc<ComponentMetrics>,
        on_read_error: Arc<ReadErrorListener>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(ServedDir {
            path: path.to_owned(),
            dir: Dir::open_ambient_dir(path, ambient_authority())?,
            rule: route.path.clone(),
            admission: previous.map_or_else(|| Arc::new(DirAdmission::new()), |previous| previous.admission.clone()),
            on_read_error,
            metrics,
        }))
    }

    pub(crate) fn metrics(&self) -> &Arc<ComponentMetrics> {
        &self.metrics
    }
}
