//! Heads of requests and responses: checks, and fields that end at this hop.

mod check;
mod head;

pub(crate) use check::{ToServer, check};
pub(crate) use head::*;
