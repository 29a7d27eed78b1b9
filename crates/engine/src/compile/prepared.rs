//! From a compiled component to something that is ready to start: linked with a policy.

use crate::capabilities::dir::dir::Mounts;
use crate::capabilities::dns::lookups::Lookups;
use crate::capabilities::http::pool::Pool;
use crate::compile::config;
use crate::compile::engine::Tier;
use crate::component::adapt;
use crate::component::artifact::Artifact;
use crate::component::inspect::{self, World};
use crate::component::wasi::{Package, WASI_0_2, WASI_0_3};
use crate::failure::error::{Failure, LoadError};
use crate::gate::gate::Gate;
use crate::limits::{Limit, Limits, size};
use crate::linker;
use crate::observer::{Excess, Usage};
use crate::sandbox::sandbox::Sandbox;
use crate::sandbox::stdio::Stdio;
use crate::scheduler::offload::Habit;
use crate::scheduler::turns::Party;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::ResourcesRequired;
use wasmtime::component::{Component, InstancePre};

/// The code of a component, linked with everything that there is. All who run the same bytes on the same tier share it: what
/// each of them may do and use is in its [`Setup`], which host functions find in the sandbox.
pub(crate) struct Code {
    pub tier: Arc<Tier>,
    pub pre: InstancePre<Sandbox>,
    pub worlds: Vec<World>,
    /// Whether it was a module of WASI 0.1.
    adapted: bool,
    /// What it has from the start, as far as that is known before.
    needs: Option<ResourcesRequired>,
    /// The version of WASI by which the component asks for things.
    version: &'static str,
}

/// A compiled component.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) code: Arc<Code>,
    name: String,
    unfit: Option<String>,
}

/// Bytes of a page of memory.
const PAGE: u64 = 64 << 10;

const IDLE: Duration = Duration::from_secs(10);

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
    /// Hears what it uses.
    pub usage: Option<Arc<dyn Usage>>,
    /// Hears of limits that it reaches and that do not end a sandbox.
    pub excess: Option<Excess>,
    /// How long a sandbox is kept that waits for requests.
    pub(crate) idle: Duration,
    pub(crate) mounts: Arc<Mounts>,
    /// Outbound connections that wait for the next request: the component's own, since nobody shares its setup.
    pub(crate) pool: Arc<Pool>,
    /// Look-ups of names that are under way, for whichever of its sandboxes.
    pub(crate) lookups: Arc<Lookups>,
    /// The version of WASI by which the component asks for things.
    pub(crate) version: &'static str,
    /// Whose turn it is when its guests run.
    pub(crate) party: Party,
    /// Whether its requests usually compute for long.
    pub(crate) habit: Arc<Habit>,
}

impl Setup {
    /// Opens the mounts of the gate's policy.
    pub fn new(gate: Gate, limits: Limits, stdio: Stdio, may_block: bool) -> Result<Self, LoadError> {
        let mounts = Mounts::open(gate.policy(), may_block)?;
        let (args, env, pool, habit) = (Vec::new(), Vec::new(), Arc::default(), Arc::default());
        let (usage, excess, idle) = (None, None, IDLE);
        let (version, party) = (WASI_0_2, Party::new());
        Ok(Setup {
            gate,
            limits,
            stdio,
            args,
            env,
            may_block,
            usage,
            excess,
            idle,
            mounts,
            pool,
            lookups: Arc::default(),
            version,
            party,
            habit,
        })
    }
}

/// A component with its policy: what is left is to make sandboxes.
#[derive(Clone)]
pub struct Ready {
    pub(crate) code: Arc<Code>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) name: String,
}

