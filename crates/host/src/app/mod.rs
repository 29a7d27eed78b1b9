//! The apps of a node, and admission of requests to their components.

pub(crate) mod node;
