//! HTTP requests to a component.
//!
//! A component of WASI 0.2 gets a sandbox for each request (`isolated.rs`), fresh or reused
//! (`reuse.rs`). A component of WASI 0.3 takes many requests in one sandbox (`concurrent.rs`).

pub(crate) mod concurrent;
pub(crate) mod concurrent_sandbox;
pub(crate) mod isolated;
pub(crate) mod lease;
pub(crate) mod response;
pub(crate) mod reuse;
pub(crate) mod service;
