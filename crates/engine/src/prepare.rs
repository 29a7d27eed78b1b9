//! From an artifact to something that is ready to start: compiled or cached, checked, linked with a policy.

use crate::adapt;
use crate::artifact::Artifact;
use crate::cache::Cache;
use crate::capabilities::dir::Mounts;
use crate::config::EngineConfig;
use crate::error::{LoadError, parser_words};
use crate::gate::Gate;
use crate::inspect::{self, World};
use crate::limits::{Limits, size};
use crate::link;
use crate::meter::Ticker;
use crate::packages::{Package, WASI_0_2, WASI_0_3};
use crate::sandbox::Sandbox;
use crate::stdio::Stdio;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, InstancePre};

/// Compiles and runs components. One per process and purpose.
pub struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) ticker: Arc<Ticker>,
    cache: Option<Cache>,
    /// The hash of everything that affects compiled code.
    hash: u64,
}

/// Hears that a compilation goes on, which may take a while.
pub trait Progress: Sync {
    /// `name`, of `bytes`, is being compiled. Called once, before; dropping the answer ends it.
    fn compiling(&self, name: &str, bytes: usize) -> Box<dyn std::any::Any>;
}

/// A compiled component.
#[derive(Clone)]
pub struct Prepared {
    engine: Arc<Engine>,
    pub(crate) component: Component,
    pub(crate) name: String,
    pub(crate) worlds: Vec<World>,
    /// Whether it was a module of WASI 0.1.
    adapted: bool,
}

/// What a component gets when it starts.
pub struct Setup {
    /// Decides what it may do.
    pub gate: Gate,
    /// What it may use.
    pub limits: Limits,
    /// Where its standard streams go.
    pub stdio: Stdio,
    /// The arguments; the first is the program's name.
    pub args: Vec<String>,
    /// The values of the variables that may be seen. The gate decides which of them are.
    pub env: Vec<(String, String)>,
    /// Whether file operations may block the thread: where one guest has it for itself.
    pub may_block: bool,
    pub(crate) mounts: Arc<Mounts>,
    /// The version of WASI by which the component asks for things.
    pub(crate) version: &'static str,
}

impl Setup {
    /// Opens the mounts of the gate's policy.
    pub fn new(gate: Gate, limits: Limits, stdio: Stdio, may_block: bool) -> Result<Self, LoadError> {
        let mounts = Mounts::open(gate.policy(), may_block)?;
        Ok(Setup { gate, limits, stdio, args: Vec::new(), env: Vec::new(), may_block, mounts, version: WASI_0_2 })
    }
}

/// A component linked with its policy: what is left is to make sandboxes.
#[derive(Clone)]
pub struct Ready {
    pub(crate) engine: Arc<Engine>,
    pub(crate) pre: InstancePre<Sandbox>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) name: String,
    pub(crate) worlds: Vec<World>,
}

impl Engine {
    /// Starts an engine. Without a cache everything is compiled anew.
    pub fn new(config: &EngineConfig, cache: Option<Cache>) -> Result<Arc<Self>, LoadError> {
        let wasmtime = config.engine()?;
        let mut hasher = DefaultHasher::new();
        adapt::REVISION.hash(&mut hasher);
        wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Arc::new(Engine {
            ticker: Ticker::new(&wasmtime, tick(&config.limits)),
            wasmtime,
            cache,
            hash: hasher.finish(),
        }))
    }

    /// Compiles `artifact`, or takes it from the cache, and checks that everything it imports is there.
    pub fn prepare(
        self: &Arc<Self>,
        artifact: &Artifact,
        progress: Option<&dyn Progress>,
    ) -> Result<Prepared, LoadError> {
        let component = match self.cached(artifact) {
            Some(component) => component,
            None => self.compile(artifact, progress)?,
        };
        let ty = component.component_type();
        let missing: Vec<_> = ty.imports(&self.wasmtime).filter_map(|(name, _)| link::missing(name)).collect();
        if !missing.is_empty() {
            return Err(LoadError::MissingImports { name: artifact.name.clone(), imports: missing });
        }
        let worlds = inspect::worlds(ty.exports(&self.wasmtime).map(|(name, _)| name));
        let adapted = !adapt::is_component(artifact)?;
        Ok(Prepared { engine: self.clone(), component, name: artifact.name.clone(), worlds, adapted })
    }

    fn cached(&self, artifact: &Artifact) -> Option<Component> {
        let path = self.cache.as_ref()?.get(&artifact.digest, self.hash)?;
        // SAFETY: the file is an entry of the cache, which only this user can write to, was written by an engine of the
        // same version and settings (its name says so), and has passed its checksum.
        unsafe { Component::deserialize_file(&self.wasmtime, path) }.ok()
    }

    fn compile(&self, artifact: &Artifact, progress: Option<&dyn Progress>) -> Result<Component, LoadError> {
        let bytes = adapt::to_component(artifact)?;
        let _shown = progress.map(|p| p.compiling(&artifact.name, bytes.len()));
        let failed = |e: &wasmtime::Error| failed(artifact, e);
        let Some(cache) = &self.cache else {
            return Component::from_binary(&self.wasmtime, &bytes).map_err(|e| failed(&e));
        };
        let code = self.wasmtime.precompile_component(&bytes).map_err(|e| failed(&e))?;
        // A cache that cannot be written to costs time, not the run.
        let _ = cache.put(&artifact.digest, self.hash, &code);
        // SAFETY: this engine compiled the code just now.
        unsafe { Component::deserialize(&self.wasmtime, &code) }.map_err(|e| failed(&e))
    }
}

