//! Compiles components: fast code first, optimised code later.
//!
//! A component that is not in the cache is compiled by the baseline compiler, in a fraction of the
//! time, and starts at once. A component that it cannot compile (GC, exceptions, tail calls) is
//! compiled without optimisation. [`Engine::optimise`] then compiles optimised code on threads of
//! low priority. A service changes over to it, and every later start finds it in the cache.
//!
//! Components with the same bytes on the same tier share one copy of the code, and with it the
//! image of its memory: an app may have a thousand components of one file. The code is kept as long
//! as one of them uses it.

use crate::compile::cache::Cache;
use crate::compile::code::LinkedCode;
use crate::compile::compile_error::compile_error;
use crate::compile::config::{CallModel, Compiler, EngineConfig, Tiers};
use crate::compile::prepared::Prepared;
use crate::compile::shared_code::SharedTier;
use crate::compile::tier::Tier;
use crate::compile::worker::{CompileJob, Urgency};
use crate::component::adapt;
use crate::component::artifact::Artifact;
use crate::component::code_size::CodeSize;
use crate::component::concurrency;
use crate::failure::error::LoadError;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use wasmtime::component::Component;

/// Bytes of code that the optimising compiler takes some 0.2 s for: it compiles about 1 MB a second
/// on each of two cores.
const MAX_AT_ONCE: usize = 400 << 10;
/// Bytes of a function that is optimised at once. A single thread compiles it.
const MAX_FUNCTION_AT_ONCE: usize = 64 << 10;

/// Compiles and runs components. A process has one for each purpose.
pub struct Engine {
    config: EngineConfig,
    /// Tiers by kind of calls and compiler, created on demand. Most starts need one.
    tiers: [[OnceLock<SharedTier>; 3]; 2],
    cache: Option<Cache>,
    /// First reason for which the cache did not take code.
    unkept: OnceLock<String>,
}

/// An artifact with its component, which is made on demand. Usually the code is in the cache.
struct CompileInput<'a> {
    artifact: &'a Artifact,
    component: OnceCell<Cow<'a, [u8]>>,
}

impl<'a> CompileInput<'a> {
    fn new(artifact: &'a Artifact) -> Self {
        CompileInput { artifact, component: OnceCell::new() }
    }

    fn component(&self) -> Result<&[u8], LoadError> {
        if let Some(made) = self.component.get() {
            return Ok(made);
        }
        let made = adapt::to_component(self.artifact)?;
        Ok(self.component.get_or_init(|| made))
    }
}

/// Observes compilations, which may take a while.
pub trait Progress: Sync {
    /// The component `name`, of this many bytes, is being compiled. Called once, at the start; the
    /// result is dropped at the end.
    fn compiling(&self, name: &str, bytes: usize) -> Box<dyn std::any::Any>;
}

impl Engine {
    /// Creates an engine. Without a cache, every component is compiled anew.
    pub fn new(config: &EngineConfig, cache: Option<Cache>) -> Arc<Self> {
        Arc::new(Engine { config: config.clone(), tiers: Default::default(), cache, unkept: OnceLock::new() })
    }

    /// Returns the code of `artifact`: shared, from the cache, or compiled as fast as possible.
    /// Checks that all imports are provided.
    ///
    /// # Errors
    /// An artifact that is invalid, cannot be compiled, or imports something that nothing provides.
    pub fn prepare(&self, artifact: &Artifact, progress: Option<&dyn Progress>) -> Result<Prepared, LoadError> {
        let (tiers, source, in_use) = (self.config.tiers, CompileInput::new(artifact), self.in_use(artifact));
        let calls = in_use.as_ref().map_or_else(|| self.calls(artifact), |code| code.tier.calls);
        if tiers != Tiers::Baseline {
            // Another process may have stored better code than the code in use here.
            if let Some(code) = self.at_hand(self.tier(calls, Compiler::Optimising)?, artifact)? {
                return Ok(Prepared::new(code, artifact, None));
            }
        }
        if let Some(code) = in_use {
            return Ok(Prepared::new(code, artifact, None));
        }
        if tiers == Tiers::Optimised {
            let code = self.code_by(calls, Compiler::Optimising, &source, progress, Urgency::Needed)?;
            return Ok(Prepared::new(code, artifact, None));
        }
        // A command that always ends before it is optimised has such code from its first start on.
        // The baseline compiler would notice late that it cannot compile it. A service has better
        // code by its second start, and its engines are large.
        let quick = if self.config.is_service() { &[][..] } else { &[Compiler::Baseline, Compiler::Plain] };
        for compiler in quick {
            if let Some(code) = self.at_hand(self.tier(calls, *compiler)?, artifact)? {
                return Ok(Prepared::new(code, artifact, None));
            }
        }
        if self.optimises_at_once(artifact)
            && let Ok(code) = self.code_by(calls, Compiler::Optimising, &source, progress, Urgency::IfQuick)
        {
            return Ok(Prepared::new(code, artifact, None));
        }
        match self.code_by(calls, Compiler::Baseline, &source, progress, Urgency::Needed) {
            // The slower compiler knows more features and explains errors better.
            Err(LoadError::Invalid { reason, .. } | LoadError::Compile { reason, .. } | LoadError::Engine(reason)) => {
                let code = match self.code_by(calls, Compiler::Plain, &source, progress, Urgency::Needed) {
                    // The pools of another engine may exceed the address space.
                    Err(LoadError::Engine(_)) => {
                        self.code_by(calls, Compiler::Optimising, &source, progress, Urgency::Needed)?
                    }
                    code => code?,
                };
                Ok(Prepared::new(code, artifact, Some(reason)))
            }
            done => Ok(Prepared::new(done?, artifact, None)),
        }
    }

