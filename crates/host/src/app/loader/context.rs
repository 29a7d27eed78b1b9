//! Configuration and shared state of a loader.

use crate::app::admission::AdmissionLimits;
use crate::app::loader::front_door::FrontDoor;
use crate::app::loader::inputs::Inputs;
use crate::app::loader::optimiser::Optimiser;
use crate::app::node::Node;
use std::sync::Arc;
use std::time::Duration;
use walnut_engine::{CompileWorker, Tiers};
use walnut_policy::{Limits, Policy};

/// Settings of components, used where their manifest has none of its own.
#[derive(Clone, Debug)]
pub struct ComponentDefaults {
    /// Limits of each sandbox.
    pub limits: Limits,
    /// Limits of admission.
    pub admission: AdmissionLimits,
    /// Requests that one sandbox of WASI 0.2 serves, one after another.
    pub reuse: u32,
}

/// Configuration of a loader.
#[derive(Clone, Debug)]
pub struct LoaderConfig {
    /// Choice between baseline and optimised code.
    pub tiers: Tiers,
    /// Program that compiles with the slower compilers.
    pub worker: Option<CompileWorker>,
    /// Sandboxes at once of all components together, as the node has it.
    pub node_sandboxes: u32,
    /// Settings of components.
    pub defaults: ComponentDefaults,
    /// Policy of a component that is served by itself, without a manifest.
    pub policy: Policy,
}

impl Default for LoaderConfig {
    /// The defaults of `walnut serve`.
    fn default() -> Self {
        let admission = AdmissionLimits { sandboxes: 100, queue: 1000, queue_timeout: Duration::from_secs(10) };
        LoaderConfig {
            tiers: Tiers::Both,
            worker: None,
            node_sandboxes: 1000,
            defaults: ComponentDefaults { limits: Limits::for_service(), admission, reuse: 1 },
            policy: Policy::sealed(),
        }
    }
}

/// State that the steps of loading share.
pub(crate) struct LoadContext {
    pub config: LoaderConfig,
    pub node: Arc<Node>,
    pub front_door: Arc<dyn FrontDoor>,
    pub inputs: Arc<Inputs>,
    pub optimiser: Optimiser,
}
