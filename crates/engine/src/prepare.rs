//! From a compiled component to something that is ready to start: linked with a policy.

use crate::adapt;
use crate::capabilities::dir::Mounts;
use crate::capabilities::http::Pool;
use crate::engine::Tier;
use crate::error::LoadError;
use crate::gate::Gate;
use crate::inspect::World;
use crate::limits::Limits;
use crate::link;
use crate::packages::{Package, WASI_0_2, WASI_0_3};
use crate::sandbox::Sandbox;
use crate::stdio::Stdio;
use crate::turns::Party;
use crate::usage::Usage;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Component, InstancePre};

/// A compiled component.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) tier: Arc<Tier>,
    pub(crate) component: Component,
    pub(crate) name: String,
    pub(crate) worlds: Vec<World>,
    /// Whether it was a module of WASI 0.1.
    pub(crate) adapted: bool,
    pub(crate) unfit: Option<String>,
}

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
    /// How long a sandbox is kept that waits for requests.
    pub(crate) idle: Duration,
    pub(crate) mounts: Arc<Mounts>,
    /// Outbound connections that wait for the next request: the component's own, since nobody shares its setup.
    pub(crate) pool: Arc<Pool>,
    /// The version of WASI by which the component asks for things.
    pub(crate) version: &'static str,
    /// Whose turn it is when its guests run.
    pub(crate) party: Party,
}

impl Setup {
    /// Opens the mounts of the gate's policy.
    pub fn new(gate: Gate, limits: Limits, stdio: Stdio, may_block: bool) -> Result<Self, LoadError> {
        let mounts = Mounts::open(gate.policy(), may_block)?;
        let (args, env, usage, pool) = (Vec::new(), Vec::new(), None, Arc::default());
        let (version, party) = (WASI_0_2, Party::new());
        Ok(Setup { gate, limits, stdio, args, env, may_block, usage, idle: IDLE, mounts, pool, version, party })
    }
}

/// A component linked with its policy: what is left is to make sandboxes.
#[derive(Clone)]
pub struct Ready {
    pub(crate) tier: Arc<Tier>,
    pub(crate) pre: InstancePre<Sandbox>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) name: String,
    pub(crate) worlds: Vec<World>,
}

impl Prepared {
    /// Why the baseline compiler could not compile it, so that a slower one did.
    pub fn unfit_for_baseline(&self) -> Option<&str> {
        self.unfit.as_deref()
    }

    /// Links the component with what it gets.
    pub fn ready(&self, mut setup: Setup) -> Result<Ready, LoadError> {
        if self.adapted {
            adapt::check_start(&self.name, &setup.args, &setup.env)?;
        }
        let (engine, ty) = (&self.tier.wasmtime, self.component.component_type());
        if ty.imports(engine).any(|(name, _)| Package::of(name).is_some_and(|p| p.version == WASI_0_3)) {
            setup.version = WASI_0_3;
        }
        self.linked(Arc::new(setup))
    }

    /// Links the component with what it, or other code of it, has got already.
    pub(crate) fn linked(&self, setup: Arc<Setup>) -> Result<Ready, LoadError> {
        let (engine, ty) = (&self.tier.wasmtime, self.component.component_type());
        let linker = link::linker(engine, ty.imports(engine).map(|(name, _)| name))
            .map_err(|e| LoadError::Engine(format!("{e:#}")))?;
        let pre = linker.instantiate_pre(&self.component).map_err(|e| LoadError::WrongWorld {
            name: self.name.clone(),
            verb: "linked",
            reason: format!("{:#}", e),
            hint: "it was built for another version of an interface; rebuild it with a toolchain for WASI 0.2 or the final 0.3".into(),
        })?;
        Ok(Ready { tier: self.tier.clone(), pre, setup, name: self.name.clone(), worlds: self.worlds.clone() })
    }
}

impl Setup {
    /// Tells of a sandbox that is ready, and that began to be made at `began`.
    pub(crate) fn started(&self, began: Instant) {
        if let Some(usage) = &self.usage {
            usage.started(began.elapsed());
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
    pub async fn start_and_drop(&self) -> Result<(), crate::Failure> {
        let mut store = Sandbox::store(&self.tier.wasmtime, &self.setup);
        let started = self.pre.instantiate_async(&mut store).await;
        started.map(|_| ()).map_err(|e| crate::explain::failure(&e, &self.setup.limits))
    }
}
