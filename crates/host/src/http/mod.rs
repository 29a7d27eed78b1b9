//! The HTTP server: listener, connections, routing, and answers.

pub(crate) mod connection;
pub(crate) mod error_responses;
pub(crate) mod exchange;
pub(crate) mod head;
pub(crate) mod http2;
pub(crate) mod preface;
pub(crate) mod request_body;
pub(crate) mod server;
pub(crate) mod shutdown;
pub(crate) mod slots;
pub(crate) mod slow_client;
pub(crate) mod static_files;
pub(crate) mod tls;
pub(crate) mod worker;
pub(crate) mod write_coalescing;
