//! What sandboxes use, for whoever counts it.

use std::time::Duration;

/// Hears what the sandboxes of a component use, while they use it. It is called by the threads that run them, often, and so
/// must be quick.
pub trait Usage: Send + Sync {
    /// A sandbox is ready for its first request, and took this long to make.
    fn started(&self, took: Duration);

    /// A guest was on a processor for this long, since this was told last.
    fn spent(&self, cpu: Duration);

    /// A sandbox has grown: its memories and tables take this many bytes.
    fn grown(&self, memory: u64);
}
