//! Builds each kernel twice with the same compiler: for this machine and for WASI 0.1.

use crate::cargo::{repository, scratch_folder};
use crate::error::BenchResult;
use crate::programs::find_on_path;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kernel that was built.
pub struct Kernel {
    pub name: String,
    pub native: PathBuf,
    pub guest: PathBuf,
}

const CLANG: &str = "clang-19";

/// Flags of clang for WASI 0.1 with the C library of Debian. Vectors are on, as for the machine.
const CLANG_WASI: &[&str] =
    &["--target=wasm32-wasi", "--sysroot=/usr", "-I/usr/include/wasm32-wasi", "-L/usr/lib/wasm32-wasi", "-msimd128"];

/// Builds all kernels, ordered by name. Prints which are left out for want of a compiler.
pub fn build_all() -> BenchResult<Vec<Kernel>> {
    let folder = scratch_folder()?.join("kernels");
    std::fs::create_dir_all(&folder)?;
    let mut sources = std::fs::read_dir(repository().join("bench/kernels"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    sources.sort();
    let built = sources.iter().map(|source| build(source, &folder)).collect::<BenchResult<Vec<_>>>()?;
    Ok(built.into_iter().flatten().collect())
}

fn build(source: &Path, folder: &Path) -> BenchResult<Option<Kernel>> {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, language) = (part(source.file_stem()), part(source.extension()));
    let (native, guest) = (folder.join(&stem), folder.join(format!("{stem}.wasm")));
    let is_rust = language == "rs";
    let compiler = if is_rust { "rustc" } else { CLANG };
    if find_on_path(compiler).is_none() || (is_rust && !has_rust_target()) {
        println!("left out: {stem}, since {compiler} for wasm32-wasi is not here");
        return Ok(None);
    }
    for (output, is_guest) in [(&native, false), (&guest, true)] {
        let mut command = Command::new(compiler);
        if is_rust {
            command.args(["--edition", "2024", "-O", "-C", "panic=abort"]);
            command.args(
                is_guest.then_some(["--target", "wasm32-wasip1", "-Ctarget-feature=+simd128"]).into_iter().flatten(),
            );
        } else {
            command.arg("-O2").args(is_guest.then_some(CLANG_WASI).into_iter().flatten());
            // Neither the exceptions nor the type information of C++ are needed, nor its library.
            command.args((language == "cpp").then_some(["-fno-exceptions", "-fno-rtti"]).into_iter().flatten());
        }
        command.arg("-o").arg(output).arg(source);
        if !is_rust {
            command.arg("-lm");
        }
        crate::programs::run_to_success(&mut command)?;
    }
    Ok(Some(Kernel { name: format!("{stem}.{language}"), native, guest }))
}

fn has_rust_target() -> bool {
    let mut command = Command::new("rustc");
    command.args(["--target", "wasm32-wasip1", "--print", "target-libdir"]).stderr(Stdio::null());
    let folder = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_ok_and(|folder| Path::new(&folder).is_dir())
}
