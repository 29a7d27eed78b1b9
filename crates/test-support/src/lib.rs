//! Runs the `walnut` binary for tests, isolated from the machine.
//!
//! [`TestEnv`] is the environment of one test: an empty home that is also the current folder, no
//! environment variables, and the code cache that all tests share, so that each guest is compiled
//! once. A run returns an [`RunOutput`], which formats itself for snapshots. A dev-dependency,
//! never part of the product.

#![forbid(unsafe_code)]

mod client;
mod collector;
mod env;
pub mod frames;
mod http2;
mod output;
mod serve;
mod tls;
mod upstream;

pub use client::{HttpClient, Response};
pub use collector::{Attributes, Collector, LogRecord, Span};
pub use env::{Invocation, TestEnv, guest};
pub use http2::{Http2, Http2Exchange, request};
pub use output::RunOutput;
pub use serve::ServeProcess;
pub use tls::{Secure, TlsServer, VERSIONS, certificate_and_key, renewed_certificate_and_key};
pub use upstream::Upstream;
