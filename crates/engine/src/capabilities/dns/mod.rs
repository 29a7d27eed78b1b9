//! The capability `resolve`: lookups of host names.

pub(crate) mod learned_names;
pub(crate) mod resolve;
pub(crate) mod resolver;
