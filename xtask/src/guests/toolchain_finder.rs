//! Finds the toolchain of each language once, and installs those that are missing.

use super::language::Language;
use super::toolchain::{CommandLine, MissingToolchain, Toolchain};
use crate::error::TaskResult;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct ToolchainFinder {
    cache: PathBuf,
    install: bool,
    /// By the name of the language.
    found: HashMap<&'static str, Result<Toolchain, MissingToolchain>>,
}

impl ToolchainFinder {
    /// A finder that installs missing toolchains if `install` is set.
    pub fn new(cache: &Path, install: bool) -> Self {
        Self { cache: cache.to_owned(), install, found: HashMap::new() }
    }

    /// Returns the toolchain, or its description when it is missing.
    ///
    /// # Errors
    /// When the installation fails.
    pub fn find(&mut self, language: &dyn Language) -> TaskResult<Result<Toolchain, MissingToolchain>> {
        if let Some(found) = self.found.get(language.name()) {
            return Ok(found.clone());
        }
        let mut found = language.find_toolchain(&self.cache);
        if let (Err(missing), true) = (&found, self.install) {
            if !missing.installations.iter().any(|commands| commands.iter().all(succeeds)) {
                return Err(format!("could not install {}", missing.name).into());
            }
            found = language.find_toolchain(&self.cache);
        }
        self.found.insert(language.name(), found.clone());
        Ok(found)
    }
}

fn succeeds(command: &CommandLine) -> bool {
    eprintln!("+ {}", command.join(" "));
    Command::new(&command[0]).args(&command[1..]).status().is_ok_and(|status| status.success())
}
