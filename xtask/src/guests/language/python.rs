//! Python: `py_*.py` becomes a component of a world of `wit/guests.wit`, by componentize-py.

use super::interface::{Language, WORLDS};
use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain, pip_install, run_tool, venv};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "componentize-py==0.25.0";

pub struct Python;

impl Language for Python {
    fn name(&self) -> &'static str {
        "Python"
    }

    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain> {
        Toolchain::find(&venv(cache).join("bin/componentize-py"), cache).ok_or_else(|| MissingToolchain {
            name: "componentize-py",
            installations: vec![pip_install(cache, PACKAGE)],
        })
    }

    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf {
        sources.join("py").join(guest).with_extension("py")
    }

    fn shared_inputs(&self, guest: &GuestSource) -> Vec<PathBuf> {
        vec![guest.sources.join(WORLDS)]
    }

    fn recipe(&self, _: &GuestSource) -> Vec<&'static [u8]> {
        vec![include_bytes!("python.rs")]
    }

    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>> {
        let output = toolchain.output_path(guest.name)?;
        run_tool(
            Command::new(&toolchain.program)
                .arg("--wit-path")
                .arg(guest.sources.join(WORLDS))
                .args(["--world", guest.world(), "componentize", guest.name, "--python-path"])
                .arg(guest.sources.join("py"))
                .arg("--output")
                .arg(&output),
        )?;
        Ok(fs::read(output)?)
    }
}
