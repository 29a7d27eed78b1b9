//! Logs, metrics and traces of a node.

mod access_log;
mod cause;
mod guest_output;
mod labels;
mod log_writer;
mod logs;
mod metrics;
mod otlp;
mod trace_context;

pub(crate) use access_log::{AccessEntry, RequestLine, unix_millis};
pub use access_log::{AccessFormat, AccessLog};
pub(crate) use cause::Cause;
pub use guest_output::guest_line;
pub use log_writer::{Entry, LogWriter};
pub use logs::Logs;
pub use metrics::ComponentMetrics;
pub(crate) use metrics::{LATENCY_BOUNDS, NodeMetrics, OpenConnection, RecordedDenial, START_BOUNDS};
pub(crate) use otlp::RequestSpan;
pub use otlp::{Telemetry, TelemetryError};
pub(crate) use trace_context::{random_request_id, request_id};
