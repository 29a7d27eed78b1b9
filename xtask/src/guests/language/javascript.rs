//! JavaScript: `js_*.js` becomes a component of a world of `wit/guests.wit`, by componentize-js.

use super::interface::{Language, WORLDS};
use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain, command_line, run_tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "@bytecodealliance/componentize-js@0.23";

pub struct JavaScript;

impl Language for JavaScript {
    fn name(&self) -> &'static str {
        "JavaScript"
    }

    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain> {
        let npm = cache.join("tools/npm");
        let folder = npm.to_string_lossy();
        let install = command_line(&["npm", "install", "--no-audit", "--no-fund", "--prefix", &folder, PACKAGE]);
        Toolchain::find(&npm.join("node_modules/.bin/componentize-js"), cache)
            .ok_or_else(|| MissingToolchain { name: "componentize-js", installations: vec![vec![install]] })
    }

    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf {
        sources.join("js").join(guest).with_extension("js")
    }

    fn shared_inputs(&self, guest: &GuestSource) -> Vec<PathBuf> {
        vec![guest.sources.join(WORLDS)]
    }

    fn recipe(&self, _: &GuestSource) -> Vec<&'static [u8]> {
        vec![include_bytes!("javascript.rs")]
    }

    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>> {
        let output = toolchain.output_path(guest.name)?;
        run_tool(
            Command::new(&toolchain.program)
                .arg(&guest.path)
                .arg("--wit")
                .arg(guest.sources.join(WORLDS))
                .args(["--world-name", guest.world(), "--out"])
                .arg(&output),
        )?;
        Ok(fs::read(output)?)
    }
}
