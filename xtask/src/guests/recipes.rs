//! How each guest is made. Everything follows from its name and its files:
//!
//! | guest | made into |
//! |-|-|
//! | `rust_p1_*` | a core module |
//! | `rust_p2_*`, `rust_p3_*` with `src/main.rs` | a component, with the command adapter |
//! | the same with `src/lib.rs` | a component, with the proxy adapter when `_http_` is in its name, else the reactor adapter |
//! | `c_p1_*.c` | a core module; a first line `// flags: ...` adds compiler flags |
//! | `go_p1_*.go` | a core module |
//! | `js_*.js`, `py_*.py` | a component of a world of `wit/guests.wit`: `http` when `_http_` is in its name, else `command` |

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use wasi_preview1_component_adapter_provider as adapters;
use wit_component::ComponentEncoder;

use super::{
    Result,
    tools::{Kit, KitName},
};

const RUST_TARGET: &str = "wasm32-wasip1";
const WORLDS: &str = "wit/guests.wit";

pub struct Recipe {
    name: &'static str,
    /// Where the sources of all guests are, and those of this one: a folder or a file.
    sources: PathBuf,
    own: PathBuf,
    shape: Shape,
}

enum Shape {
    Rust(RustShape),
    C,
    Go,
    JavaScript,
    Python,
}

#[derive(Clone, Copy)]
enum RustShape {
    /// A core module with `_start`.
    Command,
    /// A core module with `_initialize`.
    Reactor,
    /// A component; the core module of a library or of a program, and the adapter that goes in.
    Component { program: bool, adapter: &'static [u8] },
}

impl Recipe {
    pub fn of(name: &'static str, sources: &Path) -> Result<Self> {
        let language = name.split('_').next().unwrap_or_default();
        let folder = sources.join(language).join(name);
        let (own, shape) = match language {
            "rust" => {
                let program = folder.join("src/main.rs").is_file();
                let shape = match (name.starts_with("rust_p1_"), program) {
                    (true, true) => RustShape::Command,
                    (true, false) => RustShape::Reactor,
                    (false, true) => {
                        RustShape::Component { program, adapter: adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER }
                    }
                    (false, false) if name.contains("_http_") => {
                        RustShape::Component { program, adapter: adapters::WASI_SNAPSHOT_PREVIEW1_PROXY_ADAPTER }
                    }
                    (false, false) => {
                        RustShape::Component { program, adapter: adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER }
                    }
                };
                (folder, Shape::Rust(shape))
            }
            "c" => (folder.with_extension("c"), Shape::C),
            "go" => (folder.with_extension("go"), Shape::Go),
            "js" => (folder.with_extension("js"), Shape::JavaScript),
            "py" => (folder.with_extension("py"), Shape::Python),
            other => return Err(format!("no recipe for the language {other:?}").into()),
        };
        Ok(Self { name, sources: sources.to_owned(), own, shape })
    }

    pub fn kit(&self) -> KitName {
        match self.shape {
            Shape::Rust(_) => KitName::Rust,
            Shape::C => KitName::C,
            Shape::Go => KitName::Go,
            Shape::JavaScript => KitName::JavaScript,
            Shape::Python => KitName::Python,
        }
    }

    /// Changes when anything that the built file is made of changes.
    pub fn stamp(&self, kit: &Kit) -> Result<String> {
        let mut files = Vec::new();
        list_files(&self.own, &mut files)?;
        match self.shape {
            Shape::Rust(_) => {
                let workspace = self.sources.join("rust");
                files.extend(["Cargo.toml", "Cargo.lock"].map(|file| workspace.join(file)));
                list_files(&workspace.join("shared"), &mut files)?;
            }
            Shape::JavaScript | Shape::Python => files.push(self.sources.join(WORLDS)),
            Shape::C | Shape::Go => {}
        }
        files.sort();
        let mut hasher = DefaultHasher::new();
        for file in files {
            file.strip_prefix(&self.sources)?.hash(&mut hasher);
            fs::read(&file)?.hash(&mut hasher);
        }
        kit.version.hash(&mut hasher);
        // This file is the recipe.
        include_str!("recipes.rs").hash(&mut hasher);
        if let Shape::Rust(RustShape::Component { adapter, .. }) = self.shape {
            adapter.hash(&mut hasher);
        }
        Ok(format!("{:016x}\n", hasher.finish()))
    }

    pub fn build(&self, kit: &Kit) -> Result<Vec<u8>> {
        match self.shape {
            Shape::Rust(shape) => self.build_rust(kit, shape),
            Shape::C => self.build_c(kit),
            Shape::Go => self.build_go(kit),
            Shape::JavaScript => self.build_javascript(kit),
            Shape::Python => self.build_python(kit),
        }
    }

