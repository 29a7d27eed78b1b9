//! Compiles components, quickly first and well later.
//!
//! What is not in the cache is compiled by the baseline compiler, which takes a fraction of the time, and starts at once.
//! What that one cannot compile (GC, exceptions, tail calls) is compiled without optimisation. [`Engine::optimise`] then
//! makes the optimised code beside it, on threads that give way to others; a service changes over to it, and every later
//! start finds it in the cache.

use crate::adapt;
use crate::artifact::Artifact;
use crate::cache::Cache;
use crate::config::{Calls, Compiler, EngineConfig, Tiers};
use crate::error::{LoadError, parser_words};
use crate::inspect;
use crate::limits::size;
use crate::link;
use crate::meter::Ticker;
use crate::prepare::Prepared;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use wasmtime::component::Component;

/// Compiles and runs components. One per process and purpose.
pub struct Engine {
    config: EngineConfig,
    /// By its calls and its compiler. Each is made when it is needed, which on most starts only one is.
    tiers: [[OnceLock<Arc<Tier>>; 3]; 2],
    cache: Option<Cache>,
}

/// A compiler, and what runs its code.
pub(crate) struct Tier {
    pub wasmtime: wasmtime::Engine,
    pub ticker: Arc<Ticker>,
    calls: Calls,
    compiler: Compiler,
    /// The hash of everything that affects compiled code.
    hash: u64,
}

/// What is compiled: an artifact, and the component that it is or becomes, made when it is first needed. Mostly the code is in
/// the cache.
struct Source<'a> {
    artifact: &'a Artifact,
    component: OnceCell<Cow<'a, [u8]>>,
}

impl<'a> Source<'a> {
    fn new(artifact: &'a Artifact) -> Self {
        Source { artifact, component: OnceCell::new() }
    }

    fn component(&self) -> Result<&[u8], LoadError> {
        if let Some(made) = self.component.get() {
            return Ok(made);
        }
        let made = adapt::to_component(self.artifact)?;
        Ok(self.component.get_or_init(|| made))
    }
}

/// Hears that a compilation goes on, which may take a while.
pub trait Progress: Sync {
    /// `name`, of `bytes`, is being compiled. Called once, before; dropping the answer ends it.
    fn compiling(&self, name: &str, bytes: usize) -> Box<dyn std::any::Any>;
}

impl Engine {
    /// Starts an engine. Without a cache everything is compiled anew.
    pub fn new(config: &EngineConfig, cache: Option<Cache>) -> Arc<Self> {
        Arc::new(Engine { config: config.clone(), tiers: Default::default(), cache })
    }

    /// Takes `artifact` from the cache or compiles it, as quickly as that goes, and checks that everything it imports is
    /// there.
    pub fn prepare(&self, artifact: &Artifact, progress: Option<&dyn Progress>) -> Result<Prepared, LoadError> {
        let (tiers, calls, source) = (self.config.tiers, self.calls(artifact), Source::new(artifact));
        if tiers != Tiers::Baseline {
            let tier = self.tier(calls, Compiler::Optimising)?;
            if let Some(component) = self.cached(tier, artifact) {
                return prepared(tier, component, artifact);
            }
        }
        if tiers == Tiers::Optimised {
            return self.prepare_by(calls, Compiler::Optimising, &source, progress);
        }
        match self.prepare_by(calls, Compiler::Baseline, &source, progress) {
            // The other knows more, and says better what is wrong.
            Err(LoadError::Invalid { reason, .. } | LoadError::Compile { reason, .. } | LoadError::Engine(reason)) => {
                let prepared = match self.prepare_by(calls, Compiler::Plain, &source, progress) {
                    // Another engine's pools may be more than there is address space for.
                    Err(LoadError::Engine(_)) => self.prepare_by(calls, Compiler::Optimising, &source, progress)?,
                    prepared => prepared?,
                };
                Ok(Prepared { unfit: Some(reason), ..prepared })
            }
            done => done,
        }
    }

    fn prepare_by(
        &self,
        calls: Calls,
        compiler: Compiler,
        source: &Source<'_>,
        progress: Option<&dyn Progress>,
    ) -> Result<Prepared, LoadError> {
        let tier = self.tier(calls, compiler)?;
        let component = match self.cached(tier, source.artifact) {
            Some(component) => component,
            None => self.compile(tier, source, progress)?,
        };
        prepared(tier, component, source.artifact)
    }

    /// How `artifact` is called. A command has no use for the cheaper way, and a component that could go it does without
    /// where the address space has no room for another pool.
    fn calls(&self, artifact: &Artifact) -> Calls {
        let is_serial = self.config.is_service() && adapt::is_serial(artifact);
        let has_room = || self.tier(Calls::Serial, Compiler::Optimising).is_ok();
        if is_serial && has_room() { Calls::Serial } else { Calls::Concurrent }
    }

    fn tier(&self, calls: Calls, compiler: Compiler) -> Result<&Arc<Tier>, LoadError> {
        let place = &self.tiers[calls as usize][compiler as usize];
        if let Some(tier) = place.get() {
            return Ok(tier);
        }
        let new = Tier::new(&self.config, calls, compiler)?;
        Ok(place.get_or_init(|| new))
    }

    /// Whether [`Engine::optimise`] makes better code of `prepared` than it has.
    pub fn can_optimise(&self, prepared: &Prepared) -> bool {
        self.config.tiers == Tiers::Both && prepared.tier.compiler != Compiler::Optimising
    }

