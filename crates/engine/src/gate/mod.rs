//! Decides each request of a guest, and tells listeners.

pub(crate) mod gate;