    fn build_rust(&self, kit: &Kit, shape: RustShape) -> Result<Vec<u8>> {
        let program = matches!(shape, RustShape::Command | RustShape::Component { program: true, .. });
        let workspace = self.sources.join("rust");
        let mut command = Command::new(&kit.program);
        command
            .current_dir(&workspace)
            .args(["rustc", "--quiet", "--release", "--target", RUST_TARGET, "--package", self.name])
            .arg("--target-dir")
            .arg(&kit.scratch);
        // Settings of the build that runs this one are not meant for guests.
        for variable in
            ["CARGO", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"]
        {
            command.env_remove(variable);
        }
        if kit.debian_rust {
            command
                .env_remove("RUSTUP_TOOLCHAIN")
                .env("RUSTC", "/usr/bin/rustc")
                // Its std comes as source, and building that is an unstable flag of cargo.
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort")
                .env("CARGO_TARGET_WASM32_WASIP1_LINKER", "/usr/bin/wasm-ld-19")
                .env(
                    "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
                    "-Clink-self-contained=no -Clinker-flavor=wasm-ld -Clink-arg=-L/usr/lib/wasm32-wasi",
                );
        }
        // Debug information names files as they are in this folder, not where the folder is.
        command.arg("--").arg(format!("--remap-path-prefix={}=guests", workspace.display()));
        if kit.debian_rust {
            // Given to this crate only, so that std is built once for both kinds.
            let start = if program { "crt1-command.o" } else { "crt1-reactor.o" };
            command.arg(format!("-Clink-arg=/usr/lib/wasm32-wasi/{start}"));
        }
        run(&mut command)?;

        let module = fs::read(kit.scratch.join(RUST_TARGET).join("release").join(format!("{}.wasm", self.name)))?;
        let RustShape::Component { adapter, .. } = shape else { return Ok(module) };
        let name = adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
        let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(plain)?;
        encoder = encoder.adapter(name, adapter).map_err(plain)?;
        Ok(encoder.encode().map_err(plain)?)
    }

    fn build_c(&self, kit: &Kit) -> Result<Vec<u8>> {
        let out = self.scratch(kit)?;
        let source = fs::read_to_string(&self.own)?;
        let first = source.lines().next().unwrap_or_default();
        let flags = first.strip_prefix("// flags:").unwrap_or("-Os -s");
        run(Command::new(&kit.program)
            // File names in debug information start here.
            .current_dir(&self.sources)
            .args(["--target=wasm32-wasi", "--sysroot=/usr", "-I/usr/include/wasm32-wasi", "-Wall"])
            .args(flags.split_whitespace())
            .arg(format!("-ffile-prefix-map={}=guests", self.sources.display()))
            .arg(self.own.strip_prefix(&self.sources)?)
            .arg("-o")
            .arg(&out))?;
        Ok(fs::read(out)?)
    }

    fn build_go(&self, kit: &Kit) -> Result<Vec<u8>> {
        let out = self.scratch(kit)?;
        let home = kit.scratch.join("go");
        run(Command::new(&kit.program)
            .current_dir(&self.sources)
            .args(["build", "-trimpath", "-o"])
            .arg(&out)
            .arg(self.own.strip_prefix(&self.sources)?)
            .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")])
            // It needs nothing but its standard library, and keeps what it compiles of that here.
            .envs([("GOCACHE", home.join("cache")), ("GOPATH", home)]))?;
        Ok(fs::read(out)?)
    }

    fn build_javascript(&self, kit: &Kit) -> Result<Vec<u8>> {
        let out = self.scratch(kit)?;
        run(Command::new(&kit.program)
            .arg(&self.own)
            .arg("--wit")
            .arg(self.sources.join(WORLDS))
            .args(["--world-name", self.world(), "--out"])
            .arg(&out))?;
        Ok(fs::read(out)?)
    }

    fn build_python(&self, kit: &Kit) -> Result<Vec<u8>> {
        let out = self.scratch(kit)?;
        run(Command::new(&kit.program)
            .arg("--wit-path")
            .arg(self.sources.join(WORLDS))
            .args(["--world", self.world(), "componentize", self.name, "--python-path"])
            .arg(self.sources.join("py"))
            .arg("--output")
            .arg(&out))?;
        Ok(fs::read(out)?)
    }

    /// The world of a guest whose tools ask for its name.
    fn world(&self) -> &'static str {
        if self.name.contains("_http_") { "http" } else { "command" }
    }

    /// Where the tool is to put the built file.
    fn scratch(&self, kit: &Kit) -> Result<PathBuf> {
        fs::create_dir_all(&kit.scratch)?;
        Ok(kit.scratch.join(self.name).with_extension("wasm"))
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said).trim_end()).into())
}

fn list_files(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        list_files(&entry?.path(), files)?;
    }
    Ok(())
}

/// An error of wit-component with its causes, as one of this command.
fn plain(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
