//! The small languages in which grants and denials are written.

pub(crate) mod address;
pub(crate) mod env;
pub(crate) mod mount;
pub(crate) mod name;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod protocol;
pub(crate) mod url;
