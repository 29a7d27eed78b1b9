//! The capability `http`: requests that a guest sends.
//!
//! The gate decides about the URL first, and then about each address of its host; for a pooled
//! connection, about the address that it leads to. `connection.rs` opens connections, `lease.rs` is
//! the use of one by a request, and `pool.rs` keeps the idle ones of a component.

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
