//! Everything that gives a guest authority, one file per capability.
//!
//! The linker holds wasmtime's own WASI. What must be decided is defined a second time on top of it, under the same name:
//! ask the gate, then call the implementation below. Definitions that grant no authority (clocks, random numbers, streams
//! over handles that were permitted) stay as they are.

pub(crate) mod connection_limit;
pub(crate) mod dir;
pub(crate) mod dns;
pub(crate) mod env;
pub(crate) mod http;
pub(crate) mod sockets;
pub(crate) mod state;
