//! The apps of a node, and the way of a request to what answers it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use walnut_engine::Service;
use walnut_manifest::{Route, Target, match_route};

/// An app that is ready to serve.
pub struct App {
    /// Its components; a route's target names one of them.
    pub components: Vec<Arc<Hosted>>,
    /// Which requests go where.
    pub routes: Vec<Route>,
}

/// A component that serves, with its place for sandboxes.
pub struct Hosted {
    /// Its name in the app.
    pub name: String,
    /// What answers.
    pub service: Service,
    admission: Admission,
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
    /// `service` under this name, with these limits.
    pub fn new(name: &str, service: Service, limits: Limits) -> Arc<Self> {
        Arc::new(Hosted { name: name.to_owned(), service, admission: Admission::new(limits) })
    }

    /// A place for a sandbox, once there is one. `None` when too many wait already, or when it took too long.
    pub(crate) async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.admission.admit().await
    }
}

struct Admission {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    limits: Limits,
}

impl Admission {
    fn new(limits: Limits) -> Self {
        Admission { free: Arc::new(Semaphore::new(limits.sandboxes as usize)), waiting: AtomicUsize::new(0), limits }
    }

    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some(place);
        }
        // Given back however the wait ends: with a place, by the time-out, or because the client left.
        let _waits = Waiting::new(&self.waiting, self.limits.queue as usize)?;
        timeout(self.limits.patience, self.free.clone().acquire_owned()).await.ok()?.ok()
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
pub(crate) enum Destination {
    Component(Arc<Hosted>),
    // Files(Arc<Files>),
}

/// The apps that a process serves. They can be replaced while requests come in.
#[derive(Default)]
pub struct Node {
    table: RwLock<Arc<Table>>,
}

#[derive(Default)]
struct Table {
    routes: Vec<Route>,
    destinations: Vec<Destination>,
}

impl Node {
    /// Serves these apps from now on. Requests that are under way end where they began.
    pub fn replace(&self, apps: Vec<App>) {
        let mut table = Table::default();
        for app in apps {
            for route in app.routes {
                let destination = match &route.target {
                    Target::Component(name) => {
                        app.components.iter().find(|c| c.name == *name).cloned().map(Destination::Component)
                    }
                    Target::Dir(_) => None,
                };
                if let Some(destination) = destination {
                    table.routes.push(route);
                    table.destinations.push(destination);
                }
            }
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// What answers a request to `path` on `host`.
    pub(crate) fn route(&self, host: &str, path: &str) -> Option<Destination> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner).clone();
        match_route(&table.routes, host, path).map(|index| table.destinations[index].clone())
    }
}
