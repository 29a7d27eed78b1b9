//! The node: takes requests from its triggers, above all HTTP, and runs them in the components of
//! the deployed apps.
//!
//! Connections are bounded; an idle connection gives way to a new one. A request gets a sandbox
//! only while one is free; until then it waits in a bounded queue, for a bounded time. A failure of
//! a guest becomes a status and a fixed text in one place, `http/error_responses.rs`. Knows nothing
//! of terminals, flags or registries.

#![forbid(unsafe_code)]

mod admin;
mod app;
mod fingerprint;
mod http;
mod shutdown;
mod telemetry;
mod trigger;

pub use crate::http::{CertificateReload, Server, ServerConfig, Tls, TlsError};
pub use admin::Admin;
pub use app::{
    Admission, AdmissionLimits, App, AppError, AppErrors, AppSummary, ComponentDefaults, DeployedComponent, Deployment,
    ErrorClass, FrontDoor, Inputs, LimitNotices, Loader, LoaderConfig, Node, Notice, Notices, RouteTarget, ServedDir,
    Severity, manifest_of,
};
pub use fingerprint::Fingerprint;
pub use shutdown::ShutdownSignal;
pub use telemetry::{
    AccessFormat, AccessLog, ComponentMetrics, Entry, LogWriter, Logs, Telemetry, TelemetryError, guest_line,
};
pub use trigger::{Drained, Trigger, run_triggers};
