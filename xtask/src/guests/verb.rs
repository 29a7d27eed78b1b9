//! Builds the guests into the folder where the tests look.
//!
//! A guest is built again when its fingerprint differs. A guest that fails does not stop the
//! others; the exit code tells.

use super::fingerprint::fingerprint;
use super::language::language_of;
use super::source::GuestSource;
use super::toolchain::MissingToolchain;
use super::toolchain_finder::ToolchainFinder;
use crate::error::TaskResult;
use crate::process::repository;
use std::fs;
use std::path::Path;
use walnut_test_programs::{ALL, Guest, folder};

pub fn run(arguments: &[String]) -> TaskResult {
    let mut install = false;
    let mut prefixes = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--install" => install = true,
            option if option.starts_with('-') => return Err(format!("no option {option:?}").into()),
            prefix => prefixes.push(prefix),
        }
    }
    let is_wanted = |guest: &&Guest| prefixes.is_empty() || prefixes.iter().any(|p| guest.name.starts_with(p));
    let wanted: Vec<_> = ALL.iter().filter(|guest| !guest.is_text()).filter(is_wanted).collect();
    if wanted.is_empty() {
        return Err(format!("no guest is called {}", prefixes.join(" or ")).into());
    }
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let cache = folder.parent().ok_or("the folder of the guests is a root")?;
    let mut toolchains = ToolchainFinder::new(cache, install);
    let built = wanted.into_iter().map(|guest| build_and_print(guest, &folder, &mut toolchains));
    match built.filter(|is_built| !is_built).count() {
        0 => Ok(()),
        1 => Err("1 guest was not built".into()),
        many => Err(format!("{many} guests were not built").into()),
    }
}

/// Builds a guest and prints the outcome. Returns whether the guest is built.
fn build_and_print(guest: &Guest, folder: &Path, toolchains: &mut ToolchainFinder) -> bool {
    let outcome = build(guest, folder, toolchains);
    match &outcome {
        Ok(BuildOutcome::Built(size)) => println!("{:<22} built, {} KiB", guest.name, size.div_ceil(1024)),
        Ok(BuildOutcome::UpToDate) => println!("{:<22} up to date", guest.name),
        Ok(BuildOutcome::Missing(missing)) => println!("{:<22} not built: {missing}", guest.name),
        Err(error) => println!("{:<22} failed: {error}", guest.name),
    }
    matches!(outcome, Ok(BuildOutcome::Built(_) | BuildOutcome::UpToDate))
}

enum BuildOutcome {
    /// Size in bytes.
    Built(u64),
    UpToDate,
    Missing(MissingToolchain),
}

fn build(guest: &Guest, folder: &Path, toolchains: &mut ToolchainFinder) -> TaskResult<BuildOutcome> {
    let language = language_of(guest.name).ok_or_else(|| format!("{} has no language", guest.name))?;
    let toolchain = match toolchains.find(language)? {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(BuildOutcome::Missing(missing)),
    };
    // The resolved path, as compilers write it into debug information.
    let sources = repository().join("crates/test-programs/guests").canonicalize()?;
    let source = GuestSource { name: guest.name, path: language.source_path(&sources, guest.name), sources };
    let file = folder.join(guest.file);
    let fingerprint_file = file.with_extension("stamp");
    let fingerprint = fingerprint(&source, language, &toolchain)?;
    if file.is_file() && fs::read_to_string(&fingerprint_file).is_ok_and(|old| old == fingerprint) {
        return Ok(BuildOutcome::UpToDate);
    }
    let wasm = language.build(&source, &toolchain)?;
    // Replaces the file atomically: a test may be running it.
    let new_file = file.with_extension("new");
    fs::write(&new_file, &wasm)?;
    fs::rename(&new_file, &file)?;
    fs::write(&fingerprint_file, fingerprint)?;
    Ok(BuildOutcome::Built(wasm.len() as u64))
}
