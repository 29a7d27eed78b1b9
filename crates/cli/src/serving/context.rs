//! State that start-up and reloads share.

use crate::audit::ServerAudit;
use crate::compiler;
use crate::error::{CommandError, of_system};
use crate::exit::ExitReason;
use crate::gate::{warn_of_allow_all, warn_of_unset};
use crate::printer::Printer;
use crate::serving::front_door::ServeFrontDoor;
use crate::settings::ServeSettings;
use std::sync::Arc;
use walnut_host::{App, Deployment, Loader, LoaderConfig, Node, manifest_of};

/// State of a serving process.
pub struct ServeContext {
    pub settings: ServeSettings,
    pub node: Arc<Node>,
    pub printer: Printer,
    pub loader: Loader,
    audit: Option<ServerAudit>,
}

impl ServeContext {
    /// Creates the state, with a loader of apps for `node`.
    pub fn new(settings: ServeSettings, node: Arc<Node>, printer: Printer, audit: Option<ServerAudit>) -> Arc<Self> {
        let config = LoaderConfig {
            tiers: settings.tiers,
            worker: compiler::worker(),
            node_sandboxes: settings.node_sandboxes,
            defaults: settings.defaults.clone(),
            policy: settings.grants.policy.clone(),
        };
        let (is_quiet, is_json) = (settings.grants.is_quiet, settings.is_json());
        let front_door = Arc::new(ServeFrontDoor { printer, is_quiet, is_json, audit: audit.clone() });
        let loader = Loader::new(node.clone(), config, front_door);
        Arc::new(ServeContext { settings, node, printer, loader, audit })
    }

    /// Loads all targets, on a thread that may block. The audit file is opened anew, so that it can
    /// be moved away.
    pub async fn load(
        self: &Arc<Self>,
        previous: Option<Arc<Deployment>>,
    ) -> Result<(Deployment, Vec<App>), CommandError> {
        let context = self.clone();
        let load = move || context.load_now(previous.as_deref());
        tokio::task::spawn_blocking(load).await.map_err(|e| of_system("preparing the apps", &e))?
    }

    fn load_now(&self, previous: Option<&Deployment>) -> Result<(Deployment, Vec<App>), CommandError> {
        let ServeContext { settings, printer, .. } = self;
        self.check_grants()?;
        self.audit.iter().for_each(ServerAudit::reopen);
        warn_of_allow_all(&settings.grants.policy, *printer);
        let loaded = self.loader.load(&settings.targets, previous)?;
        // A manifest's variables are checked by the loader, with their place in the manifest.
        warn_of_unset(&settings.grants.policy, *printer);
        Ok(loaded)
    }

    /// Refuses grants on the command line for an app: its manifest has the grants of each
    /// component.
    pub fn check_grants(&self) -> Result<(), CommandError> {
        let ServeSettings { grants, targets, .. } = &self.settings;
        if !grants.has_rules || !targets.iter().any(|target| manifest_of(target).is_some()) {
            return Ok(());
        }
        let message = "grants on the command line apply to a component by itself, not to an app";
        let hint = "write them in the app's walnut.toml, under the component that needs them";
        Err(CommandError::new(ExitReason::Usage, message).hint(hint))
    }

    /// Returns whether `error` may be fixed while this process waits for it. Flags stay what they
    /// are.
    pub fn may_be_fixed(&self, error: &CommandError) -> bool {
        self.settings.watches && error.reason() != ExitReason::Usage
    }
}
