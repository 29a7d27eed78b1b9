//! Observers of a component's sandboxes.

use crate::failure::error::Failure;
use std::sync::Arc;
use std::time::Duration;
use walnut_policy::Limit;

/// Observes what the sandboxes of a component use. Guest threads call it often, so it must be
/// quick.
pub trait UsageObserver: Send + Sync {
    /// A sandbox is ready for its first request and took this long to start.
    fn sandbox_started(&self, took: Duration);

    /// A guest used a processor for this long since the last call.
    fn cpu_used(&self, cpu: Duration);

    /// A sandbox has grown: its memories and tables now take this many bytes.
    fn memory_grown(&self, memory: u64);
}

/// Observes each limit that was reached without ending a sandbox; the guest gets an error and may
/// go on. Guest threads call it as often as a guest likes, so it must be quick.
pub type LimitObserver = Arc<dyn Fn(&Failure) + Send + Sync>;

/// Reports limits that were reached without ending a sandbox.
pub(crate) trait LimitReporter: Send + Sync {
    /// Reports that `limit` was reached.
    fn exceeded(&self, limit: Limit);
}
