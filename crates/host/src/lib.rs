//! The node: takes HTTP requests and hands them to a component.
//!
//! Connections are accepted only while there is room for them, and a request gets a sandbox only while there is one free;
//! until then it waits, for a bounded time. What a guest does wrong ends in one place, `rescue.rs`, which knows the status
//! and the fixed text that a client sees. Knows nothing of terminals, flags or registries.

#![forbid(unsafe_code)]

mod connection;
mod node;
mod rescue;
mod server;
mod stall;
mod worker;

pub use node::{App, Hosted, Limits, Node};
pub use server::{Drained, Server, ServerConfig};
