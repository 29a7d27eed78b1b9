//! The fingerprint of a guest: a hash of everything that its build depends on.

use super::language::Language;
use super::source::{GuestSource, list_files};
use super::toolchain::Toolchain;
use crate::error::TaskResult;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};

/// Hashes the sources of a guest, the recipe of its language and the version of the toolchain.
pub fn fingerprint(guest: &GuestSource, language: &dyn Language, toolchain: &Toolchain) -> TaskResult<String> {
    let mut files = Vec::new();
    list_files(&guest.path, &mut files)?;
    for input in language.shared_inputs(guest) {
        list_files(&input, &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.strip_prefix(&guest.sources)?.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    toolchain.version.hash(&mut hasher);
    language.recipe(guest).hash(&mut hasher);
    Ok(format!("{:016x}\n", hasher.finish()))
}
