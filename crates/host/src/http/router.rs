//! The router: finds the target of a request by its host and path.

use crate::app::{App, DeploymentObserver, Node, RouteTarget};
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::sync::Arc;
use walnut_manifest::{PathRule, Routes};

/// Routes requests to the deployed apps of a node.
#[derive(Default)]
pub(crate) struct Router {
    table: RwLock<Arc<RouteTable>>,
}

/// Routes of all apps.
#[derive(Default)]
struct RouteTable {
    routes: Routes,
    /// The same routes with percent-decoded paths: `/%61` as `/a`.
    decoded: Routes,
    /// Targets, in the order of the routes.
    targets: Vec<RouteTarget>,
}

impl Router {
    /// Creates a router of the apps on `node`, now and after each replacement.
    pub fn observing(node: &Node) -> Arc<Self> {
        let router = Arc::new(Router::default());
        node.observe(router.clone());
        router
    }

    /// Finds the target of a request to `path` on `host`.
    pub fn route(&self, host: &str, path: &str) -> Option<RouteTarget> {
        let table = self.table.read().clone();
        let index = table.routes.find(host, path)?;
        let target = &table.targets[index];
        // A file must not be reachable by another spelling of its path, around the route that is
        // meant for it.
        if matches!(target, RouteTarget::Dir(_)) && table.decoded.find(host, &decode(path)) != Some(index) {
            return None;
        }
        Some(target.clone())
    }
}

impl DeploymentObserver for Router {
    fn deployed(&self, apps: &[App]) {
        let table = Arc::new(RouteTable::new(apps));
        *self.table.write() = table;
    }
}

impl RouteTable {
    fn new(apps: &[App]) -> Self {
        let routes = || apps.iter().flat_map(|app| &app.routes);
        let (mut rules, targets): (Vec<_>, Vec<_>) = routes().cloned().unzip();
        let table = Routes::new(&rules);
        rules.iter_mut().for_each(|route| route.path = decode_rule(&route.path));
        RouteTable { routes: table, decoded: Routes::new(&rules), targets }
    }
}

/// Decodes percent-encoding, as a file system would read the path.
fn decode(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

fn decode_rule(rule: &PathRule) -> PathRule {
    match rule {
        PathRule::Exact(path) => PathRule::Exact(decode(path).into_owned()),
        PathRule::Below(base) => PathRule::Below(decode(base).into_owned()),
    }
}
