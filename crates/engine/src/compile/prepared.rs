//! From compiled code to a component that is ready to start.

use crate::compile::code::LinkedCode;
use crate::compile::config;
use crate::component::adapt;
use crate::component::artifact::Artifact;
use crate::failure::error::{Failure, LoadError};
use crate::failure::explain;
use crate::failure::frames::GuestFrame;
use crate::sandbox::sandbox::Sandbox;
use crate::sandbox::setup::Setup;
use crate::scheduler::fair_queue::FlowId;
use std::sync::Arc;
use walnut_policy::units::size;

/// A compiled component.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) code: Arc<LinkedCode>,
    name: String,
    artifact: Option<Arc<Artifact>>,
    unfit: Option<String>,
}

/// Bytes of a page of memory.
const PAGE: u64 = 64 << 10;

/// A component with its policy and limits, ready to make sandboxes.
#[derive(Clone)]
pub struct Ready {
    pub(crate) code: Arc<LinkedCode>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) name: String,
    /// The artifact, for the lines of a guest that is stopped from outside.
    artifact: Option<Arc<Artifact>>,
}

impl Prepared {
    pub(crate) fn new(code: Arc<LinkedCode>, artifact: &Artifact, unfit: Option<String>) -> Self {
        let (name, is_command) = (artifact.name.clone(), code.tier.ticker.is_none());
        Prepared { code, name, artifact: is_command.then(|| Arc::new(artifact.clone())), unfit }
    }

    /// Returns why the baseline compiler could not compile it, so that a slower compiler did.
    pub fn unfit_for_baseline(&self) -> Option<&str> {
        self.unfit.as_deref()
    }

    /// Returns how many of its sandboxes fit where there is room for `sandboxes` of the usual kind.
    /// The usual kind has at most 2 memories and 4 tables, which covers nearly everything compiled
    /// to one file; each part of a composition may have some.
    pub fn fitting(&self, sandboxes: u32) -> u32 {
        let needs = self.code.needs.as_ref().map(|needs| (needs.num_memories, needs.num_tables));
        let (memories, tables) = needs.unwrap_or_default();
        config::fitting(sandboxes, memories, tables)
    }

    /// Combines the code with `setup`.
    ///
    /// # Errors
    /// A component whose memory exceeds its limit, or whose arguments do not fit a program of WASI
    /// 0.1.
    pub fn ready(&self, mut setup: Setup) -> Result<Ready, LoadError> {
        // An engine for several components has room for the largest, so the limit of this one is
        // checked here.
        let pages = self.code.needs.as_ref().and_then(|needs| needs.max_initial_memory_size).unwrap_or(0);
        let memory = pages.saturating_mul(PAGE);
        if memory > setup.limits.memory {
            return Err(LoadError::Memory { name: self.name.clone(), needs: size(memory) });
        }
        if self.code.adapted {
            adapt::check_start(&self.name, &setup.args, &setup.env)?;
        }
        setup.version = self.code.version;
        if let Some(usage) = &setup.usage_observer {
            setup.flow = FlowId::of(usage);
        }
        Ok(self.with(Arc::new(setup)))
    }

    /// Combines the code with a setup that the component, or other code of it, has already.
    pub(crate) fn with(&self, setup: Arc<Setup>) -> Ready {
        Ready { code: self.code.clone(), setup, name: self.name.clone(), artifact: self.artifact.clone() }
    }
}

impl Ready {
    /// Removes what would outlive the process, and leaves the rest to the system. Freeing
    /// everything takes longer than a small guest runs.
    pub fn leave_to_system(self) {
        self.setup.mounts.remove_root();
        let _ = std::mem::ManuallyDrop::new(self);
    }

    /// Returns the functions at these offsets of the compiled code, with their source lines.
    pub(crate) fn frames(&self, offsets: &[usize]) -> Vec<GuestFrame> {
        let component = self.artifact.as_ref().and_then(|artifact| adapt::to_component(artifact).ok());
        self.code.frames(offsets, component.as_deref().unwrap_or_default())
    }

    /// Starts a sandbox and drops it: the cost of every fresh start.
    pub async fn start_and_drop(&self) -> Result<(), Failure> {
        let mut store = Sandbox::store(&self.code.tier.wasmtime, &self.setup);
        let started = self.code.pre.instantiate_async(&mut store).await;
        started.map(|_| ()).map_err(|e| explain::failure(&e, &self.setup.limits))
    }
}
