//! The configuration of wasmtime, all in one place.

use crate::compile::worker_program::CompileWorker;
use crate::component::artifact::Artifact;
use crate::component::concurrency::ASYNC;
use crate::component::imports::has_import;
use crate::failure::error::LoadError;
use crate::scheduler::interrupt;
use walnut_policy::{Limit, Limits};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, RegallocAlgorithm, Strategy,
    WasmBacktraceDetails, WasmFeatures,
};

/// Configuration of an engine. Settings that affect compiled code are the same in every variant, so
/// that all share one cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Compilers of the engine.
    pub tiers: Tiers,
    /// Sandboxes that run at once: one for a command, many for a service.
    pub sandboxes: u32,
    /// Limits that determine the sizes of pools and stacks.
    pub limits: Limits,
    /// Whether compiled code checks the limits on time. The code of a command need not, where it
    /// can be stopped from outside.
    pub checks_time: bool,
    /// Program that compiles with the slower compilers; without it, this process does.
    pub worker: Option<CompileWorker>,
}

impl EngineConfig {
    /// Returns the configuration for one command: memory is allocated on demand.
    pub fn command(limits: Limits) -> Self {
        EngineConfig { tiers: Tiers::Both, sandboxes: 1, limits, checks_time: !interrupt::IS_SUPPORTED, worker: None }
    }

    /// Adapts the configuration of a command to its artifact. The host keeps messages of HTTP for a
    /// guest, and measures them when the guest's code checks its time.
    pub fn for_artifact(self, artifact: &Artifact) -> Self {
        let keeps_messages = has_import(artifact, |name| name.starts_with("wasi:http/"));
        EngineConfig { checks_time: self.checks_time || keeps_messages, ..self }
    }

    /// Returns the configuration for a service: slots for `sandboxes` are reserved, so that a
    /// sandbox starts in microseconds.
    pub fn service(limits: Limits, sandboxes: u32) -> Self {
        EngineConfig { tiers: Tiers::Both, sandboxes: sandboxes.max(2), limits, checks_time: true, worker: None }
    }

    /// Returns whether sandboxes come and go, and share their threads.
    pub(crate) fn is_service(&self) -> bool {
        self.sandboxes > 1
    }

    pub(crate) fn engine(&self, calls: CallModel, compiler: Compiler) -> Result<wasmtime::Engine, LoadError> {
        let mut config = compiler.config(self.checks_time);
        calls.configure(&mut config);
        let bounds = &Limit::Stack.definition().bounds;
        let stack = usize::try_from(self.limits.stack.clamp(*bounds.start(), *bounds.end())).unwrap_or(usize::MAX);
        // Baseline frames are larger, and a program that fits when optimised has to fit before.
        let stack = stack * compiler.frames();
        // An image of memory is a file in memory, whose size the system may limit.
        config.memory_init_cow(may_have_images());
        // A fiber holds the guest's stack and the host calls made from it.
        config.max_wasm_stack(stack);
        config.async_stack_size(stack + (1 << 20));
        if self.is_service() {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(self.pool(calls)));
        }
        wasmtime::Engine::new(&config).map_err(|e| LoadError::Engine(format!("{e:#}")))
    }

    fn pool(&self, calls: CallModel) -> PoolingAllocationConfig {
        let mut pool = PoolingAllocationConfig::new();
        // A replaced sandbox may hold its place for a moment after its successor has started.
        let n = self.sandboxes + self.sandboxes / 8 + 4;
        let memory = usize::try_from(self.limits.memory).unwrap_or(usize::MAX).min(4 << 30);
        let stacks = match calls {
            CallModel::Serial => n,
            // A call between components of a composition may need a stack of its own. The system
            // keeps two mappings for each stack, of 65,000 per process.
            CallModel::Concurrent => n.saturating_mul(4).min(n.max(MAX_STACKS)),
        };
        pool.total_component_instances(n)
            // Instances are only counted, so there may be as many as all sandboxes could have.
            .total_core_instances(n.saturating_mul(MAX_INSTANCES))
            // There is always room for one sandbox of the largest kind, with its successor.
            .total_memories(n.saturating_mul(MEMORIES).max(2 * MAX_MEMORIES))
            .total_tables(n.saturating_mul(TABLES).max(2 * MAX_TABLES))
            .total_stacks(stacks)
            .total_gc_heaps(n)
            .max_memory_size(memory)
            .max_core_instances_per_component(MAX_INSTANCES)
            .max_memories_per_component(MAX_MEMORIES)
            .max_tables_per_component(MAX_TABLES)
            .table_elements(100_000)
            .linear_memory_keep_resident(1 << 20)
            .table_keep_resident(64 << 10)
            .async_stack_keep_resident(64 << 10)
            .pagemap_scan(Enabled::Auto);
        pool
    }
}

