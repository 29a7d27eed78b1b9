//! Traces and logs over OTLP, where the environment names a collector.

mod client;
mod otlp;
mod settings;

pub use otlp::Telemetry;
pub(crate) use otlp::Traced;
pub use settings::TelemetryError;
