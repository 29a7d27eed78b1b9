//! Compiles components and keeps their code.

pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod engine;
pub(crate) mod prepared;
