//! The verbs, a file each.

mod cache;
mod call;
mod dispatch;
mod guest;
mod inspect;
mod run;
mod serve;

pub use dispatch::run_verb;
