//! The table of languages.

use super::c::C;
use super::go::Go;
use super::interface::Language;
use super::javascript::JavaScript;
use super::python::Python;
use super::rust::Rust;

/// Returns the language of a guest, by the first word of its name.
pub fn language_of(guest: &str) -> Option<&'static dyn Language> {
    match guest.split('_').next()? {
        "c" => Some(&C),
        "go" => Some(&Go),
        "js" => Some(&JavaScript),
        "py" => Some(&Python),
        "rust" => Some(&Rust),
        _ => None,
    }
}
