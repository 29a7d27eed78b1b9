//! The node: what is deployed, the swap on a reload, and the phase of the process.

use crate::app::admission::{Admission, AdmissionLimits};
use crate::app::app::App;
use crate::app::served_dir::ServedDir;
use crate::telemetry::{ComponentMetrics, Logs, NodeMetrics, Telemetry};
use parking_lot::{Mutex, RwLock};
use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use tokio::sync::Semaphore;
use walnut_manifest::Route;

/// The apps that a process serves. A reload replaces them while requests come in.
pub struct Node {
    apps: RwLock<Arc<Vec<App>>>,
    /// Locked during a replacement, so that observers see replacements in their order.
    observers: Mutex<Vec<Arc<dyn DeploymentObserver>>>,
    /// Permits for the sandboxes of all components together.
    sandboxes: Arc<Semaphore>,
    metrics: Arc<NodeMetrics>,
    telemetry: Option<Arc<Telemetry>>,
    phase: AtomicU8,
}

/// A trigger that keeps an index of the deployed apps, such as the route table of HTTP.
pub(crate) trait DeploymentObserver: Send + Sync {
    /// Replaces the index by one of `apps`.
    fn deployed(&self, apps: &[App]);
}

/// Phase of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Loading; not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// Finishing requests in flight, taking no new ones.
    Draining,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Starting, Phase::Serving, Phase::Draining];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Serving => "serving",
            Phase::Draining => "draining",
        }
    }
}

impl Node {
    /// Creates a node that serves nothing yet and runs at most `sandboxes` at once, of all
    /// components together. Each request gets an entry in the access log of `logs`, and a span in
    /// `telemetry`.
    pub fn new(sandboxes: u32, logs: Logs, telemetry: Option<Arc<Telemetry>>) -> Arc<Self> {
        Arc::new(Node {
            apps: RwLock::default(),
            observers: Mutex::default(),
            sandboxes: Arc::new(Semaphore::new(sandboxes as usize)),
            metrics: Arc::new(NodeMetrics::new(logs)),
            telemetry,
            phase: AtomicU8::new(Phase::Starting as u8),
        })
    }

    /// Returns the metrics of a component; the same ones after a reload.
    pub fn component_metrics(&self, app: &str, component: &str) -> Arc<ComponentMetrics> {
        self.metrics.component(app, component)
    }

    /// Creates the admission of the component that is counted in `metrics`. Shares the capacity of
    /// the deployed version if that has equally many sandboxes.
    pub fn admission(&self, metrics: &Arc<ComponentMetrics>, limits: AdmissionLimits) -> Admission {
        let apps = self.apps();
        let mut components = apps.iter().flat_map(|app| &app.components);
        let previous = components.find(|component| Arc::ptr_eq(component.metrics(), metrics));
        Admission::succeeding(previous.map(|previous| previous.admission()), self.sandboxes.clone(), limits)
    }

    /// Opens the folder at `path` for `route` of `app`. `on_read_error` receives the path of each
    /// file that the system could not read, and the error.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn open_dir(
        &self,
        app: &str,
        route: &Route,
        path: &Path,
        on_read_error: impl Fn(&str, &io::Error) + Send + Sync + 'static,
    ) -> io::Result<Arc<ServedDir>> {
        // A component's name has no colon, so this label is free.
        let metrics = self.component_metrics(app, &format!("files:{route}"));
        let apps = self.apps();
        let mut dirs = apps.iter().flat_map(App::dirs);
        let previous = dirs.find(|(_, dir)| Arc::ptr_eq(dir.metrics(), &metrics)).map(|(_, dir)| &**dir);
        ServedDir::open(route, path, previous, metrics.clone(), Arc::new(on_read_error))
    }

    /// Counts an attempt to reload.
    pub fn record_reload(&self, succeeded: bool) {
        self.metrics.record_reload(succeeded);
    }

    /// Enters the serving phase: clients are answered.
    pub fn set_serving(&self) {
        self.phase.store(Phase::Serving as u8, SeqCst);
    }

    /// Enters the draining phase: no new requests are taken.
    pub fn set_draining(&self) {
        self.phase.store(Phase::Draining as u8, SeqCst);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(SeqCst))]
    }

    /// Returns the destination of traces and logs, if there is one.
    pub fn telemetry(&self) -> Option<&Arc<Telemetry>> {
        self.telemetry.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Arc<NodeMetrics> {
        &self.metrics
    }

    /// Returns the deployed apps.
    pub(crate) fn apps(&self) -> Arc<Vec<App>> {
        self.apps.read().clone()
    }

    /// Tells `observer` of the deployed apps, now and after each replacement.
    pub(crate) fn observe(&self, observer: Arc<dyn DeploymentObserver>) {
        let mut observers = self.observers.lock();
        observer.deployed(&self.apps());
        observers.push(observer);
    }

    /// Serves `apps` in place of the deployed ones. Requests in flight end in the version in which
    /// they began.
    pub fn replace(&self, apps: Vec<App>) {
        let observers = self.observers.lock();
        let apps = Arc::new(apps);
        let previous = mem::replace(&mut *self.apps.write(), apps.clone());
        observers.iter().for_each(|observer| observer.deployed(&apps));
        for component in previous.iter().flat_map(|app| &app.components) {
            component.service.retire();
        }
    }
}
