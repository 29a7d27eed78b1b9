//! The verb `guests`: builds the test programs of `crates/test-programs/guests` with the toolchains
//! of their languages.

mod fingerprint;
mod language;
mod source;
mod toolchain;
mod toolchain_finder;
mod verb;

pub use verb::run;