    /// Returns whether a first start waits for the optimised code of `artifact`: where the code is
    /// small and a bound holds for the compiler. A service has threads that optimise meanwhile.
    fn optimises_at_once(&self, artifact: &Artifact) -> bool {
        let size = || CodeSize::up_to(MAX_AT_ONCE, artifact);
        let is_small = |size: CodeSize| size.total <= MAX_AT_ONCE && size.largest <= MAX_FUNCTION_AT_ONCE;
        let has_both = self.config.tiers == Tiers::Both && self.config.worker.is_some();
        has_both && !self.config.is_service() && is_small(size())
    }

    /// Returns why the cache did not take code that was compiled.
    pub fn unkept(&self) -> Option<&str> {
        self.unkept.get().map(String::as_str)
    }

    fn code_by(
        &self,
        calls: CallModel,
        compiler: Compiler,
        source: &CompileInput<'_>,
        progress: Option<&dyn Progress>,
        urgency: Urgency,
    ) -> Result<Arc<LinkedCode>, LoadError> {
        let tier = self.tier(calls, compiler)?;
        match self.at_hand(tier, source.artifact)? {
            Some(code) => Ok(code),
            None => tier.share(&self.compile(tier, source, progress, urgency)?, source.artifact),
        }
    }

    /// Returns the best code of `artifact` in use.
    fn in_use(&self, artifact: &Artifact) -> Option<Arc<LinkedCode>> {
        // The last compiler is the best.
        let mut tiers = self.tiers.iter().flat_map(|tiers| tiers.iter().rev()).filter_map(OnceLock::get);
        tiers.find_map(|tier| tier.in_use(&artifact.code))
    }

    /// Returns the tier's code of `artifact`, if it exists without compiling.
    fn at_hand(&self, tier: &SharedTier, artifact: &Artifact) -> Result<Option<Arc<LinkedCode>>, LoadError> {
        if let Some(code) = tier.in_use(&artifact.code) {
            return Ok(Some(code));
        }
        self.cached(tier, artifact).map(|component| tier.share(&component, artifact)).transpose()
    }

    /// Returns the kind of calls of `artifact`. Serial calls are of no use to a command. A
    /// component that could use them does without where the address space has no room for another
    /// pool.
    fn calls(&self, artifact: &Artifact) -> CallModel {
        if !self.config.is_service() || concurrency::imports_0_3(artifact) {
            return CallModel::Concurrent;
        }
        let Ok(tier) = self.tier(CallModel::Serial, Compiler::Optimising) else { return CallModel::Concurrent };
        // An artifact with serial code in the cache was checked when that was compiled; checking a
        // large one takes long.
        let is_kept = self.cache.as_ref().is_some_and(|cache| cache.has(&artifact.code, tier.tier.hash));
        if is_kept || concurrency::is_serial(artifact) { CallModel::Serial } else { CallModel::Concurrent }
    }

    fn tier(&self, calls: CallModel, compiler: Compiler) -> Result<&SharedTier, LoadError> {
        let place = &self.tiers[calls as usize][compiler as usize];
        if let Some(tier) = place.get() {
            return Ok(tier);
        }
        let new = SharedTier::new(Tier::new(&self.config, calls, compiler)?);
        Ok(place.get_or_init(|| new))
    }

    /// Returns whether [`Engine::optimise`] makes better code than `prepared` has.
    pub fn can_optimise(&self, prepared: &Prepared) -> bool {
        self.config.tiers == Tiers::Both && prepared.code.tier.compiler != Compiler::Optimising
    }

