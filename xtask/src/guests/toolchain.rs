//! Toolchains that were found, and toolchains that are missing.

use crate::error::TaskResult;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A toolchain that was found.
#[derive(Clone)]
pub struct Toolchain {
    pub program: PathBuf,
    /// The version as the program prints it, for fingerprints.
    pub version: String,
    /// Folder for intermediate files.
    pub scratch: PathBuf,
}

impl Toolchain {
    /// A toolchain whose program prints its version with `--version`; `None` when that fails.
    pub fn find(program: &Path, cache: &Path) -> Option<Self> {
        Self::find_with(program, "--version", cache)
    }

    /// A toolchain whose program prints its version with `argument`.
    pub fn find_with(program: &Path, argument: &str, cache: &Path) -> Option<Self> {
        let output = Command::new(program).arg(argument).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let found = Self { program: program.to_owned(), version, scratch: cache.join("guests-target") };
        output.status.success().then_some(found)
    }

    /// The path for the output of a guest's build.
    pub fn output_path(&self, guest: &str) -> TaskResult<PathBuf> {
        std::fs::create_dir_all(&self.scratch)?;
        Ok(self.scratch.join(guest).with_extension("wasm"))
    }
}

/// A toolchain that is not on this machine.
#[derive(Clone)]
pub struct MissingToolchain {
    pub name: &'static str,
    /// Ways to install it. Each is a list of commands.
    pub installations: Vec<Vec<CommandLine>>,
}

/// A command, word by word.
pub type CommandLine = Vec<String>;

impl fmt::Display for MissingToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let installations = self.installations.iter().map(|commands| {
            let commands: Vec<String> = commands.iter().map(|command| command.join(" ")).collect();
            format!("`{}`", commands.join(" && "))
        });
        let installations: Vec<String> = installations.collect();
        let commands = installations.join(" or ");
        write!(f, "{} is missing; `cargo xtask guests --install` or {commands} installs it", self.name)
    }
}

pub fn command_line(words: &[&str]) -> CommandLine {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The command that installs Debian packages, by `sudo` when the user is not root.
pub fn apt_install(packages: &[&str]) -> CommandLine {
    let mut command = command_line(&["apt-get", "install", "--yes", "--no-install-recommends"]);
    if !is_root() {
        command.insert(0, "sudo".to_owned());
    }
    command.extend(packages.iter().map(|package| (*package).to_owned()));
    command
}

/// The commands that install a Python package into the virtual environment in `cache`.
pub fn pip_install(cache: &Path, package: &str) -> Vec<CommandLine> {
    let venv = venv(cache);
    vec![
        command_line(&["python3", "-m", "venv", &venv.to_string_lossy()]),
        command_line(&[&venv.join("bin/pip").to_string_lossy(), "install", "--quiet", package]),
    ]
}

/// The virtual environment of all Python packages.
pub fn venv(cache: &Path) -> PathBuf {
    cache.join("tools/venv")
}

/// Whether this process runs as root. The variables of the environment are wrong under `su` and in
/// containers.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Runs a command of a build. The error holds the output.
pub fn run_tool(command: &mut Command) -> TaskResult {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&text).trim_end()).into())
}
