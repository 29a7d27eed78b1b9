//! Limits the outbound connections of a sandbox: TCP sockets that connect, and HTTP requests,
//! whether or not requests share a connection.

use crate::observer::LimitReporter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use walnut_policy::Limit;

/// Counts the open connections of a sandbox against its limit.
#[derive(Clone)]
pub(crate) struct ConnectionLimit {
    open: Arc<AtomicU64>,
    most: u64,
    reporter: Arc<dyn LimitReporter>,
}

/// An open connection. Dropping it closes the count.
pub(crate) struct CountedConnection(Arc<AtomicU64>);

impl ConnectionLimit {
    /// Creates a limit of `most` open connections. `reporter` gets each attempt beyond it.
    pub fn new(most: u64, reporter: Arc<dyn LimitReporter>) -> Self {
        ConnectionLimit { open: Arc::default(), most, reporter }
    }

    /// Counts another connection, unless the limit is reached.
    pub fn open(&self) -> Option<CountedConnection> {
        let connection = CountedConnection(self.open.clone());
        if self.open.fetch_add(1, Relaxed) < self.most {
            return Some(connection);
        }
        self.reporter.exceeded(Limit::Connections);
        None
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::error::Failure;
    use crate::gate::gate::Gate;
    use crate::sandbox::setup::Setup;
    use crate::sandbox::stdio::Stdio;
    use parking_lot::Mutex;
    use walnut_policy::{Limits, Policy};

    #[test]
    fn the_limit_is_on_what_is_open_at_once() {
        let gate = Gate::new("test", Policy::sealed(), Vec::new());
        let limits = Limits { connections: 2, ..Limits::for_service() };
        let mut setup = Setup::new(gate, limits, Stdio::Inherit, false).unwrap();
        let told = Arc::<Mutex<Vec<Failure>>>::default();
        let hears = told.clone();
        setup.limit_observer = Some(Arc::new(move |failure| hears.lock().push(failure.clone())));
        let connections = ConnectionLimit::new(2, Arc::new(setup));
        let first = connections.open().unwrap();
        let _second = connections.open().unwrap();
        assert!(told.lock().is_empty());
        assert!(connections.open().is_none());
        let failure = Failure::Limit { limit: Limit::Connections, value: "2".into(), details: Vec::new() };
        assert_eq!(*told.lock(), [failure]);
        drop(first);
        assert!(connections.open().is_some());
    }
}
