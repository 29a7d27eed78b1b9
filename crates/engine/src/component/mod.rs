//! Components before they are compiled: their bytes, imports, exports and worlds. Nothing here uses
//! wasmtime.

pub(crate) mod adapt;
pub(crate) mod adapter;
pub(crate) mod artifact;
pub(crate) mod artifact_ref;
pub(crate) mod artifact_source;
pub(crate) mod code_size;
pub(crate) mod concurrency;
pub(crate) mod core_exports;
pub(crate) mod imports;
pub(crate) mod inspect;
pub(crate) mod memory_layout;
pub(crate) mod proposals;
pub(crate) mod rewrite;
pub(crate) mod wasi;
pub(crate) mod world;
