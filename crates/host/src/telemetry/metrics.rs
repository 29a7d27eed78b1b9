//! Metrics of a node; `admin/openmetrics.rs` encodes them for collectors.
//!
//! A request costs a few relaxed additions to counters that were made with the component: no lock,
//! no lookup by name, and nothing shared between the threads that serve. Readers sum the counters
//! up.

use crate::telemetry::access_log::AccessLog;
use crate::telemetry::cause::{CLASSES, Cause, class};
use crate::telemetry::labels::Labels;
use crate::telemetry::logs::Logs;
use http::StatusCode;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use walnut_engine::{Event, Failure, Listener, Outcome, UsageObserver};
use walnut_policy::{Capability, Limit};

/// Upper bounds of the latency histogram, in microseconds.
pub(crate) const LATENCY_BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Upper bounds of the histogram of sandbox start-up times, in microseconds.
pub(crate) const START_BOUNDS: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000];

/// Outcomes of a reload.
const RELOAD_OUTCOMES: [&str; 2] = ["ok", "failed"];

/// Shards of a component's counters, so that threads do not contend for cache lines.
const SHARDS: usize = 8;

/// Distinct denials kept for a component; the oldest are dropped first.
const MAX_RECORDED_DENIALS: usize = 50;

/// Metrics of a node.
pub(crate) struct NodeMetrics {
    pub started: SystemTime,
    pub logs: Logs,
    /// Requests that match no route.
    pub unrouted: Arc<ComponentMetrics>,
    components: Mutex<Vec<Arc<ComponentMetrics>>>,
    connections: AtomicI64,
    /// Reloads, by [`RELOAD_OUTCOMES`].
    reloads: [AtomicU64; RELOAD_OUTCOMES.len()],
}

impl NodeMetrics {
    pub fn new(logs: Logs) -> Self {
        NodeMetrics {
            started: SystemTime::now(),
            unrouted: Arc::new(ComponentMetrics::new("", "", logs.access.clone())),
            components: Mutex::default(),
            connections: AtomicI64::new(0),
            reloads: Default::default(),
            logs,
        }
    }

    /// Returns the metrics of a component: those that it had before a reload, or new ones.
    pub fn component(&self, app: &str, component: &str) -> Arc<ComponentMetrics> {
        let mut components = self.components.lock();
        if let Some(found) = components.iter().find(|m| m.labels.app == app && m.labels.component == component) {
            return found.clone();
        }
        let metrics = Arc::new(ComponentMetrics::new(app, component, self.logs.access.clone()));
        components.push(metrics.clone());
        metrics
    }

