//! The capability `http`: requests that a guest sends.

pub(crate) mod connection;
pub(crate) mod http;
pub(crate) mod lease;
pub(crate) mod pool;
pub(crate) mod wasi_0_3;
