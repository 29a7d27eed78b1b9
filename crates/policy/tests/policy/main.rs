//! Tests of the policy: tables of grants and denials with their meaning, and properties that hold
//! for any input.

mod addresses;
mod dir;
mod env;
mod http;
mod patterns;
mod properties;
mod sockets;
mod support;
