//! Connections of HTTP/2.

mod http2;
mod send;

pub(crate) use http2::serve;