impl Code {
    /// Checks that everything is there that the `component` of `artifact` imports, and links it.
    pub fn new(tier: &Arc<Tier>, component: &Component, artifact: &Artifact) -> Result<Self, LoadError> {
        let (engine, ty) = (&tier.wasmtime, component.component_type());
        let imports = || ty.imports(engine).map(|(name, _)| name);
        let missing: Vec<_> = imports().filter_map(linker::missing).collect();
        if !missing.is_empty() {
            return Err(LoadError::MissingImports { name: artifact.name.clone(), imports: missing });
        }
        let linker = linker::linker(engine, imports()).map_err(|e| LoadError::Engine(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(component).map_err(|e| LoadError::WrongWorld {
            name: artifact.name.clone(),
            verb: "linked",
            reason: format!("{:#}", e),
            hint: "it was built for another version of an interface; rebuild it with a toolchain for WASI 0.2 or the final 0.3".into(),
        })?;
        let is_0_3 = |name| Package::of(name).is_some_and(|p| p.version == WASI_0_3);
        Ok(Code {
            tier: tier.clone(),
            pre,
            worlds: inspect::worlds(ty.exports(engine).map(|(name, _)| name)),
            adapted: !adapt::is_component(artifact)?,
            needs: component.resources_required(),
            version: if imports().any(is_0_3) { WASI_0_3 } else { WASI_0_2 },
        })
    }
}

impl Prepared {
    pub(crate) fn new(code: Arc<Code>, artifact: &Artifact, unfit: Option<String>) -> Self {
        Prepared { code, name: artifact.name.clone(), unfit }
    }

    /// Why the baseline compiler could not compile it, so that a slower one did.
    pub fn unfit_for_baseline(&self) -> Option<&str> {
        self.unfit.as_deref()
    }

    /// How many sandboxes of it fit where there is room for `sandboxes` of the usual kind. The usual kind has at most 2 memories
    /// and 4 tables, and so have nearly all that one file was compiled to; of compositions each part may have some.
    pub fn fitting(&self, sandboxes: u32) -> u32 {
        let needs = self.code.needs.as_ref().map(|needs| (needs.num_memories, needs.num_tables));
        let (memories, tables) = needs.unwrap_or_default();
        config::fitting(sandboxes, memories, tables)
    }

    /// Gives the component what it gets.
    pub fn ready(&self, mut setup: Setup) -> Result<Ready, LoadError> {
        // An engine for several has room for the largest, which says nothing about this one.
        let pages = self.code.needs.as_ref().and_then(|needs| needs.max_initial_memory_size).unwrap_or(0);
        let memory = pages.saturating_mul(PAGE);
        if memory > setup.limits.memory {
            return Err(LoadError::Memory { name: self.name.clone(), needs: size(memory) });
        }
        if self.code.adapted {
            adapt::check_start(&self.name, &setup.args, &setup.env)?;
        }
        setup.version = self.code.version;
        if let Some(usage) = &setup.usage {
            setup.party = Party::of(usage);
        }
        Ok(self.with(Arc::new(setup)))
    }

    /// Gives the component what it, or other code of it, has got already.
    pub(crate) fn with(&self, setup: Arc<Setup>) -> Ready {
        Ready { code: self.code.clone(), setup, name: self.name.clone() }
    }
}

impl Setup {
    /// Tells of a sandbox that is ready, and that began to be made at `began`.
    pub(crate) fn started(&self, began: Instant) {
        if let Some(usage) = &self.usage {
            usage.started(began.elapsed());
        }
    }

    /// Tells that `limit` was reached, which ends no sandbox.
    pub(crate) fn exceeded(&self, limit: Limit) {
        if let Some(excess) = &self.excess {
            excess(&Failure::Limit { limit, value: limit.value(&self.limits), details: Vec::new() });
        }
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
    pub async fn start_and_drop(&self) -> Result<(), Failure> {
        let mut store = Sandbox::store(&self.code.tier.wasmtime, &self.setup);
        let started = self.code.pre.instantiate_async(&mut store).await;
        started.map(|_| ()).map_err(|e| crate::failure::explain::failure(&e, &self.setup.limits))
    }
}
