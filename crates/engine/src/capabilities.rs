//! Everything that gives a guest authority, one file per capability.
//!
//! The linker holds wasmtime's own WASI. What must be decided is defined a second time on top of it, under the same name:
//! ask the gate, then call the implementation below. Definitions that grant no authority (clocks, random numbers, streams
//! over handles that were permitted) stay as they are.

pub(crate) mod dir;
mod dir_0_2;
mod dir_0_3;
mod env;
pub(crate) mod http;
mod http_0_3;
pub(crate) mod resolve;
pub(crate) mod sockets;

use crate::sandbox::Sandbox;
use wasmtime::component::Linker;

/// The versions of WASI that the engine implements; every other 0.2 resolves to the first.
pub(crate) const WASI_0_2: &str = "0.2.12";
pub(crate) const WASI_0_3: &str = "0.3.0";

/// Puts the gate in front of everything in `linker` that gives authority.
pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    dir_0_2::add_to_linker(linker)?;
    dir_0_3::add_to_linker(linker)?;
    env::add_to_linker(linker)?;
    http_0_3::add_to_linker(linker)?;
    resolve::add_to_linker(linker)?;
    sockets::add_to_linker(linker)
}
