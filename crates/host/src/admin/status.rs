//! Status of the node as JSON, for the page of the admin address. Values are totals; a reader takes
//! differences between two requests.

use crate::app::{Admission, App, DeployedComponent, Node, ServedDir};
use crate::telemetry::{AccessLog, ComponentMetrics, LATENCY_BOUNDS, RecordedDenial, START_BOUNDS, unix_millis};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use walnut_manifest::Route;

/// Status of a node. Fields may be added; existing ones keep their meaning while `v` stays the
/// same. Times are milliseconds since 1970 in UTC.
#[derive(Serialize)]
pub(crate) struct Status {
    v: u32,
    version: &'static str,
    phase: &'static str,
    started: u64,
    time: u64,
    connections: i64,
    /// Lost lines of the access log.
    lost_lines: u64,
    /// Lost lines by log, the access log among them.
    lost: BTreeMap<&'static str, u64>,
    /// Requests without a route or a valid host, and bytes that were not a request.
    unrouted: u64,
    /// Upper bounds of the latency buckets, in seconds. There is one bucket more, without a bound.
    bounds: Vec<f64>,
    /// Upper bounds of the buckets of start-up times, in the same way.
    start_bounds: Vec<f64>,
    components: Vec<ComponentStatus>,
}

#[derive(Serialize)]
struct ComponentStatus {
    app: String,
    component: String,
    routes: Vec<String>,
    grants: Vec<String>,
    recent_denials: Vec<DenialStatus>,
    /// Finished requests, by cause.
    causes: BTreeMap<&'static str, u64>,
    /// Finished requests, by status class.
    classes: BTreeMap<&'static str, u64>,
    /// Finished requests, by latency bucket.
    latency: Vec<u64>,
    in_flight: u64,
    waiting: u64,
    /// Length of the queue.
    queue: u32,
    sandboxes: u64,
    /// Started sandboxes, by bucket of start-up time.
    starts: Vec<u64>,
    /// Processor time of its guests, in seconds.
    cpu: f64,
    /// Largest memory of a sandbox, in bytes.
    memory: u64,
    permits_in_use: u64,
    permits: u32,
    denials: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct DenialStatus {
    capability: &'static str,
    import: &'static str,
    request: String,
    because: String,
    /// Grant that would allow it, as a flag and as a line of the manifest.
    flag: Option<String>,
    manifest: Option<String>,
    count: u64,
    last: u64,
}

impl Status {
    /// Sums up the metrics of `node`.
    pub fn of(node: &Node) -> Self {
        let (metrics, apps) = (node.metrics(), node.apps());
        let components = apps
            .iter()
            .flat_map(|app| app.components.iter().map(move |component| ComponentStatus::of_component(app, component)));
        let dirs = apps.iter().flat_map(App::dirs).map(|(route, dir)| ComponentStatus::of_dir(route, dir));
        Status {
            v: 1,
            version: env!("CARGO_PKG_VERSION"),
            phase: node.phase().name(),
            started: unix_millis(metrics.started),
            time: unix_millis(SystemTime::now()),
            connections: metrics.connections(),
            lost_lines: metrics.logs.access.as_ref().map_or(0, AccessLog::lost),
            lost: metrics.logs.lost().filter(|(_, count)| *count > 0).collect(),
            unrouted: metrics.unrouted.ended().map(|(_, _, count)| count).sum(),
            bounds: seconds(&LATENCY_BOUNDS),
            start_bounds: seconds(&START_BOUNDS),
            components: components.chain(dirs).collect(),
        }
    }
}

fn seconds(micros: &[u64]) -> Vec<f64> {
    micros.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).collect()
}

impl ComponentStatus {
    fn of_component(app: &App, component: &Arc<DeployedComponent>) -> Self {
        let routes = app.routes_to(component).map(ToString::to_string).collect();
        ComponentStatus {
            sandboxes: component.sandboxes(),
            ..Self::new(component.metrics(), component.admission(), routes, component.grants.clone())
        }
    }

    /// Shows a folder like a component. Its permits are open files, and it has no sandboxes.
    fn of_dir(route: &Route, dir: &ServedDir) -> Self {
        let grants = vec![format!("files in {}", dir.path.display())];
        Self::new(dir.metrics(), &dir.admission.open_files, vec![route.to_string()], grants)
    }

    fn new(metrics: &ComponentMetrics, admission: &Admission, routes: Vec<String>, grants: Vec<String>) -> Self {
        let (mut causes, mut classes) = (BTreeMap::new(), BTreeMap::new());
        for (cause, class, count) in metrics.ended().filter(|(_, _, count)| *count > 0) {
            *causes.entry(cause.name()).or_default() += count;
            *classes.entry(class).or_default() += count;
        }
        ComponentStatus {
            app: metrics.labels().app.clone(),
            component: metrics.labels().component.clone(),
            routes,
            grants,
            recent_denials: metrics.recorded_denials().into_iter().map(DenialStatus::of).collect(),
            causes,
            classes,
            latency: metrics.latencies().to_vec(),
            in_flight: metrics.in_flight(),
            waiting: admission.queued(),
            queue: admission.limits().queue,
            sandboxes: 0,
            starts: metrics.starts().to_vec(),
            cpu: metrics.cpu(),
            memory: metrics.memory(),
            permits_in_use: admission.in_use(),
            permits: admission.limits().sandboxes,
            denials: metrics.denials().map(|(capability, count)| (capability.name(), count)).collect(),
            limits: metrics.limits().map(|(limit, count)| (limit.name(), count)).collect(),
        }
    }
}

impl DenialStatus {
    fn of(denial: RecordedDenial) -> Self {
        let (flag, manifest) = denial.allow.unzip();
        DenialStatus {
            capability: denial.capability.name(),
            import: denial.import,
            request: denial.request,
            because: denial.because,
            flag,
            manifest,
            count: denial.count,
            last: unix_millis(denial.last),
        }
    }
}
