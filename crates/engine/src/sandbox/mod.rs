//! A sandbox: one wasmtime store with its limits and its gate.

pub(crate) mod host_memory;
pub(crate) mod memory;
pub(crate) mod sandbox;
pub(crate) mod setup;
pub(crate) mod stdio;
