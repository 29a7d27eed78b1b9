//! Holds the rules for the layout, the names and the prose of this repository.

mod circles;
mod imports;
mod layers;
mod modules;
mod names;
mod prose;
mod verb;

pub use verb::run;