    /// Counts an open connection until the returned guard is dropped.
    pub fn open_connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }

    /// Counts an attempt to reload.
    pub fn record_reload(&self, succeeded: bool) {
        self.reloads[usize::from(!succeeded)].fetch_add(1, Relaxed);
    }

    /// Returns the number of reloads, by outcome.
    pub fn reloads(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RELOAD_OUTCOMES.into_iter().zip(self.reloads.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns the number of open connections.
    pub fn connections(&self) -> i64 {
        self.connections.load(Relaxed)
    }

    /// Returns the metrics of requests without a route, followed by those of all components.
    pub fn all(&self) -> Vec<Arc<ComponentMetrics>> {
        let components = self.components.lock();
        std::iter::once(&self.unrouted).chain(&*components).cloned().collect()
    }
}

/// Guard of an open connection.
pub(crate) struct OpenConnection(Arc<NodeMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// Metrics of a component, or of a served folder. Listens to the component's gate for denials.
pub struct ComponentMetrics {
    labels: Arc<Labels>,
    pub(crate) access_log: Option<AccessLog>,
    shards: [Shard; SHARDS],
    denials: [AtomicU64; Capability::ALL.len()],
    limits: [AtomicU64; Limit::ALL.len()],
    recorded_denials: Mutex<Vec<RecordedDenial>>,
}

/// Counters of some threads, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    begun: AtomicU64,
    ended: [[AtomicU64; CLASSES.len()]; Cause::ALL.len()],
    latencies: DurationHistogram<{ LATENCY_BOUNDS.len() + 1 }>,
    starts: DurationHistogram<{ START_BOUNDS.len() + 1 }>,
    /// Processor time of guests, in nanoseconds.
    cpu: AtomicU64,
    /// Largest memory of a sandbox, in bytes.
    memory: AtomicU64,
}

/// Counts of durations by bucket, and their sum.
struct DurationHistogram<const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl<const BUCKETS: usize> Default for DurationHistogram<BUCKETS> {
    fn default() -> Self {
        DurationHistogram { counts: std::array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl<const BUCKETS: usize> DurationHistogram<BUCKETS> {
    /// Adds a duration. `bounds` are in microseconds.
    fn add(&self, duration: Duration, bounds: &[u64]) {
        self.nanoseconds.fetch_add(nanoseconds(duration), Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bounds.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Denials that the same grant would have allowed.
#[derive(Clone, Debug)]
pub(crate) struct RecordedDenial {
    pub capability: Capability,
    pub import: &'static str,
    pub request: String,
    pub because: String,
    /// Grant that would allow it, as a flag and as a line of the manifest.
    pub allow: Option<(String, String)>,
    pub count: u64,
    pub last: SystemTime,
}

impl ComponentMetrics {
    fn new(app: &str, component: &str, access_log: Option<AccessLog>) -> Self {
        ComponentMetrics {
            labels: Arc::new(Labels::new(app, component)),
            access_log,
            shards: Default::default(),
            denials: Default::default(),
            limits: Default::default(),
            recorded_denials: Mutex::default(),
        }
    }

    pub(crate) fn labels(&self) -> &Arc<Labels> {
        &self.labels
    }

    /// Counts a request that begins.
    pub(crate) fn begin(&self) {
        self.shard().begun.fetch_add(1, Relaxed);
    }

    /// Counts the end of a request that [`ComponentMetrics::begin`] counted.
    pub(crate) fn end(&self, status: Option<StatusCode>, cause: Cause, duration: Duration) {
        let shard = self.shard();
        shard.ended[cause as usize][class(status)].fetch_add(1, Relaxed);
        shard.latencies.add(duration, &LATENCY_BOUNDS);
    }

    /// Counts the limit that `failure` reached, if it did. To be called for every failure that the
    /// service reports, and for every limit that was reached otherwise.
    pub fn record_failure(&self, failure: &Failure) {
        if let Failure::Limit { limit, .. } = failure {
            self.limits[*limit as usize].fetch_add(1, Relaxed);
        }
    }

    fn shard(&self) -> &Shard {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static SHARD: Cell<usize> = Cell::new(THREADS.fetch_add(1, Relaxed) % SHARDS));
        &self.shards[SHARD.get()]
    }

    /// Returns the number of finished requests, by cause and status class.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (Cause, &'static str, u64)> {
        Cause::ALL.into_iter().flat_map(move |cause| {
            CLASSES.into_iter().enumerate().map(move |(class, name)| {
                let count = self.shards.iter().map(|shard| shard.ended[cause as usize][class].load(Relaxed)).sum();
                (cause, name, count)
            })
        })
    }

    /// Returns the number of requests in flight.
    pub(crate) fn in_flight(&self) -> u64 {
        // Read in this order: a request that begins and ends in between must not be missing from
        // `begun`.
        let ended: u64 = self.ended().map(|(_, _, count)| count).sum();
        let begun: u64 = self.shards.iter().map(|shard| shard.begun.load(Relaxed)).sum();
        begun.saturating_sub(ended)
    }

    /// Returns the number of requests in each bucket of [`LATENCY_BOUNDS`], and in one more without
    /// a bound.
    pub(crate) fn latencies(&self) -> [u64; LATENCY_BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.sum(|shard| &shard.latencies.counts[bucket]))
    }

    /// Returns the sum of all latencies, in seconds.
    pub(crate) fn latency_seconds(&self) -> f64 {
        self.seconds(|shard| &shard.latencies.nanoseconds)
    }

    /// Returns the number of sandboxes in each bucket of [`START_BOUNDS`], and in one more without
    /// a bound.
    pub(crate) fn starts(&self) -> [u64; START_BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.sum(|shard| &shard.starts.counts[bucket]))
    }

    /// Returns the sum of all start-up times, in seconds.
    pub(crate) fn start_seconds(&self) -> f64 {
        self.seconds(|shard| &shard.starts.nanoseconds)
    }

    /// Returns the processor time of guests, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.seconds(|shard| &shard.cpu)
    }

    /// Returns the largest memory of a sandbox, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.shards.iter().map(|shard| shard.memory.load(Relaxed)).max().unwrap_or(0)
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| counter(shard).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    fn seconds(&self, nanoseconds: impl Fn(&Shard) -> &AtomicU64) -> f64 {
        Duration::from_nanos(self.sum(nanoseconds)).as_secs_f64()
    }

    /// Returns the number of denials, by capability.
    pub(crate) fn denials(&self) -> impl Iterator<Item = (Capability, u64)> {
        Capability::ALL.into_iter().zip(self.denials.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns how often each limit was reached.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.limits.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns the recorded denials, the latest first.
    pub(crate) fn recorded_denials(&self) -> Vec<RecordedDenial> {
        let mut denials = self.recorded_denials.lock().clone();
        denials.sort_by_key(|denial| std::cmp::Reverse(denial.last));
        denials
    }
}

impl UsageObserver for ComponentMetrics {
    fn sandbox_started(&self, duration: Duration) {
        self.shard().starts.add(duration, &START_BOUNDS);
    }

    fn cpu_used(&self, cpu: Duration) {
        self.shard().cpu.fetch_add(nanoseconds(cpu), Relaxed);
    }

    fn memory_grown(&self, memory: u64) {
        let peak = &self.shard().memory;
        // Most sandboxes of a component are alike, so that only the first one writes.
        if peak.load(Relaxed) < memory {
            peak.fetch_max(memory, Relaxed);
        }
    }
}

impl Listener for ComponentMetrics {
    fn decided(&self, event: &Event<'_>) {
        let Outcome::Denied { denial, fix } = &event.outcome else { return };
        let capability = denial.request.capability();
        if let Some(index) = Capability::ALL.iter().position(|c| *c == capability) {
            self.denials[index].fetch_add(1, Relaxed);
        }
        // Requests that the same grant would allow are a single entry.
        let (allow, because) = (fix.map(|fix| (&fix.flag, &fix.manifest)), denial.reason.to_string());
        let is_same = |known: &RecordedDenial| match (&known.allow, allow) {
            (Some((flag, _)), Some((other, _))) => flag == other,
            (None, None) => known.capability == capability && known.because == because,
            _ => false,
        };
        let last = SystemTime::now();
        let mut denials = self.recorded_denials.lock();
        if let Some(known) = denials.iter_mut().find(|known| is_same(known)) {
            known.count += 1;
            known.last = last;
            return;
        }
        if denials.len() >= MAX_RECORDED_DENIALS
            && let Some((oldest, _)) = denials.iter().enumerate().min_by_key(|(_, denial)| denial.last)
        {
            denials.swap_remove(oldest);
        }
        let allow = allow.map(|(flag, manifest)| (flag.clone(), manifest.clone()));
        let (import, request) = (event.import, denial.request.to_string());
        denials.push(RecordedDenial { capability, import, request, because, allow, count: 1, last });
    }

    fn wants_allowed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
