//! An app that is ready to serve.

use crate::app::admission::{Admission, AdmissionPermit};
use crate::app::served_dir::ServedDir;
use crate::telemetry::ComponentMetrics;
use std::sync::Arc;
use walnut_engine::Service;
use walnut_manifest::Route;

/// An app that is ready to serve.
pub struct App {
    /// Its components, including those without a route.
    pub components: Vec<Arc<DeployedComponent>>,
    /// HTTP routes and their targets.
    pub routes: Vec<(Route, RouteTarget)>,
}

impl App {
    /// Iterates over the served folders and their routes.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = (&Route, &Arc<ServedDir>)> {
        self.routes.iter().filter_map(|(route, target)| match target {
            RouteTarget::Dir(dir) => Some((route, dir)),
            RouteTarget::Component(_) => None,
        })
    }

    /// Iterates over the routes that lead to `component`.
    pub(crate) fn routes_to(&self, component: &Arc<DeployedComponent>) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter_map(move |(route, target)| match target {
            RouteTarget::Component(other) if Arc::ptr_eq(other, component) => Some(route),
            _ => None,
        })
    }
}

/// Target of an HTTP route.
#[derive(Clone)]
pub enum RouteTarget {
    /// A component, run in a sandbox.
    Component(Arc<DeployedComponent>),
    /// Files of a folder.
    Dir(Arc<ServedDir>),
}

/// A component that serves, with its admission and its metrics.
pub struct DeployedComponent {
    /// Name within the app.
    pub name: String,
    /// Runs its sandboxes.
    pub service: Service,
    /// Its grants, in words.
    pub grants: Vec<String>,
    admission: Admission,
    metrics: Arc<ComponentMetrics>,
}

impl DeployedComponent {
    /// Creates a component `name` that runs in `service`. Its requests and denials are counted in
    /// `metrics`.
    pub fn new(
        name: &str,
        service: Service,
        grants: Vec<String>,
        admission: Admission,
        metrics: Arc<ComponentMetrics>,
    ) -> Arc<Self> {
        Arc::new(DeployedComponent { name: name.to_owned(), service, grants, admission, metrics })
    }

    /// Waits for admission. Returns `None` when the queue is full or the wait takes too long.
    pub(crate) async fn admit(&self) -> Option<AdmissionPermit> {
        self.admission.admit().await
    }

    pub(crate) fn metrics(&self) -> &Arc<ComponentMetrics> {
        &self.metrics
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Counts its live sandboxes.
    pub(crate) fn sandboxes(&self) -> u64 {
        // A sandbox that serves a single request holds that request's permit until it ends.
        self.service.live_sandboxes().map_or_else(|| self.admission.in_use(), |count| count as u64)
    }
}