/// Often enough that a limit holds to a few percent, seldom enough that it costs nothing.
fn tick(limits: &Limits) -> Duration {
    (limits.cpu.min(limits.deadline) / 50).clamp(Duration::from_millis(1), Duration::from_millis(10))
}

/// How large the pool says that a memory is from the start, when that is more than its slots hold.
fn minimum_memory(message: &str) -> Option<String> {
    let bytes = message.split_once("minimum byte size of ")?.1.split(' ').next()?;
    Some(size(bytes.parse().ok()?))
}

/// A component is validated where it is compiled, so what fails may be either.
fn failed(artifact: &Artifact, error: &wasmtime::Error) -> LoadError {
    let name = artifact.name.clone();
    if let Some(e) = error.chain().find_map(|e| e.downcast_ref::<wasmparser::BinaryReaderError>()) {
        return adapt::invalid(artifact, e);
    }
    let cause = error.root_cause().to_string();
    let cause = cause.lines().next().unwrap_or_default();
    // The compiler reads functions by itself, and what it says of them has no type here.
    let unread = cause.strip_prefix("Invalid input WebAssembly code at offset ").and_then(|rest| rest.split_once(": "));
    if cause.starts_with("section range ") {
        return LoadError::Invalid { name, reason: "it ends in the middle".into() };
    }
    match (minimum_memory(cause), unread) {
        (Some(needs), _) => LoadError::Memory { name, needs },
        (None, Some((_, words))) => LoadError::Invalid { name, reason: parser_words(words) },
        (None, None) => LoadError::Compile { name, reason: cause.to_owned() },
    }
}

impl Prepared {
    /// Links the component with what it gets.
    pub fn ready(&self, mut setup: Setup) -> Result<Ready, LoadError> {
        if self.adapted {
            adapt::check_start(&self.name, &setup.args, &setup.env)?;
        }
        let engine = &self.engine.wasmtime;
        let ty = self.component.component_type();
        if ty.imports(engine).any(|(name, _)| Package::of(name).is_some_and(|p| p.version == WASI_0_3)) {
            setup.version = WASI_0_3;
        }
        let linker = link::linker(engine, ty.imports(engine).map(|(name, _)| name))
            .map_err(|e| LoadError::Engine(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(&self.component).map_err(|e| LoadError::WrongWorld {
            name: self.name.clone(),
            verb: "linked",
            reason: format!("{:#}", e),
            hint: "it was built for another version of an interface; rebuild it with a toolchain for WASI 0.2 or the final 0.3".into(),
        })?;
        Ok(Ready {
            engine: self.engine.clone(),
            pre,
            setup: Arc::new(setup),
            name: self.name.clone(),
            worlds: self.worlds.clone(),
        })
    }
}

impl Ready {
    /// For a process that ends now: only what would outlive it is removed. To free the rest piece by piece takes longer than
    /// a small guest runs.
    pub fn leave_to_system(self) {
        self.setup.mounts.remove_root();
        let _ = std::mem::ManuallyDrop::new(self);
    }

    /// Makes a sandbox and drops it again: what every fresh start costs.
    pub async fn start_and_drop(&self) -> Result<(), crate::Failure> {
        let mut store = Sandbox::store(&self.engine.wasmtime, &self.setup);
        let started = self.pre.instantiate_async(&mut store).await;
        started.map(|_| ()).map_err(|e| crate::explain::failure(&e, &self.setup.limits))
    }
}
