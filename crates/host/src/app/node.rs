//! The apps of a node, and the way of a request to what answers it.

use crate::http::static_files::Files;
use crate::telemetry::metrics::{Logs, Measures, Metrics};
use crate::telemetry::otlp::Telemetry;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use walnut_engine::Service;
use walnut_manifest::{PathRule, Route, Routes};

/// An app that is ready to serve.
pub struct App {
    /// Its components, also those that no route leads to.
    pub components: Vec<Arc<Hosted>>,
    /// Which requests go where.
    pub routes: Vec<(Route, Destination)>,
}

/// A component that serves, with its place for sandboxes.
pub struct Hosted {
    /// Its name in the app.
    pub name: String,
    /// What answers.
    pub service: Service,
    /// What it may do, in words.
    pub grants: Vec<String>,
    admission: Admission,
    measures: Arc<Measures>,
}

/// How many requests a component takes, and how many wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sandboxes at once.
    pub sandboxes: u32,
    /// Requests that wait for one.
    pub queue: u32,
    /// How long they wait.
    pub patience: Duration,
}

impl Hosted {
    /// `service` under this name, which may do what `grants` says. What happens is counted in `measures`.
    pub fn new(
        name: &str,
        service: Service,
        grants: Vec<String>,
        admission: Admission,
        measures: Arc<Measures>,
    ) -> Arc<Self> {
        Arc::new(Hosted { name: name.to_owned(), service, grants, admission, measures })
    }

    /// A place for a sandbox, once there is one. `None` when too many wait already, or when it took too long.
    pub(crate) async fn admit(&self) -> Option<Place> {
        self.admission.admit().await
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.measures
    }

