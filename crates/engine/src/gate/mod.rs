//! Decides each request of a guest, and tells the listeners.

pub(crate) mod audit;
pub(crate) mod event;
pub(crate) mod explainer;
pub(crate) mod gate;
