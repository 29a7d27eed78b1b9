//! Counts a sandbox's outbound connections: TCP sockets that connect, and HTTP requests, whether or not they share one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many connections a sandbox has open, and how many it may have.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<AtomicU64>,
    most: u64,
}

/// One open connection; dropped when it is closed.
pub(crate) struct Connection(Arc<AtomicU64>);

impl Connections {
    pub fn new(most: u64) -> Self {
        Connections { open: Arc::default(), most }
    }

    /// Room for one more, if there is any.
    pub fn open(&self) -> Option<Connection> {
        let connection = Connection(self.open.clone());
        (self.open.fetch_add(1, Relaxed) < self.most).then_some(connection)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_on_what_is_open_at_once() {
        let connections = Connections::new(2);
        let first = connections.open().unwrap();
        let _second = connections.open().unwrap();
        assert!(connections.open().is_none());
        drop(first);
        assert!(connections.open().is_some());
    }
}
