//! Entry points of a component: command, function, service.

pub(crate) mod command;
pub(crate) mod function;
pub(crate) mod service;
pub(crate) mod supervise;
