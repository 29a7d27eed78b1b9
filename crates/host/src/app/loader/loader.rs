//! The loader: reads, checks, compiles and links the apps that targets name.

use crate::app::app::App;
use crate::app::loader::conflicts;
use crate::app::loader::context::{LoadContext, LoaderConfig};
use crate::app::loader::draft::AppDraft;
use crate::app::loader::engine_sizing::EngineSizing;
use crate::app::loader::error::AppErrors;
use crate::app::loader::front_door::FrontDoor;
use crate::app::loader::inputs::Inputs;
use crate::app::loader::optimiser::Optimiser;
use crate::app::loader::summary::AppSummary;
use crate::app::loader::target::check_distinct;
use crate::app::node::Node;
use std::sync::Arc;
use walnut_engine::Engine;

/// Loads apps for a node, at the start and again for each reload.
pub struct Loader {
    context: LoadContext,
}

/// A version of the apps. The next load compares itself with it, and shares its engine if that has
/// the right size.
pub struct Deployment {
    engine: Arc<Engine>,
    sizing: EngineSizing,
    /// Summaries of the apps, in the order of their targets.
    pub summaries: Vec<AppSummary>,
}

impl Loader {
    /// Creates a loader of apps that `node` will serve.
    pub fn new(node: Arc<Node>, config: LoaderConfig, front_door: Arc<dyn FrontDoor>) -> Self {
        let optimiser = Optimiser::start(front_door.clone());
        Loader { context: LoadContext { config, node, front_door, inputs: Arc::default(), optimiser } }
    }

    /// Loads every target: a component (a file, or `-` for standard input), a manifest, or a folder
    /// with one. Shares with `previous` the engine, and so compiled code and pools, if its size
    /// fits. Blocks while it reads and compiles.
    ///
    /// # Errors
    /// When anything is wrong with any app. All errors of all apps are returned at once: what could
    /// be read is compiled all the same, and the code is kept for the next start.
    pub fn load(&self, targets: &[String], previous: Option<&Deployment>) -> Result<(Deployment, Vec<App>), AppErrors> {
        let context = &self.context;
        check_distinct(targets)?;
        context.inputs.begin();
        let mut drafts: Vec<_> = targets.iter().map(|target| AppDraft::read(target, targets, context)).collect();
        conflicts::check(&mut drafts);
        let sizing = EngineSizing::of(&drafts, &context.config);
        // An engine of another size has pools that do not fit. In one of the same size, requests
        // that are still running in the previous version hold slots of the same pool.
        let engine = match previous.filter(|previous| previous.sizing == sizing) {
            Some(previous) => previous.engine.clone(),
            None => Engine::new(&sizing.engine, context.front_door.open_cache()),
        };
        if drafts.iter().any(AppDraft::has_errors) {
            AppErrors::collect(drafts.iter_mut().map(|draft| draft.check(&engine, context)))?;
        }
        let summaries = drafts.iter().map(AppSummary::of).collect();
        let apps = AppErrors::collect(drafts.into_iter().map(|draft| draft.deploy(&engine, context)))?;
        Ok((Deployment { engine, sizing, summaries }, apps))
    }

    /// Returns the files and folders that the latest load used, also one that failed.
    pub fn inputs(&self) -> &Arc<Inputs> {
        &self.context.inputs
    }
}
