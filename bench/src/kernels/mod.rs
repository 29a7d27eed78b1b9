//! Speed of compiled code: kernels, native and as guests.

mod build;
mod kernels;

pub use kernels::run;
