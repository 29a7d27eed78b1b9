//! The admin server: metrics, health checks and a status page.

mod admin;
mod openmetrics;
mod status;

pub use admin::Admin;
