//! Compiles components, and keeps their code.

pub(crate) mod cache;
pub(crate) mod code;
pub(crate) mod compile_error;
pub(crate) mod config;
pub(crate) mod engine;
pub(crate) mod prepared;
pub(crate) mod shared_code;
pub(crate) mod tier;
pub(crate) mod worker;
pub(crate) mod worker_program;
