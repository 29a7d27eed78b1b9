//! Building binaries with cargo, and the folders of the build.

use crate::error::BenchResult;
use crate::programs::run_to_success;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cargo that runs this benchmark.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds the release profile, or with `short` the debug profile that the tests use.
pub fn build(short: bool, arguments: &[&str]) -> BenchResult {
    let mut build = cargo();
    build.args(["build", "--quiet"]).args(arguments);
    if !short {
        build.arg("--release");
    }
    run_to_success(&mut build)
}

/// Builds walnut and returns its path.
pub fn build_walnut(short: bool) -> BenchResult<PathBuf> {
    build(short, &["--package", "walnut"])?;
    Ok(built_binary(short, "walnut"))
}

/// The path of a binary that [`build`] leaves.
pub fn built_binary(short: bool, name: &str) -> PathBuf {
    target_folder().join(if short { "debug" } else { "release" }).join(name)
}

/// The folder for intermediate files, created when it is missing.
pub fn scratch_folder() -> BenchResult<PathBuf> {
    let folder = target_folder().join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
