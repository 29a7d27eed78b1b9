//! Programs that take part in a benchmark: finding, running and stopping them.

use crate::error::BenchResult;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Kills the process when dropped.
pub struct KilledOnDrop(pub Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it does not start or exits with a failure.
pub fn run_to_success(command: &mut Command) -> BenchResult {
    let status = command.status().map_err(|e| format!("{command:?} does not start: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

/// Finds a program on the `PATH`.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Finds wasmtime on the `PATH`, or in the virtual environment of this repository's tools.
pub fn find_wasmtime() -> Option<PathBuf> {
    let venv = tools_folder().map(|tools| tools.join("venv/bin"));
    let in_folder = |folder: PathBuf| {
        packaged_wasmtime(&folder).or_else(|| Some(folder.join("wasmtime")).filter(|program| program.is_file()))
    };
    search_path().into_iter().chain(venv).find_map(in_folder)
}

/// The executable inside the Python package. The script on the `PATH` starts Python first, which
/// would be measured too.
fn packaged_wasmtime(bin: &Path) -> Option<PathBuf> {
    let lib = std::fs::read_dir(bin.parent()?.join("lib")).ok()?;
    lib.filter_map(|python| Some(python.ok()?.path().join("site-packages/wasmtime_cli/wasmtime")))
        .find(|program| program.is_file())
}

/// The folder of the tools that this repository installs for itself.
pub fn tools_folder() -> Option<PathBuf> {
    walnut_test_programs::folder().parent().map(|cache| cache.join("tools"))
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}
