//! The capability `http`: requests that a guest sends.

pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod destination;
pub(crate) mod exchange;
pub(crate) mod lease;
pub(crate) mod outbound;
pub(crate) mod pool;
pub(crate) mod tls;
pub(crate) mod trace;
pub(crate) mod wasi_0_3;
