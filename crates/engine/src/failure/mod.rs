//! Errors, their explanations, and the host calls that precede a trap.

pub(crate) mod error;
pub(crate) mod explain;
pub(crate) mod frames;
pub(crate) mod host_calls;
pub(crate) mod source_lines;
pub(crate) mod subscriber;
