//! Logs, metrics and traces of a node.

pub(crate) mod access_log;
pub(crate) mod cause;
pub(crate) mod guest_output;
pub(crate) mod log_writer;
pub(crate) mod metrics;
pub(crate) mod otlp;
pub(crate) mod trace_context;
