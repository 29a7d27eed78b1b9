//! The policy's own tests: tables of what each grant and denial means, and properties that hold for any input.

mod addresses;
mod dir;
mod env;
mod http;
mod patterns;
mod properties;
mod sockets;
mod support;
