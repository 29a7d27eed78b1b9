//! A file for each capability, with its rules, the words for its requests, and the grant that would
//! allow a request. The patterns that rules are written in are in `pattern/`.

pub(crate) mod connect;
pub(crate) mod dir;
pub(crate) mod env;
pub(crate) mod http;
pub(crate) mod listen;
pub(crate) mod resolve;
