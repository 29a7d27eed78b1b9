//! The HTTP trigger: listener, connections, routing, and responses.

mod client;
mod connection;
mod context;
mod error_responses;
mod exchange;
mod handler;
mod head;
mod http2;
mod linger;
mod preface;
mod request_body;
mod router;
mod server;
mod slots;
mod slow_client;
mod static_files;
mod tls;
mod worker;
mod write_coalescing;

pub use context::ServerConfig;
pub use server::Server;
pub(crate) use slots::ConnectionSlots;
pub(crate) use slow_client::StallTimeout;
pub use tls::{CertificateReload, Tls, TlsError};
