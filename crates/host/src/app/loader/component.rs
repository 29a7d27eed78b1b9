//! A component of an app, from its draft to a component that serves.

use crate::app::admission::AdmissionLimits;
use crate::app::app::DeployedComponent;
use crate::app::loader::context::LoadContext;
use crate::app::loader::front_door::FrontDoor;
use crate::app::loader::notices::{LimitNotices, Notice};
use crate::app::loader::optimiser::OptimiserJob;
use crate::telemetry::ComponentMetrics;
use std::sync::Arc;
use walnut_engine::{
    Artifact, Engine, Failure, Gate, Listener, LoadError, OutputLine, Prepared, RequestId, Service, Setup, Stdio,
};
use walnut_manifest::SourceSpan;
use walnut_policy::{Limits, Policy};

/// A component as its app describes it.
pub(crate) struct ComponentDraft {
    /// Name within the app.
    pub name: String,
    /// Name in messages: `app/component`, or the file of a component by itself.
    pub title: String,
    /// Position of its `source` in the manifest.
    pub place: SourceSpan,
    pub artifact: Artifact,
    pub policy: Policy,
    pub limits: Limits,
    pub admission: AdmissionLimits,
    /// Requests that one sandbox of WASI 0.2 serves.
    pub reuse: u32,
}

impl ComponentDraft {
    /// Describes the grants, in words.
    pub(crate) fn grants(&self) -> Vec<String> {
        match self.policy.summary() {
            _ if self.policy.allows_all() => vec!["it may do everything".to_owned()],
            none if none.is_empty() => vec!["sealed: it may do nothing but answer".to_owned()],
            grants => grants,
        }
    }

    /// Checks that the component could be served, without opening its folders or counting anything.
    /// Its code is kept for the next start.
    pub(crate) fn check(&self, engine: &Arc<Engine>, context: &LoadContext) -> Result<(), LoadError> {
        let prepared = engine.prepare(&self.artifact, context.front_door.progress())?;
        let gate = Gate::new(&self.title, Policy::sealed(), Vec::new());
        let setup = Setup::new(gate, self.limits.clone(), Stdio::Lines(Arc::new(|_| {})), false)?;
        Service::new(prepared.ready(setup)?, self.reuse, |_, _| {})?;
        Ok(())
    }

    /// Compiles and links the component as a part of `app`.
    pub(crate) fn deploy(
        self,
        app: &str,
        engine: &Arc<Engine>,
        context: &LoadContext,
    ) -> Result<Arc<DeployedComponent>, LoadError> {
        let front_door = &context.front_door;
        let baseline = engine.prepare(&self.artifact, front_door.progress())?;
        if let Some(reason) = baseline.unfit_for_baseline() {
            front_door.notify(&Notice::slow_compilation(&self.title, reason));
        }
        let component = self.start(app, &baseline, context)?;
        if engine.can_optimise(&baseline) {
            let (engine, weak) = (engine.clone(), Arc::downgrade(&component));
            let ComponentDraft { artifact, title, .. } = self;
            context.optimiser.queue(OptimiserJob { engine, artifact, baseline, title, component: weak });
        }
        Ok(component)
    }

    fn start(
        &self,
        app: &str,
        prepared: &Prepared,
        context: &LoadContext,
    ) -> Result<Arc<DeployedComponent>, LoadError> {
        let (front_door, metrics) = (&context.front_door, context.node.component_metrics(app, &self.name));
        let setup = self.setup(&metrics, context)?;
        let (title, failures, told_to) = (self.title.clone(), metrics.clone(), front_door.clone());
        let report = move |failure: &Failure, request: Option<RequestId>| {
            failures.record_failure(failure);
            let of_request = request.map(|id| format!("it was request {id}"));
            told_to.notify(&Notice::failure(&title, failure).details(of_request));
        };
        let service = Service::new(prepared.ready(setup)?, self.reuse, report)?;
        let admission = context.node.admission(&metrics, self.fitting_admission(prepared, &**front_door));
        Ok(DeployedComponent::new(&self.name, service, self.grants(), admission, metrics))
    }

    fn setup(&self, metrics: &Arc<ComponentMetrics>, context: &LoadContext) -> Result<Setup, LoadError> {
        let front_door = &context.front_door;
        let mut listeners: Vec<Arc<dyn Listener>> = vec![metrics.clone()];
        listeners.extend(front_door.listeners());
        let gate = Gate::new(&self.title, self.policy.clone(), listeners);
        let (title, output, own) = (self.title.clone(), front_door.clone(), metrics.clone());
        let telemetry = context.node.telemetry().cloned();
        let write = move |line: OutputLine<'_>| {
            output.write_output(&title, &own, line);
            if let Some(telemetry) = &telemetry {
                telemetry.line(&own, line);
            }
        };
        let mut setup = Setup::new(gate, self.limits.clone(), Stdio::Lines(Arc::new(write)), false)?;
        setup.args = vec![self.artifact.short_name().to_owned()];
        setup.env = env_values(&self.policy, &**front_door);
        setup.usage_observer = Some(metrics.clone());
        let (notices, own, told_to) = (LimitNotices::new(self.title.clone()), metrics.clone(), front_door.clone());
        setup.limit_observer = Some(Arc::new(move |failure| {
            own.record_failure(failure);
            if let Some(notice) = notices.first(failure) {
                told_to.notify(&notice);
            }
        }));
        Ok(setup)
    }

    /// Lowers the number of sandboxes of a component that has many memories or tables, so that it
    /// does not take the room of other components in the engine.
    fn fitting_admission(&self, prepared: &Prepared, front_door: &dyn FrontDoor) -> AdmissionLimits {
        let sandboxes = prepared.fitting(self.admission.sandboxes);
        if sandboxes < self.admission.sandboxes {
            let (title, wanted) = (&self.title, self.admission.sandboxes);
            let message = format!(
                "{title} has many memories or tables, so only {sandboxes} sandboxes of it run at once, not {wanted}"
            );
            let hint = "if that is too few, raise `sandboxes`";
            front_door.notify(&Notice::warning(message).hint(hint));
        }
        AdmissionLimits { sandboxes, ..self.admission }
    }
}

/// Returns the variables that `policy` grants, with their values.
fn env_values(policy: &Policy, front_door: &dyn FrontDoor) -> Vec<(String, String)> {
    let granted = policy.env().iter();
    let value = |name: &str| front_door.variable(name).ok();
    let granted: Vec<_> = granted
        .filter_map(|grant| Some((grant.name.clone(), grant.value.clone().or_else(|| value(&grant.name))?)))
        .collect();
    if !policy.allows_all() {
        return granted;
    }
    let rest = front_door.variables().into_iter().filter(|(name, _)| granted.iter().all(|(other, _)| other != name));
    let rest: Vec<_> = rest.collect();
    granted.into_iter().chain(rest).collect()
}
