//! Traces and logs over OTLP, where the environment names a collector.

mod client;
mod otlp;
mod settings;

pub(crate) use otlp::RequestSpan;
pub use otlp::Telemetry;
pub use settings::TelemetryError;