    /// Compiles optimised code of `artifact`, at low priority, to replace the `quick` code. Shares
    /// code in use, and waits for another process that compiles the same.
    ///
    /// # Errors
    /// An artifact that cannot be compiled.
    pub fn optimise(&self, artifact: &Artifact, quick: &Prepared) -> Result<Prepared, LoadError> {
        let calls = quick.code.tier.calls;
        let tier = self.tier(calls, Compiler::Optimising)?;
        if let Some(code) = tier.in_use(&artifact.code) {
            return Ok(Prepared::new(code, artifact, None));
        }
        let _lock = self.cache.as_ref().and_then(|cache| cache.lock(&artifact.code, tier.tier.hash).ok());
        if let Some(code) = self.at_hand(tier, artifact)? {
            return Ok(Prepared::new(code, artifact, None));
        }
        let threads = rayon::ThreadPoolBuilder::new().start_handler(|_| lower_thread_priority()).build();
        let component = match threads {
            Ok(threads) => {
                threads.install(|| self.compile(tier, &CompileInput::new(artifact), None, Urgency::Background))
            }
            Err(e) => Err(LoadError::Engine(e.to_string())),
        };
        Ok(Prepared::new(tier.share(&component?, artifact)?, artifact, None))
    }

    fn cached(&self, tier: &SharedTier, artifact: &Artifact) -> Option<Component> {
        let path = self.cache.as_ref()?.get(&artifact.code, tier.tier.hash)?;
        // SAFETY: the file is an entry of the cache, which only this user can write to. An engine
        // of the same version and settings wrote it (its name says so), and its checksum is right.
        unsafe { Component::deserialize_file(&tier.tier.wasmtime, path) }.ok()
    }

    /// Compiles, and stores the code in the cache. Optimised code replaces baseline code there,
    /// unless it is too large.
    fn compile(
        &self,
        tier: &SharedTier,
        source: &CompileInput<'_>,
        progress: Option<&dyn Progress>,
        urgency: Urgency,
    ) -> Result<Component, LoadError> {
        let (artifact, bytes) = (source.artifact, source.component()?);
        let _shown = progress.map(|p| p.compiling(&artifact.name, bytes.len()));
        let failed = |e: &wasmtime::Error| compile_error(artifact, e);
        let code = match &self.config.worker {
            Some(worker) if tier.tier.compiler != Compiler::Baseline => {
                let Tier { calls, compiler, .. } = *tier.tier;
                let job = CompileJob { calls, compiler, checks_time: self.config.checks_time, urgency };
                worker.compile(job, artifact, bytes)?
            }
            _ => tier.tier.wasmtime.precompile_component(bytes).map_err(|e| failed(&e))?,
        };
        let Some(cache) = &self.cache else {
            // SAFETY: as below.
            return unsafe { Component::deserialize(&tier.tier.wasmtime, &code) }.map_err(|e| failed(&e));
        };
        // A cache that cannot be written to costs time, but does not fail the run.
        let kept = cache.put(&artifact.code, tier.tier.hash, &code);
        let is_kept = kept.is_ok();
        if let Err(e) = kept {
            self.unkept.get_or_init(|| e.to_string());
        }
        if is_kept && tier.tier.compiler == Compiler::Optimising {
            let before = [Compiler::Baseline, Compiler::Plain];
            let made =
                before.iter().filter_map(|compiler| self.tiers[tier.tier.calls as usize][*compiler as usize].get());
            made.for_each(|tier| cache.remove(&artifact.code, tier.tier.hash));
        }
        // SAFETY: this engine compiled the code just now, or its worker did, with the same
        // settings, which wasmtime compares.
        unsafe { Component::deserialize(&tier.tier.wasmtime, &code) }.map_err(|e| failed(&e))
    }
}

