//! What the sandboxes of a component share: policy, limits, streams, connections.

use crate::capabilities::dir::dir::Mounts;
use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::http::context::HttpContext;
use crate::capabilities::http::pool::ConnectionPool;
use crate::component::wasi::WASI_0_2;
use crate::failure::error::{Failure, LoadError};
use crate::gate::gate::Gate;
use crate::limits::{Limit, Limits};
use crate::observer::{LimitObserver, LimitReporter, UsageObserver};
use crate::sandbox::stdio::Stdio;
use crate::scheduler::fair_queue::FlowId;
use crate::scheduler::meter::Meter;
use crate::scheduler::offload::LongRunHistory;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    pub usage_observer: Option<Arc<dyn UsageObserver>>,
    /// Hears of limits that it reaches and that do not end a sandbox.
    pub limit_observer: Option<LimitObserver>,
    /// How long a sandbox is kept that waits for requests.
    pub(crate) idle: Duration,
    pub(crate) mounts: Arc<Mounts>,
    /// Outbound connections that wait for the next request: the component's own, since nobody shares its setup.
    pub(crate) pool: Arc<ConnectionPool>,
    /// Look-ups of names that are under way, for whichever of its sandboxes.
    pub(crate) resolver: Arc<Resolver>,
    /// The version of WASI by which the component asks for things.
    pub(crate) version: &'static str,
    /// Whose turn it is when its guests run.
    pub(crate) flow: FlowId,
    /// Whether its requests usually compute for long.
    pub(crate) history: Arc<LongRunHistory>,
}

impl Setup {
    /// Opens the mounts of the gate's policy.
    pub fn new(gate: Gate, limits: Limits, stdio: Stdio, may_block: bool) -> Result<Self, LoadError> {
        let mounts = Mounts::open(gate.policy(), may_block)?;
        let (args, env, pool, history) = (Vec::new(), Vec::new(), Arc::default(), Arc::default());
        let (usage_observer, limit_observer, idle) = (None, None, IDLE);
        let (version, flow) = (WASI_0_2, FlowId::new());
        Ok(Setup {
            gate,
            limits,
            stdio,
            args,
            env,
            may_block,
            usage_observer,
            limit_observer,
            idle,
            mounts,
            pool,
            resolver: Arc::default(),
            version,
            flow,
            history,
        })
    }
}

impl Setup {
    /// Tells of a sandbox that is ready, and that began to be made at `began`.
    pub(crate) fn sandbox_started(&self, began: Instant) {
        if let Some(usage_observer) = &self.usage_observer {
            usage_observer.sandbox_started(began.elapsed());
        }
    }

    /// A meter with the time of one request.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Meter::new(&self.limits, self.usage_observer.clone(), self.flow, self.history.clone())
    }
}

impl LimitReporter for Setup {
    fn exceeded(&self, limit: Limit) {
        if let Some(limit_observer) = &self.limit_observer {
            limit_observer(&Failure::Limit { limit, value: limit.value(&self.limits), details: Vec::new() });
        }
    }
}

impl HttpContext for Setup {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn pool(&self) -> &Arc<ConnectionPool> {
        &self.pool
    }

    fn resolver(&self) -> &Resolver {
        &self.resolver
    }
}
