//! State that the sandboxes of a component share: policy, limits, streams, connections.

use crate::capabilities::dir::mounts::Mounts;
use crate::capabilities::dns::resolver::Resolver;
use crate::capabilities::http::context::HttpContext;
use crate::capabilities::http::pool::ConnectionPool;
use crate::component::wasi::WASI_0_2;
use crate::failure::error::{Failure, LoadError};
use crate::gate::gate::Gate;
use crate::observer::{LimitObserver, LimitReporter, UsageObserver};
use crate::sandbox::stdio::Stdio;
use crate::scheduler::fair_queue::FlowId;
use crate::scheduler::meter::Meter;
use crate::scheduler::offload::LongRunHistory;
use std::sync::Arc;
use std::time::{Duration, Instant};
use walnut_policy::{Limit, Limits};

const IDLE: Duration = Duration::from_secs(10);

/// Everything that a component gets when it starts.
pub struct Setup {
    /// Decides what the component may do.
    pub gate: Gate,
    /// Limits of each sandbox.
    pub limits: Limits,
    /// Destination of the standard streams.
    pub stdio: Stdio,
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Values of environment variables. The gate decides which of them a guest sees.
    pub env: Vec<(String, String)>,
    /// Whether file operations may block the thread, as where a guest has it to itself.
    pub may_block: bool,
    /// Observes what the sandboxes use.
    pub usage_observer: Option<Arc<dyn UsageObserver>>,
    /// Observes limits that were reached without ending a sandbox.
    pub limit_observer: Option<LimitObserver>,
    /// Time for which a sandbox without requests is kept.
    pub(crate) idle: Duration,
    pub(crate) mounts: Arc<Mounts>,
    /// Idle outbound connections. They belong to this component alone.
    pub(crate) pool: Arc<ConnectionPool>,
    /// Name lookups of all its sandboxes.
    pub(crate) resolver: Arc<Resolver>,
    /// Version of WASI that the component imports.
    pub(crate) version: &'static str,
    /// Flow of its guests in the scheduler.
    pub(crate) flow: FlowId,
    /// Whether its requests are usually long-running.
    pub(crate) history: Arc<LongRunHistory>,
}

impl Setup {
    /// Creates a setup and opens the mounts of the gate's policy.
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
    /// Tells the observer of a sandbox whose start began at `began`.
    pub(crate) fn sandbox_started(&self, began: Instant) {
        if let Some(usage_observer) = &self.usage_observer {
            usage_observer.sandbox_started(began.elapsed());
        }
    }

    /// Creates a meter with the budget of one request.
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
