//! The toolchains that the guests need: finding them, naming what is missing, installing it.
//!
//! What a package manager of the system does not carry goes into folders of our own in the cache folder, so that
//! nothing of the user's is changed.

use std::{
    collections::HashMap,
    env, fmt,
    path::{Path, PathBuf},
    process::Command,
};

use super::Result;

const RUST_TARGET: &str = "wasm32-wasip1";
const RUST_APT: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld-19"];
const C_APT: &[&str] = &["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];
const JS_NPM: &str = "@bytecodealliance/componentize-js@0.23";
const PYTHON_PIP: &str = "componentize-py==0.25.0";

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum KitName {
    Rust,
    C,
    JavaScript,
    Python,
}

/// A toolchain that was found.
#[derive(Clone)]
pub struct Kit {
    pub program: PathBuf,
    /// What the program says of its version, for stamps.
    pub version: String,
    /// Where the kit may keep intermediate files.
    pub scratch: PathBuf,
    /// Whether it is Debian's Rust for the web, which brings std as source and no linker of its own.
    pub debian_rust: bool,
}

/// What is not there, and the command that brings it.
#[derive(Clone)]
pub struct Missing {
    what: &'static str,
    install: Vec<Vec<String>>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing; install it with `", self.what)?;
        for (index, command) in self.install.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { " && " }, command.join(" "))?;
        }
        write!(f, "`, or run `cargo xtask guests --install`")
    }
}

pub struct Tools {
    cache: PathBuf,
    known: HashMap<KitName, Result<Kit, Missing>>,
}

impl Tools {
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.to_owned(), known: HashMap::new() }
    }

    /// The kit, or what is missing. With `install`, what is missing is installed first.
    pub fn find(&mut self, name: KitName, install: bool) -> Result<Result<Kit, Missing>> {
        if let Some(known) = self.known.get(&name) {
            return Ok(known.clone());
        }
        let mut found = self.look(name);
        if let (Err(missing), true) = (&found, install) {
            for command in &missing.install {
                eprintln!("+ {}", command.join(" "));
                let status = Command::new(&command[0]).args(&command[1..]).status()?;
                if !status.success() {
                    return Err(format!("`{}` failed: {status}", command.join(" ")).into());
                }
            }
            found = self.look(name);
        }
        self.known.insert(name, found.clone());
        Ok(found)
    }

    fn look(&self, name: KitName) -> Result<Kit, Missing> {
        let tools = self.cache.join("tools");
        let scratch = self.cache.join("guests-target");
        let kit = |program: &Path, debian_rust| {
            Some(Kit {
                version: version(program)?,
                program: program.to_owned(),
                scratch: scratch.clone(),
                debian_rust,
            })
        };
        match name {
            KitName::Rust => {
                let ours = rustup_has_target().then(|| kit(Path::new("cargo"), false)).flatten();
                let debian = || {
                    let whole = Path::new("/usr/bin/wasm-ld-19").exists()
                        && Path::new("/usr/lib/wasm32-wasi/crt1-command.o").exists()
                        && Path::new("/usr/lib/rustlib/src/rust/Cargo.lock").exists();
                    whole.then(|| kit(Path::new("/usr/bin/cargo"), true)).flatten()
                };
                ours.or_else(debian).ok_or_else(|| Missing {
                    what: "Rust's standard library for wasm32-wasip1",
                    install: vec![if on_debian_without_target() {
                        apt(RUST_APT)
                    } else {
                        words(&["rustup", "target", "add", RUST_TARGET])
                    }],
                })
            }
            KitName::C => {
                let sysroot = Path::new("/usr/include/wasm32-wasi").exists();
                sysroot
                    .then(|| kit(Path::new("clang-19"), false))
                    .flatten()
                    .ok_or_else(|| Missing { what: "a C compiler for WASI", install: vec![apt(C_APT)] })
            }
            KitName::JavaScript => {
                let npm = tools.join("npm");
                kit(&npm.join("node_modules/.bin/componentize-js"), false).ok_or_else(|| Missing {
                    what: "componentize-js",
                    install: vec![words(&["npm", "install", "--no-audit", "--no-fund", "--prefix", &shown(&npm), JS_NPM])],
                })
            }
            KitName::Python => {
                let venv = tools.join("venv");
                kit(&venv.join("bin/componentize-py"), false).ok_or_else(|| Missing {
                    what: "componentize-py",
                    install: vec![
                        words(&["python3", "-m", "venv", &shown(&venv)]),
                        words(&[&shown(&venv.join("bin/pip")), "install", "--quiet", PYTHON_PIP]),
                    ],
                })
            }
        }
    }
}

/// Whether the Rust that builds this repository has a standard library for the guests.
fn rustup_has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", RUST_TARGET]).output();
    asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Whether to suggest Debian's packages: rustup could bring the target, but only where it is the user's toolchain.
fn on_debian_without_target() -> bool {
    let has = |program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    !has("rustup") && has("apt-get")
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn apt(packages: &[&str]) -> Vec<String> {
    let mut command = words(&["apt-get", "install", "--yes", "--no-install-recommends"]);
    // Plain `env::var("USER")` lies under su and in containers; the owner of /proc/self does not.
    if !is_root() {
        command.insert(0, "sudo".to_owned());
    }
    command.extend(packages.iter().map(|package| (*package).to_owned()));
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) || env::var_os("SUDO_UID").is_some()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
