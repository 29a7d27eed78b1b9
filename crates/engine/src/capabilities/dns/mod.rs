//! Resolution of host names.

pub(crate) mod learned_names;
pub(crate) mod lookups;
pub(crate) mod resolve;
