//! The admin address: metrics, health, and a page to look at.

mod admin;
mod openmetrics;
mod status;

pub use admin::Admin;
