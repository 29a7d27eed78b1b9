//! Cargo, and other programs that chores run.

use crate::error::TaskResult;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cargo that runs this chore.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The folder of cargo's builds.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a command to its end, with the output of the chore.
///
/// # Errors
/// When it does not start or exits with a failure.
pub fn run_to_success(command: &mut Command) -> TaskResult {
    let status = command.status().map_err(|e| format!("{command:?} does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}
