//! Errors, and their explanation.

pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod host_calls;
pub(crate) mod subscriber;
