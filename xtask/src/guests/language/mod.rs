//! The languages of guests: one file for each, with its toolchain and its build.
//!
//! A new language is a file here and a row in the table of `table.rs`.

mod c;
mod go;
mod interface;
mod javascript;
mod python;
mod rust;
mod table;

pub use interface::Language;
pub use table::language_of;
