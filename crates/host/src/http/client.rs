//! The client at the other end of a connection, and the guard that counts the connection.

use crate::telemetry::OpenConnection;
use http::uri::Scheme;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The client at the other end of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub peer: SocketAddr,
    /// Address of this server to which the client connected.
    pub local: SocketAddr,
    pub is_secure: bool,
}

impl Client {
    /// Returns the scheme that the client uses on this connection.
    pub fn scheme(self) -> Scheme {
        if self.is_secure { Scheme::HTTPS } else { Scheme::HTTP }
    }
}

/// Counts a connection, in the node's metrics and in the load of its worker, until it is dropped.
pub(crate) struct ConnectionGuard {
    load: Arc<AtomicUsize>,
    _open: OpenConnection,
}

impl ConnectionGuard {
    /// Takes over a connection that `load` counts already.
    pub fn new(load: Arc<AtomicUsize>, open: OpenConnection) -> Self {
        ConnectionGuard { load, _open: open }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
    }
}
