//! What sandboxes use, for whoever counts it.

use crate::failure::error::Failure;
use crate::limits::Limit;
use std::sync::Arc;
use std::time::Duration;

/// Hears what the sandboxes of a component use, while they use it. It is called by the threads that run them, often, and so
/// must be quick.
pub trait UsageObserver: Send + Sync {
    /// A sandbox is ready for its first request, and took this long to make.
    fn sandbox_started(&self, took: Duration);

    /// A guest was on a processor for this long, since this was told last.
    fn cpu_used(&self, cpu: Duration);

    /// A sandbox has grown: its memories and tables take this many bytes.
    fn memory_grown(&self, memory: u64);
}

/// Hears of each limit that was reached and did not end a sandbox, since whoever ran into it is told by an error and may go on.
/// It is called by the threads that run guests, as often as a guest likes, and so must be quick.
pub type LimitObserver = Arc<dyn Fn(&Failure) + Send + Sync>;

/// Tells of limits that are reached and that end no sandbox.
pub(crate) trait LimitReporter: Send + Sync {
    /// `limit` was reached.
    fn exceeded(&self, limit: Limit);
}
