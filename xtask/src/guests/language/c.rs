//! C: `c_p1_*.c` becomes a core module. A first line `// flags: ...` replaces the compiler flags.

use super::interface::Language;
use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain, apt_install, run_tool};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: &[&str] = &["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];

pub struct C;

impl Language for C {
    fn name(&self) -> &'static str {
        "C"
    }

    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain> {
        let has_sysroot = Path::new("/usr/include/wasm32-wasi").exists();
        let found = has_sysroot.then(|| Toolchain::find(Path::new("clang-19"), cache)).flatten();
        found.ok_or_else(|| MissingToolchain {
            name: "a C compiler for WASI",
            installations: vec![vec![apt_install(PACKAGES)]],
        })
    }

    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf {
        sources.join("c").join(guest).with_extension("c")
    }

    fn recipe(&self, _: &GuestSource) -> Vec<&'static [u8]> {
        vec![include_bytes!("c.rs")]
    }

    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>> {
        let output = toolchain.output_path(guest.name)?;
        let source = fs::read_to_string(&guest.path)?;
        let first_line = source.lines().next().unwrap_or_default();
        let flags = first_line.strip_prefix("// flags:").unwrap_or("-Os -s");
        run_tool(
            Command::new(&toolchain.program)
                // File names in debug information are relative to this folder.
                .current_dir(&guest.sources)
                .args(["--target=wasm32-wasi", "--sysroot=/usr", "-I/usr/include/wasm32-wasi", "-Wall"])
                .args(flags.split_whitespace())
                .arg(format!("-ffile-prefix-map={}=guests", guest.sources.display()))
                .arg(guest.relative_path()?)
                .arg("-o")
                .arg(&output),
        )?;
        Ok(fs::read(output)?)
    }
}