    pub(crate) fn shared_measures(&self) -> Arc<Measures> {
        self.measures.clone()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.admission.limits
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> u64 {
        self.admission.waiting()
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.admission.taken()
    }

    /// Sandboxes that live.
    pub(crate) fn sandboxes(&self) -> u64 {
        // One for each request gives its place back when it ends.
        self.service.shared_sandboxes().map_or_else(|| self.taken(), |count| count as u64)
    }
}

/// Lets requests to a component in, as [`Node::admission`] makes it.
pub struct Admission {
    room: Arc<Room>,
    /// The places of the node, of which a request takes one too.
    node: Option<Arc<Semaphore>>,
    limits: Limits,
}

/// A request's place at its component, and on its node.
pub(crate) struct Place {
    _of_component: OwnedSemaphorePermit,
    _of_node: Option<OwnedSemaphorePermit>,
}

/// The places of a component, which the versions of it that are served one after another share: requests that are under way
/// in the one before count.
struct Room {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Room {
    fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Room { free: Arc::new(Semaphore::new(limits.sandboxes as usize)), waiting: AtomicUsize::new(0) })
    }
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Admission { room: Room::new(limits), node: None, limits }
    }

    /// What it was made with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) async fn admit(&self) -> Option<Place> {
        if let Some(place) = self.try_admit() {
            return Some(place);
        }
        // Given back however the wait ends: with a place, by the time-out, or because the client left.
        let _waits = Waiting::new(&self.room.waiting, self.limits.queue as usize)?;
        timeout(self.limits.patience, self.place()).await.ok()?
    }

    async fn place(&self) -> Option<Place> {
        let of_component = self.room.free.clone().acquire_owned().await.ok()?;
        let of_node = match &self.node {
            Some(node) => Some(node.clone().acquire_owned().await.ok()?),
            None => None,
        };
        Some(Place { _of_component: of_component, _of_node: of_node })
    }

    /// A place, if there is one at once.
    pub(crate) fn try_admit(&self) -> Option<Place> {
        let of_component = self.room.free.clone().try_acquire_owned().ok()?;
        let of_node = match &self.node {
            Some(node) => Some(node.clone().try_acquire_owned().ok()?),
            None => None,
        };
        Some(Place { _of_component: of_component, _of_node: of_node })
    }

    /// Requests that wait for a place.
    pub(crate) fn waiting(&self) -> u64 {
        // One that finds no room to wait is counted for a moment.
        self.room.waiting.load(SeqCst).min(self.limits.queue as usize) as u64
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> u64 {
        (self.limits.sandboxes as usize).saturating_sub(self.room.free.available_permits()) as u64
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let waiting = Waiting(count);
        (count.fetch_add(1, SeqCst) < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// What answers a request.
#[derive(Clone)]
pub enum Destination {
    /// A component, in a sandbox.
    Component(Arc<Hosted>),
    /// The files of a folder.
    Files(Arc<Files>),
}

/// A path as a file system reads it.
fn read(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

fn as_read(rule: &PathRule) -> PathRule {
    match rule {
        PathRule::Exact(path) => PathRule::Exact(read(path).into_owned()),
        PathRule::Below(base) => PathRule::Below(read(base).into_owned()),
    }
}

/// The apps that a process serves. They can be replaced while requests come in.
pub struct Node {
    table: RwLock<Arc<Table>>,
    /// For the sandboxes of all components together.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    telemetry: Option<Arc<Telemetry>>,
    phase: AtomicU8,
}

#[derive(Default)]
struct Table {
    routes: Routes,
    /// The same, their paths as names of files: `/%61` as `/a`.
    read: Routes,
    destinations: Vec<Destination>,
    /// Each component with its routes, for those who want to know.
    hosted: Vec<(Arc<Hosted>, Vec<String>)>,
    /// Each folder with its route.
    files: Vec<(Arc<Files>, String)>,
}

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It does not serve yet.
    Starting,
    Serving,
    /// It answers what is under way and takes nothing new.
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
    /// A node that serves nothing yet, and will run as many `sandboxes` at once, whosever they are. The access log of `logs` gets a
    /// line for each request, `telemetry` a span.
    pub fn new(sandboxes: u32, logs: Logs, telemetry: Option<Arc<Telemetry>>) -> Arc<Self> {
        Arc::new(Node {
            table: RwLock::default(),
            places: Arc::new(Semaphore::new(sandboxes as usize)),
            metrics: Arc::new(Metrics::new(logs)),
            telemetry,
            phase: AtomicU8::new(Phase::Starting as u8),
        })
    }

    /// Where to count what becomes of a component's requests, and of what it asks for.
    pub fn measures(&self, app: &str, component: &str) -> Arc<Measures> {
        self.metrics.component(app, component)
    }

    /// Lets requests in to the component that is counted in `measures`. It has the places of the version that is served now
    /// if that has as many.
    pub fn admission(&self, measures: &Arc<Measures>, limits: Limits) -> Admission {
        let mut hosted = self.hosted().into_iter().map(|(hosted, _)| hosted);
        let before = hosted.find(|hosted| Arc::ptr_eq(&hosted.measures, measures));
        let before = before.filter(|hosted| hosted.limits().sandboxes == limits.sandboxes);
        let room = before.map_or_else(|| Room::new(limits), |hosted| hosted.admission.room.clone());
        Admission { room, node: Some(self.places.clone()), limits }
    }

    /// Counts a try to serve what is described now; `is_done` tells how it ended.
    pub fn reloaded(&self, is_done: bool) {
        self.metrics.reloads[usize::from(!is_done)].fetch_add(1, SeqCst);
    }

    /// Says that clients are served now.
    pub fn is_serving(&self) {
        self.phase.store(Phase::Serving as u8, SeqCst);
    }

    /// Says that nothing new is taken.
    pub fn is_draining(&self) {
        self.phase.store(Phase::Draining as u8, SeqCst);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(SeqCst))]
    }

    /// Where traces and logs go.
    pub fn telemetry(&self) -> Option<&Arc<Telemetry>> {
        self.telemetry.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What is served, each component with its routes.
    pub(crate) fn hosted(&self) -> Vec<(Arc<Hosted>, Vec<String>)> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).hosted.clone()
    }

    /// The folders whose files are served, each with its route.
    pub(crate) fn files(&self) -> Vec<(Arc<Files>, String)> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).files.clone()
    }

    /// Serves these apps from now on. Requests that are under way end where they began.
    pub fn replace(&self, apps: Vec<App>) {
        let (mut table, mut all) = (Table::default(), Vec::new());
        for app in apps {
            for component in app.components {
                let is_its = |to: &Destination| matches!(to, Destination::Component(c) if Arc::ptr_eq(c, &component));
                let routes = app.routes.iter().filter(|(_, to)| is_its(to)).map(|(route, _)| route.to_string());
                table.hosted.push((component.clone(), routes.collect()));
            }
            for (route, destination) in app.routes {
                if let Destination::Files(files) = &destination {
                    table.files.push((files.clone(), route.to_string()));
                }
                all.push(route);
                table.destinations.push(destination);
            }
        }
        table.routes = Routes::new(&all);
        all.iter_mut().for_each(|route| route.path = as_read(&route.path));
        table.read = Routes::new(&all);
        let mut served = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *served, Arc::new(table));
        drop(served);
        for (hosted, _) in &before.hosted {
            hosted.service.retire();
        }
    }

    /// What answers a request to `path` on `host`.
    pub(crate) fn route(&self, host: &str, path: &str) -> Option<Destination> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner).clone();
        let index = table.routes.find(host, path)?;
        let destination = &table.destinations[index];
        // Written in other letters, a file would be reached around the route that is for it.
        if matches!(destination, Destination::Files(_)) && table.read.find(host, &read(path)) != Some(index) {
            return None;
        }
        Some(destination.clone())
    }
}
