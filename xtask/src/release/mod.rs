//! The verb `release`: the program as it is shipped, compiled with a profile of its typical use.
//!
//! The profile tells the compiler which of the program's 25 MB of code are used. It optimises these
//! for speed and places them side by side, and the rest for size. A request then takes about half
//! the processor time, and a start takes a quarter fewer page faults. The price is two builds of
//! everything. Between them an instrumented program runs the workload.

mod profile;
mod rustc;
mod training;
mod verb;

pub use verb::run;
