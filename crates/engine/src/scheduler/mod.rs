//! Shares processor time between sandboxes.

pub(crate) mod background_drop;
pub(crate) mod meter;
pub(crate) mod offload;
pub(crate) mod priority;
pub(crate) mod thread_clock;
pub(crate) mod turns;
