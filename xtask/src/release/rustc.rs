//! The compiler, and the tools of its LLVM.

use crate::error::TaskResult;
use std::path::PathBuf;
use std::process::Command;

/// The compiler.
pub struct Rustc {
    /// Triple of this machine.
    pub host: String,
    /// Major version of LLVM. Its tools read the profiles of this version only.
    llvm: String,
    /// Folder of the rustup component `llvm-tools`.
    tools: PathBuf,
}

impl Rustc {
    pub fn find() -> TaskResult<Self> {
        let output = |arguments: &[&str]| -> TaskResult<String> {
            Ok(String::from_utf8(Command::new("rustc").args(arguments).output()?.stdout)?)
        };
        let version = output(&["-vV"])?;
        let line = |start: &str| version.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let unknown = "`rustc -vV` prints no host or no LLVM version";
        let llvm = line("LLVM version: ").ok_or(unknown)?;
        Ok(Rustc {
            host: line("host: ").ok_or(unknown)?,
            llvm: llvm.split('.').next().unwrap_or_default().to_owned(),
            tools: PathBuf::from(output(&["--print", "target-libdir"])?.trim()).join("../bin"),
        })
    }

    /// Finds `llvm-profdata`.
    pub fn profdata(&self) -> TaskResult<PathBuf> {
        let debian = PathBuf::from(format!("/usr/lib/llvm-{}/bin", self.llvm));
        let places = [&self.tools, &debian].map(|folder| folder.join("llvm-profdata"));
        let missing = || {
            format!(
                "llvm-profdata of LLVM {0} is missing: `rustup component add llvm-tools`, or the package llvm-{0}",
                self.llvm
            )
        };
        Ok(places.into_iter().find(|path| path.is_file()).ok_or_else(missing)?)
    }
}
