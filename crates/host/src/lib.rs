//! The node: takes HTTP requests and hands them to a component, or answers them with files.
//!
//! Connections are bounded, and one that idles gives way to one that comes; a request gets a sandbox only while there is
//! one free; until then it waits, for a bounded time. What a guest does wrong ends in one place, `rescue.rs`, which knows the status
//! and the fixed text that a client sees. Knows nothing of terminals, flags or registries.

#![forbid(unsafe_code)]

mod admin;
mod app;
mod fingerprint;
mod http;
mod telemetry;

pub use crate::http::server::{Drained, Server, ServerConfig};
pub use crate::http::static_files::Files;
pub use crate::http::tls::{Reload, Tls, TlsError};
pub use admin::Admin;
pub use app::node::{Admission, App, Destination, Hosted, Limits, Node};
pub use fingerprint::Stamp;
pub use telemetry::access_log::{AccessFormat, AccessLog};
pub use telemetry::guest_output::guest_line;
pub use telemetry::log_writer::{Lines, Said};
pub use telemetry::metrics::{Logs, Measures};
pub use telemetry::otlp::{Telemetry, TelemetryError};
