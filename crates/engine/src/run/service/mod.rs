//! HTTP requests to a component.

pub(crate) mod concurrent;
pub(crate) mod isolated;
pub(crate) mod response;
pub(crate) mod reuse;
pub(crate) mod service;