    /// Whether better code of `artifact` than the `prepared` one is in the cache.
    pub fn has_better(&self, artifact: &Artifact, prepared: &Prepared) -> bool {
        let tier = self.tier(prepared.tier.calls, Compiler::Optimising);
        let (true, Some(cache), Ok(tier)) = (self.can_optimise(prepared), &self.cache, tier) else { return false };
        cache.get(&artifact.digest, tier.hash).is_some()
    }

    /// Makes and keeps the optimised code of `artifact`, without hurry, to take the place of the `quick` one. When another
    /// process does so already, its code is waited for.
    pub fn optimise(&self, artifact: &Artifact, quick: &Prepared) -> Result<Prepared, LoadError> {
        let calls = quick.tier.calls;
        let tier = self.tier(calls, Compiler::Optimising)?;
        let _turn = self.cache.as_ref().and_then(|cache| cache.turn(&artifact.digest, tier.hash).ok());
        if let Some(component) = self.cached(tier, artifact) {
            return prepared(tier, component, artifact);
        }
        let threads = rayon::ThreadPoolBuilder::new().start_handler(|_| give_way()).build();
        let component = match threads {
            Ok(threads) => threads.install(|| self.compile(tier, &Source::new(artifact), None)),
            Err(e) => Err(LoadError::Engine(e.to_string())),
        };
        let prepared = prepared(tier, component?, artifact)?;
        // One that is too large for the cache leaves it as it was.
        if let Some(cache) = self.cache.as_ref().filter(|cache| cache.get(&artifact.digest, tier.hash).is_some()) {
            let before = [Compiler::Baseline, Compiler::Plain];
            let made = before.iter().filter_map(|compiler| self.tiers[calls as usize][*compiler as usize].get());
            made.for_each(|tier| cache.remove(&artifact.digest, tier.hash));
        }
        Ok(prepared)
    }

    fn cached(&self, tier: &Tier, artifact: &Artifact) -> Option<Component> {
        let path = self.cache.as_ref()?.get(&artifact.digest, tier.hash)?;
        // SAFETY: the file is an entry of the cache, which only this user can write to, was written by an engine of the
        // same version and settings (its name says so), and has passed its checksum.
        unsafe { Component::deserialize_file(&tier.wasmtime, path) }.ok()
    }

    fn compile(
        &self,
        tier: &Tier,
        source: &Source<'_>,
        progress: Option<&dyn Progress>,
    ) -> Result<Component, LoadError> {
        let (artifact, bytes) = (source.artifact, source.component()?);
        let _shown = progress.map(|p| p.compiling(&artifact.name, bytes.len()));
        let failed = |e: &wasmtime::Error| failed(artifact, e);
        let Some(cache) = &self.cache else {
            return Component::from_binary(&tier.wasmtime, bytes).map_err(|e| failed(&e));
        };
        let code = tier.wasmtime.precompile_component(bytes).map_err(|e| failed(&e))?;
        // A cache that cannot be written to costs time, not the run.
        let _ = cache.put(&artifact.digest, tier.hash, &code);
        // SAFETY: this engine compiled the code just now.
        unsafe { Component::deserialize(&tier.wasmtime, &code) }.map_err(|e| failed(&e))
    }
}

impl Tier {
    fn new(config: &EngineConfig, calls: Calls, compiler: Compiler) -> Result<Arc<Self>, LoadError> {
        let wasmtime = config.engine(calls, compiler)?;
        let mut hasher = DefaultHasher::new();
        adapt::REVISION.hash(&mut hasher);
        wasmtime.precompile_compatibility_hash().hash(&mut hasher);
        let ticker = Ticker::new(&wasmtime, tick(config));
        Ok(Arc::new(Tier { wasmtime, ticker, calls, compiler, hash: hasher.finish() }))
    }
}

fn prepared(tier: &Arc<Tier>, component: Component, artifact: &Artifact) -> Result<Prepared, LoadError> {
    let ty = component.component_type();
    let missing: Vec<_> = ty.imports(&tier.wasmtime).filter_map(|(name, _)| link::missing(name)).collect();
    if !missing.is_empty() {
        return Err(LoadError::MissingImports { name: artifact.name.clone(), imports: missing });
    }
    let worlds = inspect::worlds(ty.exports(&tier.wasmtime).map(|(name, _)| name));
    let adapted = !adapt::is_component(artifact)?;
    Ok(Prepared { tier: tier.clone(), component, name: artifact.name.clone(), worlds, adapted, unfit: None })
}

/// Others go before this thread. Not so far that a busy service never gets the code that would make it less busy: it has
/// about a quarter of a processor that others want as well.
fn give_way() {
    // Linux has a priority for each thread, elsewhere it is the process's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 5);
}

/// Often enough that a limit holds to a few percent, seldom enough that it costs nothing. Where others wait for a guest that
/// computes, it lets go of its thread as often.
fn tick(config: &EngineConfig) -> Duration {
    if config.is_service() {
        return Duration::from_micros(500);
    }
    (config.limits.cpu.min(config.limits.deadline) / 50).clamp(Duration::from_millis(1), Duration::from_millis(10))
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
    // Some of what is not in the baseline compiler has no words but these.
    let cause = cause.strip_prefix("Compilation error: ").unwrap_or(cause);
    let cause = cause.split_once(" (at offset ").map_or(cause, |(words, _)| words);
    match (minimum_memory(cause), unread) {
        (Some(needs), _) => LoadError::Memory { name, needs },
        (None, Some((_, words))) => LoadError::Invalid { name, reason: parser_words(words) },
        (None, None) => LoadError::Compile { name, reason: cause.to_owned() },
    }
}
