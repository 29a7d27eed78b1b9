//! Settings of the HTTP server, and the context that its connections share.

use crate::app::Node;
use crate::http::router::Router;
use crate::http::tls::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Listening address. Port 0 takes any free port.
    pub address: SocketAddr,
    /// Worker threads, each with connections of its own.
    pub workers: usize,
    /// Connections at once. For a client beyond that, the connection closes that has idled longest;
    /// if none idles, one whose client has not read for a while; if there is none either, the
    /// client waits.
    pub max_connections: usize,
    /// Longest time for the TLS handshake, for the head of a request, and between two requests of a
    /// connection.
    pub head_timeout: Duration,
    /// Longest pause in the body of a request that has no response yet.
    pub body_timeout: Duration,
    /// Longest time for a client to read 16 KiB, or all that there is, before its connection is
    /// closed.
    pub stall_timeout: Duration,
    /// Longest time for requests in flight to finish after a stop.
    pub drain: Duration,
    /// TLS settings; plain HTTP without.
    pub tls: Option<Tls>,
    /// Whether guests see what clients say of earlier hops: `forwarded`, `x-forwarded-*`,
    /// `x-real-ip`.
    pub trusts_forwarded: bool,
    /// Whether guests are told the client's address and scheme: `x-forwarded-for`,
    /// `x-forwarded-proto`.
    pub sets_forwarded_for: bool,
}

impl ServerConfig {
    /// Returns the defaults, listening at `address`.
    pub fn new(address: SocketAddr) -> Self {
        ServerConfig {
            address,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_connections: 1000,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            tls: None,
            trusts_forwarded: false,
            sets_forwarded_for: false,
        }
    }
}

/// Context that the connections of a server share.
pub(crate) struct ServerContext {
    pub node: Arc<Node>,
    pub router: Arc<Router>,
    pub config: ServerConfig,
}
