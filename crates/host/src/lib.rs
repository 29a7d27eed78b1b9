//! The node: takes HTTP requests and hands them to a component, or answers them with files.
//!
//! Connections are bounded, and one that idles gives way to one that comes; a request gets a sandbox only while there is
//! one free; until then it waits, for a bounded time. What a guest does wrong ends in one place, `rescue.rs`, which knows the status
//! and the fixed text that a client sees. Knows nothing of terminals, flags or registries.

#![forbid(unsafe_code)]

mod access;
mod admin;
mod answer;
mod cause;
mod connection;
mod files;
mod head;
mod http2;
mod incoming;
mod lines;
mod metrics;
mod node;
mod output;
mod preface;
mod rescue;
mod seats;
mod server;
mod stall;
mod stamp;
mod status;
mod stop;
mod telemetry;
mod tls;
mod together;
mod trace;
mod worker;

pub use access::{AccessFormat, AccessLog};
pub use admin::Admin;
pub use files::Files;
pub use lines::{Lines, Said};
pub use metrics::{Logs, Measures};
pub use node::{Admission, App, Destination, Hosted, Limits, Node};
pub use output::guest_line;
pub use server::{Drained, Server, ServerConfig};
pub use stamp::Stamp;
pub use telemetry::{Telemetry, TelemetryError};
pub use tls::{Reload, Tls, TlsError};