/// Lowers the priority of the calling thread, but not so far that a busy service never gets its
/// optimised code: it keeps about a quarter of a contended core.
fn lower_thread_priority() {
    // Linux has a priority for each thread; elsewhere it belongs to the process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 5);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::config::EngineConfig;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use walnut_policy::Limits;

    const ADD: &str = r#"(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

    /// Counts compilations.
    #[derive(Default)]
    struct Compiled(AtomicUsize);

    impl Progress for Compiled {
        fn compiling(&self, _: &str, _: usize) -> Box<dyn std::any::Any> {
            self.0.fetch_add(1, SeqCst);
            Box::new(())
        }
    }

    fn artifacts(text: &str) -> [Artifact; 2] {
        let bytes = wat::parse_str(text).unwrap();
        ["one.wasm", "other.wasm"].map(|name| Artifact::from_bytes(name, bytes.clone()).unwrap())
    }

    fn engine() -> Arc<Engine> {
        Engine::new(&EngineConfig::service(Limits { memory: 1 << 20, ..Limits::for_service() }, 2), None)
    }

    #[test]
    fn the_same_bytes_share_their_code_on_each_tier() {
        let (engine, compiled) = (engine(), Compiled::default());
        let quick = artifacts(ADD).map(|artifact| engine.prepare(&artifact, Some(&compiled)).unwrap());
        assert!(Arc::ptr_eq(&quick[0].code, &quick[1].code));
        assert_eq!(compiled.0.load(SeqCst), 1);
        let another = engine.prepare(&artifacts(&ADD.replace("add", "sub"))[0], None).unwrap();
        assert!(!Arc::ptr_eq(&another.code, &quick[0].code));

        let pairs = artifacts(ADD).into_iter().zip(&quick);
        let good: Vec<_> = pairs.map(|(artifact, quick)| engine.optimise(&artifact, quick).unwrap()).collect();
        assert!(Arc::ptr_eq(&good[0].code, &good[1].code) && !Arc::ptr_eq(&good[0].code, &quick[0].code));
        assert!(quick.iter().all(|quick| engine.can_optimise(quick)));
        // A later component has the better code at once.
        let later = engine.prepare(&artifacts(ADD)[0], Some(&compiled)).unwrap();
        assert!(Arc::ptr_eq(&later.code, &good[0].code) && !engine.can_optimise(&later));
        assert_eq!(compiled.0.load(SeqCst), 1);
    }

    #[test]
    fn optimised_code_takes_the_place_of_quick_code() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("code"), 1 << 30).unwrap();
        let config = EngineConfig::service(Limits { memory: 1 << 20, ..Limits::for_service() }, 2);
        let engine = Engine::new(&config, Some(cache.clone()));
        let [artifact, _] = artifacts(ADD);
        let quick = engine.prepare(&artifact, None).unwrap();
        let entry = |prepared: &Prepared| cache.get(&artifact.code, prepared.code.tier.hash);
        assert!(entry(&quick).is_some());
        let good = engine.optimise(&artifact, &quick).unwrap();
        assert!(entry(&quick).is_none() && entry(&good).is_some());
        // Another process starts with the optimised code.
        let later = Engine::new(&config, Some(cache.clone())).prepare(&artifact, None).unwrap();
        assert_eq!((later.code.tier.calls, later.code.tier.compiler), (CallModel::Serial, Compiler::Optimising));
    }

    /// The next process does not try the baseline compiler again, which may fail late.
    #[test]
    fn code_that_baseline_cannot_compile_is_compiled_once_for_a_command() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(&dir.path().join("code"), 1 << 30).unwrap();
        let calls_last = ADD.replace("(module", "(module (func $again (return_call $again))");
        let [artifact, _] = artifacts(&calls_last);
        let start = |expected: usize, is_unfit: bool| {
            let engine = Engine::new(&EngineConfig::command(Limits::for_command()), Some(cache.clone()));
            let compiled = Compiled::default();
            let prepared = engine.prepare(&artifact, Some(&compiled)).unwrap();
            assert_eq!((compiled.0.load(SeqCst), prepared.unfit_for_baseline().is_some()), (expected, is_unfit));
        };
        start(2, true);
        start(0, false);
    }

    /// Components that share the code were not compiled slowly themselves.
    #[test]
    fn code_that_baseline_cannot_compile_is_shared_too() {
        let (engine, compiled) = (engine(), Compiled::default());
        let calls_last = ADD.replace("(module", "(module (func $again (return_call $again))");
        let prepared = artifacts(&calls_last).map(|artifact| engine.prepare(&artifact, Some(&compiled)).unwrap());
        assert!(Arc::ptr_eq(&prepared[0].code, &prepared[1].code));
        assert_eq!(prepared.map(|prepared| prepared.unfit_for_baseline().is_some()), [true, false]);
        assert_eq!(compiled.0.load(SeqCst), 2, "by the baseline compiler, and by the one that can");
    }

    #[test]
    fn code_goes_with_the_last_who_has_it() {
        let engine = engine();
        let [one, other] = artifacts(ADD).map(|artifact| engine.prepare(&artifact, None).unwrap());
        let code = Arc::downgrade(&one.code);
        drop(one);
        assert!(code.upgrade().is_some());
        drop(other);
        assert!(code.upgrade().is_none());
        let next = engine.prepare(&artifacts(&ADD.replace("add", "sub"))[0], None).unwrap();
        assert_eq!(
            engine.tier(CallModel::Serial, next.code.tier.compiler).unwrap().count(),
            1,
            "nothing is left of what is gone"
        );
    }
}
