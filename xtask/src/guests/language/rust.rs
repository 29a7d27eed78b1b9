//! Rust: a package becomes a core module or a component, by its name and its files.
//!
//! | guest | becomes |
//! |-|-|
//! | `rust_p1_*` | a core module |
//! | `rust_p2_*`, `rust_p3_*` with `src/main.rs` | a component, with the command adapter |
//! | the same with `src/lib.rs` | a component, with the proxy adapter when `_http_` is in its name, else the reactor adapter |

use super::interface::Language;
use crate::error::TaskResult;
use crate::guests::source::GuestSource;
use crate::guests::toolchain::{MissingToolchain, Toolchain, apt_install, command_line, run_tool};
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasi_preview1_component_adapter_provider as adapters;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-wasip1";
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld-19"];
/// Cargo of Debian's Rust for the web. Its standard library comes as source, without a linker.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
/// Variables of the build that runs this chore, which must not reach the guests.
const HOST_VARIABLES: [&str; 6] =
    ["CARGO", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

pub struct Rust;

impl Language for Rust {
    fn name(&self) -> &'static str {
        "Rust"
    }

    fn find_toolchain(&self, cache: &Path) -> Result<Toolchain, MissingToolchain> {
        let rustup = || rustup_has_target().then(|| Toolchain::find(Path::new("cargo"), cache)).flatten();
        let debian = || {
            let is_complete = Path::new("/usr/bin/wasm-ld-19").exists()
                && Path::new("/usr/lib/wasm32-wasi/crt1-command.o").exists()
                && Path::new("/usr/lib/rustlib/src/rust/Cargo.lock").exists();
            is_complete.then(|| Toolchain::find(Path::new(DEBIAN_CARGO), cache)).flatten()
        };
        rustup().or_else(debian).ok_or_else(|| MissingToolchain {
            name: "Rust's standard library for wasm32-wasip1",
            installations: vec![vec![command_line(&["rustup", "target", "add", TARGET])], vec![apt_install(PACKAGES)]],
        })
    }

    fn source_path(&self, sources: &Path, guest: &str) -> PathBuf {
        sources.join("rust").join(guest)
    }

    fn shared_inputs(&self, guest: &GuestSource) -> Vec<PathBuf> {
        ["Cargo.toml", "Cargo.lock", "shared"].map(|name| guest.sources.join("rust").join(name)).into()
    }

    fn recipe(&self, guest: &GuestSource) -> Vec<&'static [u8]> {
        [Some(&include_bytes!("rust.rs")[..]), adapter(guest)].into_iter().flatten().collect()
    }

    fn build(&self, guest: &GuestSource, toolchain: &Toolchain) -> TaskResult<Vec<u8>> {
        run_tool(&mut compile_command(guest, toolchain))?;
        let file = toolchain.scratch.join(TARGET).join("release").join(format!("{}.wasm", guest.name));
        let module = fs::read(file)?;
        match adapter(guest) {
            Some(adapter) => encode_component(&module, adapter),
            None => Ok(module),
        }
    }
}

/// Whether the Rust of this repository has a standard library for the guests.
fn rustup_has_target() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn is_program(guest: &GuestSource) -> bool {
    guest.path.join("src/main.rs").is_file()
}

/// The adapter from WASI 0.1; `None` for a guest that stays a core module.
fn adapter(guest: &GuestSource) -> Option<&'static [u8]> {
    if guest.name.starts_with("rust_p1_") {
        return None;
    }
    Some(match (is_program(guest), guest.is_http()) {
        (true, _) => adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        (false, true) => adapters::WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER,
        (false, false) => adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    })
}

fn compile_command(guest: &GuestSource, toolchain: &Toolchain) -> Command {
    let workspace = guest.sources.join("rust");
    let mut command = Command::new(&toolchain.program);
    command
        .current_dir(&workspace)
        .args(["rustc", "--quiet", "--release", "--target", TARGET, "--package", guest.name])
        .arg("--target-dir")
        .arg(&toolchain.scratch);
    for variable in HOST_VARIABLES {
        command.env_remove(variable);
    }
    let is_debian = toolchain.program == Path::new(DEBIAN_CARGO);
    if is_debian {
        command
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTC", "/usr/bin/rustc")
            // Building the standard library is an unstable feature of cargo.
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort")
            .env("CARGO_TARGET_WASM32_WASIP1_LINKER", "/usr/bin/wasm-ld-19")
            .env(
                "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
                "-Clink-self-contained=no -Clinker-flavor=wasm-ld -Clink-arg=-L/usr/lib/wasm32-wasi",
            );
    }
    // Paths in debug information do not depend on where the repository is.
    command.arg("--").arg(format!("--remap-path-prefix={}=guests", workspace.display()));
    if is_debian {
        // For this crate only, so that programs and libraries share one standard library.
        let start_file = if is_program(guest) { "crt1-command.o" } else { "crt1-reactor.o" };
        command.arg(format!("-Clink-arg=/usr/lib/wasm32-wasi/{start_file}"));
    }
    command
}

fn encode_component(module: &[u8], adapter: &[u8]) -> TaskResult<Vec<u8>> {
    let name = adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let encoder = ComponentEncoder::default().validate(true).module(module).map_err(with_causes)?;
    let mut encoder = encoder.adapter(name, adapter).map_err(with_causes)?;
    Ok(encoder.encode().map_err(with_causes)?)
}

/// Writes an error of wit-component with its causes.
fn with_causes(error: impl Debug) -> String {
    format!("{error:?}")
}
