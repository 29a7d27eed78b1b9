//! What the page of the admin address shows, as JSON. Totals only: whoever asks twice knows what happened in between.

use crate::app::node::{Admission, Hosted, Node};
use crate::http::static_files::Files;
use crate::telemetry::access_log::since_1970;
use crate::telemetry::metrics::{BOUNDS, Measures, Refused, START_BOUNDS};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Fields may be added; what is there keeps its meaning as long as `v` stays. Times are milliseconds since 1970 in UTC.
#[derive(Serialize)]
pub(crate) struct Status {
    v: u32,
    version: &'static str,
    phase: &'static str,
    started: u64,
    time: u64,
    connections: i64,
    /// Lines of the access log that were lost.
    lost_lines: u64,
    /// Lines that were lost, by where they should have gone; that log among them.
    lost: BTreeMap<&'static str, u64>,
    /// Requests that no route is for, those that named no host, and what was no request.
    unrouted: u64,
    /// The upper bounds of the latencies' buckets in seconds; there is one bucket more, for what took longer.
    bounds: Vec<f64>,
    /// The same of how long sandboxes took to start.
    start_bounds: Vec<f64>,
    components: Vec<ComponentStatus>,
}

#[derive(Serialize)]
struct ComponentStatus {
    app: String,
    component: String,
    routes: Vec<String>,
    grants: Vec<String>,
    refused: Vec<RefusedStatus>,
    /// Requests that ended, by cause.
    causes: BTreeMap<&'static str, u64>,
    /// Requests that ended, by the class of their status.
    classes: BTreeMap<&'static str, u64>,
    /// Requests that ended, by how long they took.
    latency: Vec<u64>,
    in_flight: u64,
    waiting: u64,
    /// How many may wait.
    queue: u32,
    sandboxes: u64,
    /// Sandboxes that were started, by how long that took.
    starts: Vec<u64>,
    /// Processor time of its guests, in seconds.
    cpu: f64,
    /// The most that one of its sandboxes had, in bytes.
    memory: u64,
    /// Places that are taken, and how many there are.
    taken: u64,
    places: u32,
    denials: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct RefusedStatus {
    capability: &'static str,
    import: &'static str,
    asked: String,
    because: String,
    /// What would allow it: for the command line and for the manifest.
    flag: Option<String>,
    manifest: Option<String>,
    count: u64,
    last: u64,
}

impl Status {
    pub fn of(node: &Node) -> Self {
        let metrics = node.metrics();
        let components = node.hosted().into_iter().map(|(hosted, routes)| ComponentStatus::of(&hosted, routes));
        let folders = node.files().into_iter().map(|(files, route)| ComponentStatus::of_files(&files, route));
        Status {
            v: 1,
            version: env!("CARGO_PKG_VERSION"),
            phase: node.phase().name(),
            started: since_1970(metrics.started),
            time: since_1970(SystemTime::now()),
            connections: metrics.connections(),
            lost_lines: metrics.logs.access.as_ref().map_or(0, crate::telemetry::access_log::AccessLog::lost),
            lost: metrics.logs.lost().filter(|(_, count)| *count > 0).collect(),
            unrouted: metrics.unrouted.ended().map(|(_, _, count)| count).sum(),
            bounds: seconds(&BOUNDS),
            start_bounds: seconds(&START_BOUNDS),
            components: components.chain(folders).collect(),
        }
    }
}

fn seconds(micros: &[u64]) -> Vec<f64> {
    micros.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).collect()
}

impl ComponentStatus {
    fn of(hosted: &Hosted, routes: Vec<String>) -> Self {
        ComponentStatus {
            sandboxes: hosted.sandboxes(),
            ..Self::counted(hosted.measures(), hosted.admission(), routes, hosted.grants.clone())
        }
    }

    /// A folder is shown as what answers too. Its places are for open files, and it has no sandboxes.
    fn of_files(files: &Files, route: String) -> Self {
        let grants = vec![format!("files in {}", files.place.display())];
        Self::counted(files.measures(), files.admission(), vec![route], grants)
    }

    fn counted(measures: &Measures, admission: &Admission, routes: Vec<String>, grants: Vec<String>) -> Self {
        let (mut causes, mut classes) = (BTreeMap::new(), BTreeMap::new());
        for (cause, class, count) in measures.ended().filter(|(_, _, count)| *count > 0) {
            *causes.entry(cause.name()).or_default() += count;
            *classes.entry(class).or_default() += count;
        }
        ComponentStatus {
            app: measures.app.clone(),
            component: measures.component.clone(),
            routes,
            grants,
            refused: measures.refused().into_iter().map(RefusedStatus::of).collect(),
            causes,
            classes,
            latency: measures.took().to_vec(),
            in_flight: measures.in_flight(),
            waiting: admission.waiting(),
            queue: admission.limits().queue,
            sandboxes: 0,
            starts: measures.starts().to_vec(),
            cpu: measures.cpu(),
            memory: measures.memory(),
            taken: admission.taken(),
            places: admission.limits().sandboxes,
            denials: measures.denials().map(|(capability, count)| (capability.name(), count)).collect(),
            limits: measures.limits().map(|(limit, count)| (limit.name(), count)).collect(),
        }
    }
}

impl RefusedStatus {
    fn of(one: Refused) -> Self {
        let (flag, manifest) = one.allow.unzip();
        RefusedStatus {
            capability: one.capability.name(),
            import: one.import,
            asked: one.asked,
            because: one.because,
            flag,
            manifest,
            count: one.count,
            last: since_1970(one.last),
        }
    }
}
