//! What a component is, before it is compiled: its bytes, imports, exports. Needs no wasmtime.

pub(crate) mod adapt;
pub(crate) mod adapter;
pub(crate) mod artifact;
pub(crate) mod concurrency;
pub(crate) mod core_exports;
pub(crate) mod imports;
pub(crate) mod inspect;
pub(crate) mod memory_layout;
pub(crate) mod rewrite;
pub(crate) mod wasi;
pub(crate) mod world;
