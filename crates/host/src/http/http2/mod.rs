//! HTTP/2: connections, and the bodies of responses on their streams.

mod http2;
mod send;

pub(crate) use http2::serve;
