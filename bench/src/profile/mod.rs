//! The benchmark `profile`: the processor time of a request, by the part of the server that spends
//! it.

mod parts;
mod perf;
mod profile;

pub use profile::run;
