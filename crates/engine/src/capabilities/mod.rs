//! Everything that gives a guest authority: one folder per capability, or a file for a small one.
//!
//! The linker first holds wasmtime's WASI. A function that needs a decision is defined a second
//! time under the same name: it asks the gate, and then calls wasmtime's implementation. Functions
//! that grant no authority (clocks, random numbers, streams over permitted handles) stay as they
//! are.

pub(crate) mod connection_limit;
pub(crate) mod descriptors;
pub(crate) mod dir;
pub(crate) mod dns;
pub(crate) mod env;
pub(crate) mod http;
pub(crate) mod sockets;
pub(crate) mod state;
