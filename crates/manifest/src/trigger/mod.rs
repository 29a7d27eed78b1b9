//! Triggers: sources of work for components. Each trigger has a file here with its keys and its
//! reader, and a row in `TRIGGERS`.

pub(crate) mod http;
mod trigger;
mod triggers;

pub(crate) use triggers::TRIGGERS;