/// Returns whether files may be large enough for images of memory.
fn may_have_images() -> bool {
    #[cfg(unix)]
    {
        const ENOUGH: u64 = 4 << 30;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        limit.is_none_or(|limit| limit >= ENOUGH)
    }
    #[cfg(not(unix))]
    true
}

/// Bounds of one component.
const MAX_INSTANCES: u32 = 64;
const MAX_MEMORIES: u32 = 16;
const MAX_TABLES: u32 = 64;

/// Number of stacks beyond those of the slots.
const MAX_STACKS: u32 = 8_000;

/// Memories and tables per slot. A sandbox with more takes the room of several.
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;

/// Returns how many sandboxes with these memories and tables fit into the room of `sandboxes`; at
/// least one.
pub(crate) fn fitting(sandboxes: u32, memories: u32, tables: u32) -> u32 {
    let fit = |room: u32, each: u32| sandboxes.saturating_mul(room) / each.max(1);
    sandboxes.min(fit(MEMORIES, memories)).min(fit(TABLES, tables)).max(1)
}

/// Compilers of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiers {
    /// Baseline code first, optimised code later.
    Both,
    /// Baseline code only.
    Baseline,
    /// Optimised code only; a cold start waits for it.
    Optimised,
}

/// Kind of calls between a component and the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallModel {
    /// A call at a time, as before WASI 0.3. No state is kept of calls under way, which makes a
    /// fresh sandbox per request a third cheaper.
    Serial,
    /// The component model's async: tasks, streams and futures.
    Concurrent,
}

impl CallModel {
    pub fn configure(self, config: &mut Config) {
        match self {
            CallModel::Serial => config.wasm_features(ASYNC, false).concurrency_support(false),
            CallModel::Concurrent => config
                .wasm_component_model_async(true)
                .wasm_features(WasmFeatures::CM_ASYNC_STACKFUL | WasmFeatures::CM_MORE_ASYNC_BUILTINS, true),
        };
    }
}

/// A compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// Winch: compiles in one pass; its code is several times slower.
    Baseline,
    /// Cranelift without optimisation, for features that Winch lacks: exceptions, tail calls, GC.
    /// Compiles half as fast as it could.
    Plain,
    /// Cranelift with all optimisations.
    Optimising,
}

impl Compiler {
    /// Returns the approximate size of its frames relative to optimised ones.
    fn frames(self) -> usize {
        match self {
            Compiler::Baseline | Compiler::Plain => 2,
            Compiler::Optimising => 1,
        }
    }

    /// Returns the settings that affect compiled code.
    pub fn config(self, checks_time: bool) -> Config {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .wasm_memory64(true)
            .epoch_interruption(checks_time)
            // File and line in the explanation of a trap, if the artifact carries DWARF.
            .wasm_backtrace_details(WasmBacktraceDetails::Enable)
            .memory_init_cow(true);
        if self == Compiler::Baseline {
            config.strategy(Strategy::Winch);
            return config;
        }
        config
            .strategy(Strategy::Cranelift)
            .wasm_gc(true)
            .wasm_function_references(true)
            .wasm_exceptions(true)
            .wasm_tail_call(true);
        match self {
            Compiler::Optimising => config.cranelift_opt_level(OptLevel::Speed),
            _ => config.cranelift_opt_level(OptLevel::None).cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass),
        };
        config
    }
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn many_memories_or_tables_take_the_room_of_several_sandboxes() {
        assert_eq!([fitting(100, 0, 0), fitting(100, 1, 1), fitting(100, 2, 4)], [100; 3]);
        assert_eq!([fitting(100, 3, 1), fitting(100, 12, 1), fitting(100, 1, 40)], [66, 16, 10]);
        assert_eq!(fitting(1, 16, 64), 1);
    }
}
