//! What a node counts; `openmetrics.rs` tells it to a collector.
//!
//! Whatever happens for each request is a few relaxed additions to numbers that were made with the component: no lock, no
//! look-up by name, nothing shared between the threads that serve. They are summed when somebody asks.

use crate::telemetry::access_log::AccessLog;
use crate::telemetry::cause::{CLASSES, Cause, class};
use crate::telemetry::log_writer::Lines;
use http::StatusCode;
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use walnut_engine::{Event, Failure, Limit, Listener, Outcome, Usage};
use walnut_policy::Capability;

/// The upper bounds of the latency histogram, in microseconds.
pub(crate) const BOUNDS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The upper bounds of the histogram of how long sandboxes took to start, in microseconds.
pub(crate) const START_BOUNDS: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000];

/// How a reload may end.
pub(crate) const RELOADED: [&str; 2] = ["ok", "failed"];

/// Parts into which the counts of a component are split, so that threads do not wait for each other's caches.
const PARTS: usize = 8;

/// Where a process says what happens.
#[derive(Clone, Default)]
pub struct Logs {
    /// A line for each request.
    pub access: Option<AccessLog>,
    /// What guests write and what is said of them, by the name of its stream.
    pub output: Vec<(&'static str, Arc<Lines<String>>)>,
    /// A line for each decision.
    pub audit: Option<Arc<Lines<String>>>,
}

impl Logs {
    /// Lines that were lost, by where they should have gone.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let access = self.access.iter().map(|log| ("access log", log.lost()));
        let output = self.output.iter().map(|(stream, lines)| (*stream, lines.lost()));
        access.chain(output).chain(self.audit.iter().map(|lines| ("audit", lines.lost())))
    }
}

/// What a node counts.
pub(crate) struct Metrics {
    pub started: SystemTime,
    pub logs: Logs,
    /// Requests that no route is for.
    pub unrouted: Arc<Measures>,
    components: Mutex<Vec<Arc<Measures>>>,
    connections: AtomicI64,
    /// Reloads, by [`RELOADED`].
    pub reloads: [AtomicU64; RELOADED.len()],
}

impl Metrics {
    pub fn new(logs: Logs) -> Self {
        Metrics {
            started: SystemTime::now(),
            unrouted: Arc::new(Measures::new("", "", logs.access.clone())),
            components: Mutex::default(),
            connections: AtomicI64::new(0),
            reloads: Default::default(),
            logs,
        }
    }

    /// The counts of a component; those that it had before when it is served anew.
    pub fn component(&self, app: &str, component: &str) -> Arc<Measures> {
        let mut components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = components.iter().find(|m| m.app == app && m.component == component) {
            return found.clone();
        }
        let made = Arc::new(Measures::new(app, component, self.logs.access.clone()));
        components.push(made.clone());
        made
    }

    /// One connection more, until the answer is dropped.
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Relaxed);
        Connected(self.clone())
    }

    pub fn connections(&self) -> i64 {
        self.connections.load(Relaxed)
    }

    /// The counts of all components, those of none first.
    pub(crate) fn all(&self) -> Vec<Arc<Measures>> {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(&self.unrouted).chain(&*components).cloned().collect()
    }
}

/// A connection that is open.
pub(crate) struct Connected(Arc<Metrics>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// What is counted for one component. A gate's listener, for what it was refused.
pub struct Measures {
    pub(crate) app: String,
    pub(crate) component: String,
    pub(crate) log: Option<AccessLog>,
    parts: [Part; PARTS],
    denials: [AtomicU64; Capability::ALL.len()],
    limits: [AtomicU64; Limit::ALL.len()],
    refused: Mutex<Vec<Refused>>,
}

/// The counts of some threads, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    begun: AtomicU64,
    ended: [[AtomicU64; CLASSES.len()]; Cause::ALL.len()],
    took: Durations<{ BOUNDS.len() + 1 }>,
    started: Durations<{ START_BOUNDS.len() + 1 }>,
    /// Processor time of guests, in nanoseconds.
    cpu: AtomicU64,
    /// The most that a sandbox had, in bytes.
    memory: AtomicU64,
}

/// How many of some durations lie between each two of their bounds, and what they come to.
struct Durations<const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl<const BUCKETS: usize> Default for Durations<BUCKETS> {
    fn default() -> Self {
        Durations { counts: std::array::from_fn(|_| AtomicU64::new(0)), nanoseconds: AtomicU64::new(0) }
    }
}

impl<const BUCKETS: usize> Durations<BUCKETS> {
    /// `bounds` are in microseconds.
    fn add(&self, took: Duration, bounds: &[u64]) {
        self.nanoseconds.fetch_add(nanoseconds(took), Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bounds.partition_point(|bound| *bound < micros)].fetch_add(1, Relaxed);
    }
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// One thing that a component was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub capability: Capability,
    pub import: &'static str,
    pub asked: String,
    pub because: String,
    /// What would allow it, on the command line and in the manifest.
    pub allow: Option<(String, String)>,
    pub count: u64,
    pub last: SystemTime,
}

/// Different refusals that are kept for a component; the oldest go first.
const MOST_REFUSED: usize = 50;

impl Measures {
    fn new(app: &str, component: &str, log: Option<AccessLog>) -> Self {
        Measures {
            app: app.to_owned(),
            component: component.to_owned(),
            log,
            parts: Default::default(),
            denials: Default::default(),
            limits: Default::default(),
            refused: Mutex::default(),
        }
    }

