//! One component of an app: from its description to what answers.

use super::Setting;
use crate::error::CommandError;
use crate::limits::said_once;
use crate::printer::Printer;
use crate::progress::{Terminal, unfit};
use std::sync::Arc;
use walnut_engine::{Artifact, Engine, Failure, Gate, Limits, OutputLine, Prepared, RequestId, Service, Setup, Stdio};
use walnut_host::{DeployedComponent, guest_line};
use walnut_manifest::Place;
use walnut_policy::Policy;

/// A component as it is described.
pub struct Component {
    /// Its name in the app.
    pub name: String,
    /// What it is called in a log: `app/component`, or the file.
    pub title: String,
    /// Where a manifest names its file.
    pub place: Place,
    pub artifact: Artifact,
    pub policy: Policy,
    pub limits: Limits,
    pub admission: walnut_host::AdmissionLimits,
    /// Requests that one sandbox of WASI 0.2 takes.
    pub reuse: u32,
}

impl Component {
    /// What it may do, in words.
    pub fn grants(&self) -> Vec<String> {
        match self.policy.summary() {
            _ if self.policy.allows_all() => vec!["it may do everything".to_owned()],
            none if none.is_empty() => vec!["sealed: it may do nothing but answer".to_owned()],
            grants => grants,
        }
    }

    /// Whether it could be served, for an app that will not be: without its folders, and counted nowhere. What is compiled
    /// for that is kept for the next start.
    pub fn try_out(&self, engine: &Arc<Engine>) -> Result<(), CommandError> {
        let prepared = engine.prepare(&self.artifact, Some(&Terminal))?;
        let gate = Gate::new(&self.title, Policy::sealed(), Vec::new());
        let setup = Setup::new(gate, self.limits.clone(), Stdio::Lines(Arc::new(|_| {})), false)?;
        Service::new(prepared.ready(setup)?, self.reuse, |_, _| {})?;
        Ok(())
    }

    /// Compiles and links it as a part of `app`.
    pub fn prepare(
        self,
        app: &str,
        engine: &Arc<Engine>,
        setting: &Setting,
    ) -> Result<Arc<DeployedComponent>, CommandError> {
        let prepared = engine.prepare(&self.artifact, Some(&Terminal))?;
        if let Some(reason) = prepared.unfit_for_baseline() {
            setting.printer.say(&unfit(&self.title, reason));
        }
        let hosted = self.host(app, &prepared, setting)?;
        if engine.can_optimise(&prepared) {
            setting.optimiser.later(engine, self.artifact, prepared, self.title, &hosted);
        }
        Ok(hosted)
    }

    /// How it takes requests, so that others have the room in the engine that is theirs.
    fn fitting(&self, prepared: &Prepared, printer: Printer) -> walnut_host::AdmissionLimits {
        let sandboxes = prepared.fitting(self.admission.sandboxes);
        if sandboxes < self.admission.sandboxes {
            let Component { title, admission, .. } = self;
            let most = admission.sandboxes;
            printer.warning(&format!(
                "{title} takes the room of several: {sandboxes} sandboxes of it run at once, not {most}"
            ));
            printer.hint("each has many memories or tables; where that is too few, raise `sandboxes`");
        }
        walnut_host::AdmissionLimits { sandboxes, ..self.admission }
    }

    fn host(&self, app: &str, prepared: &Prepared, setting: &Setting) -> Result<Arc<DeployedComponent>, CommandError> {
        let Setting { args, node, printer, audit, .. } = setting;
        let (printer, metrics) = (*printer, node.component_metrics(app, &self.name));
        let gate = args.grants.gate_of(&self.title, self.policy.clone(), metrics.clone(), audit.as_ref(), printer);
        let (title, is_json) = (self.title.clone(), args.logs_json());
        let (telemetry, by) = (node.telemetry().cloned(), metrics.clone());
        let say = move |line: OutputLine<'_>| {
            if is_json {
                printer.guest_text(&guest_line(&by, line), line.is_stderr);
            } else {
                printer.guest_line(&title, line);
            }
            if let Some(telemetry) = &telemetry {
                telemetry.line(&by, line);
            }
        };
        let mut setup = Setup::new(gate, self.limits.clone(), Stdio::Lines(Arc::new(say)), false)?;
        setup.args = vec![self.artifact.short_name().to_owned()];
        setup.env = args.grants.env_values(&self.policy, printer);
        setup.usage = Some(metrics.clone());
        let (name, counts) = (self.title.clone(), metrics.clone());
        let (counts_too, say) = (metrics.clone(), said_once(name.clone(), printer));
        setup.excess = Some(Arc::new(move |failure| {
            counts_too.record_failure(failure);
            say(failure);
        }));
        let report = move |failure: &Failure, request: Option<RequestId>| {
            counts.record_failure(failure);
            let error = CommandError::of_failure(&name, failure);
            let of_request = request.map(|id| format!("it was request {id}"));
            error.details(of_request).print(&printer);
        };
        let service = Service::new(prepared.ready(setup)?, self.reuse, report)?;
        let admission = node.admission(&metrics, self.fitting(prepared, printer));
        Ok(DeployedComponent::new(&self.name, service, self.grants(), admission, metrics))
    }
}