    /// A request came.
    pub(crate) fn begin(&self) {
        self.part().begun.fetch_add(1, Relaxed);
    }

    /// A request ended that [`Measures::begin`] was told of.
    pub(crate) fn end(&self, status: Option<StatusCode>, cause: Cause, took: Duration) {
        let part = self.part();
        part.ended[cause as usize][class(status)].fetch_add(1, Relaxed);
        part.took.add(took, &BOUNDS);
    }

    /// Something failed, or would have gone over a limit. To be told of every failure that the service reports, and of every
    /// limit that was reached otherwise.
    pub fn failed(&self, failure: &Failure) {
        if let Failure::Limit { limit, .. } = failure {
            self.limits[*limit as usize].fetch_add(1, Relaxed);
        }
    }

    fn part(&self) -> &Part {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static PART: Cell<usize> = Cell::new(THREADS.fetch_add(1, Relaxed) % PARTS));
        &self.parts[PART.get()]
    }

    /// Requests that ended, by cause and class.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (Cause, &'static str, u64)> {
        Cause::ALL.into_iter().flat_map(move |cause| {
            CLASSES.into_iter().enumerate().map(move |(class, name)| {
                let count = self.parts.iter().map(|part| part.ended[cause as usize][class].load(Relaxed)).sum();
                (cause, name, count)
            })
        })
    }

    /// Requests that began and did not end.
    pub(crate) fn in_flight(&self) -> u64 {
        // In this order, or one that comes in between would be missing from what began.
        let ended: u64 = self.ended().map(|(_, _, count)| count).sum();
        let begun: u64 = self.parts.iter().map(|part| part.begun.load(Relaxed)).sum();
        begun.saturating_sub(ended)
    }

    /// How many requests took at most as long as each of [`BOUNDS`] and longer than the one before; the last took longer.
    pub(crate) fn took(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.sum(|part| &part.took.counts[bucket]))
    }

    /// How many sandboxes took so long to start, by [`START_BOUNDS`] in the same way.
    pub(crate) fn starts(&self) -> [u64; START_BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.sum(|part| &part.started.counts[bucket]))
    }

    /// Processor time of its guests, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.seconds(|part| &part.cpu)
    }

    /// The most that one of its sandboxes had, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.parts.iter().map(|part| part.memory.load(Relaxed)).max().unwrap_or(0)
    }

    /// Seconds that all requests took together.
    pub(crate) fn took_seconds(&self) -> f64 {
        self.seconds(|part| &part.took.nanoseconds)
    }

    /// Seconds that the starts of all sandboxes took together.
    pub(crate) fn starts_seconds(&self) -> f64 {
        self.seconds(|part| &part.started.nanoseconds)
    }

    fn sum(&self, of: impl Fn(&Part) -> &AtomicU64) -> u64 {
        self.parts.iter().map(|part| of(part).load(Relaxed)).fold(0, u64::wrapping_add)
    }

    fn seconds(&self, nanoseconds: impl Fn(&Part) -> &AtomicU64) -> f64 {
        Duration::from_nanos(self.sum(nanoseconds)).as_secs_f64()
    }

    pub(crate) fn denials(&self) -> impl Iterator<Item = (Capability, u64)> {
        Capability::ALL.into_iter().zip(self.denials.iter().map(|count| count.load(Relaxed)))
    }

    pub(crate) fn limits(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().zip(self.limits.iter().map(|count| count.load(Relaxed)))
    }

    /// What it was refused, the latest first.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refused.sort_by_key(|one| std::cmp::Reverse(one.last));
        refused
    }

    pub(crate) fn labels(&self) -> [(&'static str, &str); 2] {
        [("app", &self.app), ("component", &self.component)]
    }
}

impl Usage for Measures {
    fn started(&self, took: Duration) {
        self.part().started.add(took, &START_BOUNDS);
    }

    fn spent(&self, cpu: Duration) {
        self.part().cpu.fetch_add(nanoseconds(cpu), Relaxed);
    }

    fn grown(&self, memory: u64) {
        let most = &self.part().memory;
        // Most sandboxes of a component are alike, and none but the first has to write.
        if most.load(Relaxed) < memory {
            most.fetch_max(memory, Relaxed);
        }
    }
}

impl Listener for Measures {
    fn decided(&self, event: &Event<'_>) {
        let Outcome::Denied { denial, fix } = &event.outcome else { return };
        let capability = denial.request.capability();
        if let Some(index) = Capability::ALL.iter().position(|c| *c == capability) {
            self.denials[index].fetch_add(1, Relaxed);
        }
        // Requests that the same grant would allow are one to a person.
        let (allow, because) = (fix.map(|fix| (&fix.flag, &fix.manifest)), denial.reason.to_string());
        let is_same = |one: &Refused| match (&one.allow, allow) {
            (Some((flag, _)), Some((other, _))) => flag == other,
            (None, None) => one.capability == capability && one.because == because,
            _ => false,
        };
        let (last, mut refused) = (SystemTime::now(), self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(known) = refused.iter_mut().find(|one| is_same(one)) {
            known.count += 1;
            known.last = last;
            return;
        }
        if refused.len() >= MOST_REFUSED
            && let Some((oldest, _)) = refused.iter().enumerate().min_by_key(|(_, one)| one.last)
        {
            refused.swap_remove(oldest);
        }
        let allow = allow.map(|(flag, manifest)| (flag.clone(), manifest.clone()));
        let (import, asked) = (event.import, denial.request.to_string());
        refused.push(Refused { capability, import, asked, because, allow, count: 1, last });
    }

    fn wants_allowed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
