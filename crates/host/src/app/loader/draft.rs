//! Draft of an app: everything that a manifest, or a component by itself, says about it. Errors are
//! collected in the draft, so that all of them are shown at once; an app is read as far as possible
//! in spite of them.

use crate::app::admission::AdmissionLimits;
use crate::app::app::{App, DeployedComponent, RouteTarget};
use crate::app::loader::component::ComponentDraft;
use crate::app::loader::context::{ComponentDefaults, LoadContext};
use crate::app::loader::diagnostics::Diagnostics;
use crate::app::loader::error::{AppError, AppErrors};
use crate::app::loader::front_door::FrontDoor;
use crate::app::loader::notices::Notice;
use crate::app::loader::paths;
use crate::app::loader::target::manifest_of;
use std::env::VarError;
use std::io::{self, ErrorKind};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use walnut_engine::{ArtifactSource, Engine, LoadError};
use walnut_manifest::{
    ComponentSection, ComponentSource, HttpSettings, Manifest, ManifestDraft, Route, SourceSpan, TargetSpec,
};
use walnut_policy::Printable;

/// Name of the only component of an app without a manifest.
const COMPONENT: &str = "component";

/// An app as far as it could be read.
pub(crate) struct AppDraft {
    /// Path of its manifest or component, as the user named it.
    pub place: String,
    /// Name of the app.
    pub name: String,
    /// Whether a manifest describes it.
    pub has_manifest: bool,
    pub components: Vec<ComponentDraft>,
    pub routes: Vec<Route>,
    /// Text of the manifest, if there is one.
    pub text: String,
    pub diagnostics: Diagnostics,
}

impl AppDraft {
    /// Reads `target`, one of `targets`.
    pub(crate) fn read(target: &str, targets: &[String], context: &LoadContext) -> Self {
        match manifest_of(target) {
            Some(path) => Self::of_manifest(&path, context),
            None => Self::of_component(target, targets, context),
        }
    }

    /// Returns whether any error was found.
    pub(crate) fn has_errors(&self) -> bool {
        !self.diagnostics.is_empty()
    }

    fn empty(place: String, has_manifest: bool) -> Self {
        let (components, routes, diagnostics) = (Vec::new(), Vec::new(), Diagnostics::default());
        AppDraft { place, name: String::new(), has_manifest, components, routes, text: String::new(), diagnostics }
    }

    fn of_component(target: &str, targets: &[String], context: &LoadContext) -> Self {
        let LoadContext { config, inputs, .. } = context;
        let mut draft = Self::empty(target.to_owned(), false);
        let policy = config.policy.clone();
        policy.mounts().iter().for_each(|mount| inputs.note(&mount.host));
        match inputs.load(&target.into()) {
            Ok(artifact) => {
                let ComponentDefaults { limits, admission, reuse } = config.defaults.clone();
                draft.routes = vec![Route::everything(COMPONENT)];
                draft.name = artifact.short_name().to_owned();
                let (name, title, place) = (COMPONENT.to_owned(), draft.name.clone(), SourceSpan::default());
                let component = ComponentDraft { name, title, place, artifact, policy, limits, admission, reuse };
                draft.components.push(component);
            }
            Err(LoadError::NotFound(path)) => {
                draft.diagnostics.add(&SourceSpan::default(), paths::target_not_found(&path, targets));
            }
            Err(error) => {
                draft.routes = vec![Route::everything(COMPONENT)];
                draft.diagnostics.add(&SourceSpan::default(), error.into());
            }
        }
        draft
    }

    fn of_manifest(path: &Path, context: &LoadContext) -> Self {
        let mut draft = Self::empty(path.display().to_string(), true);
        match context.inputs.text(path) {
            Ok(text) => draft.text = text,
            Err(error) => {
                draft.diagnostics.add(&SourceSpan::default(), unreadable_manifest(path, error));
                return draft;
            }
        }
        let base = path.parent().unwrap_or(Path::new(""));
        let ManifestDraft { manifest, paths, report } = Manifest::draft(&draft.text, &draft.place, base);
        draft.diagnostics = Diagnostics::of_manifest(report);
        let artifacts = paths::read(&paths, &context.inputs, &mut draft.diagnostics);
        let defaults = &context.config.defaults;
        let component = |c: ComponentSection| {
            let ComponentSource::File(source) = &c.source;
            let http = manifest.http.settings(&c.name);
            Some(ComponentDraft {
                title: format!("{}/{}", manifest.app.name, c.name),
                artifact: artifacts.get(source)?.clone(),
                limits: defaults.limits.overlaid(&c.limits),
                admission: overlay_admission(defaults.admission, &http),
                reuse: http.reuse.unwrap_or(defaults.reuse),
                name: c.name,
                place: c.place,
                policy: c.policy,
            })
        };
        draft.components = manifest.components.into_iter().filter_map(component).collect();
        (draft.name, draft.routes) = (manifest.app.name, manifest.http.routes);
        if !draft.has_errors() {
            draft.warn(&*context.front_door);
        }
        draft
    }

    /// Warns of what is allowed and probably not meant.
    fn warn(&self, front_door: &dyn FrontDoor) {
        self.warn_of_unreachable(front_door);
        self.warn_of_routes(front_door);
        self.warn_of_unset(front_door);
    }

    fn warn_of_unreachable(&self, front_door: &dyn FrontDoor) {
        for ComponentDraft { name, .. } in &self.components {
            if !self.routes.iter().any(|route| route.target == TargetSpec::Component(name.clone())) {
                let place = &self.place;
                let message = format!("{place}: no route leads to [component.{name}], so it gets no requests");
                let hint = format!("add `[[http]]` with `route = \"/{name}/**\"` and `component = \"{name}\"`");
                front_door.notify(&Notice::warning(message).hint(hint));
            }
        }
    }

    fn warn_of_routes(&self, front_door: &dyn FrontDoor) {
        for (route, doubt) in self.routes.iter().filter_map(|route| Some((route, route.path.doubt()?))) {
            let line = route.place.line(&self.text);
            let message = format!("{}:{line}: the route `{route}` {}", self.place, doubt.problem);
            front_door.notify(&Notice::warning(message).hint(doubt.hint));
        }
    }

    fn warn_of_unset(&self, front_door: &dyn FrontDoor) {
        for ComponentDraft { name, policy, .. } in &self.components {
            for grant in policy.env().iter().filter(|grant| grant.value.is_none()) {
                let variable = &grant.name;
                let why = match front_door.variable(variable) {
                    Ok(_) => continue,
                    Err(VarError::NotPresent) => "is not set here",
                    Err(VarError::NotUnicode(_)) => "is not valid UTF-8",
                };
                let place = format!("{}: [component.{name}.allow]", self.place);
                let message = format!("{place}: the variable `{variable}` {why}, so {name} does not see it");
                let hint = format!("set it, or write its value: `env = \"{variable}=VALUE\"`");
                front_door.notify(&Notice::warning(message).hint(hint));
            }
        }
    }

    /// Checks the components, when this or another app has errors and none will be served. Returns
    /// all errors.
    pub(crate) fn check(&mut self, engine: &Arc<Engine>, context: &LoadContext) -> Result<(), AppErrors> {
        for component in &self.components {
            if let Err(error) = component.check(engine, context) {
                self.diagnostics.add(&component.place, error.into());
            }
        }
        mem::take(&mut self.diagnostics).into_result()
    }

    /// Compiles and links the components, and opens the folders that are served.
    pub(crate) fn deploy(self, engine: &Arc<Engine>, context: &LoadContext) -> Result<App, AppErrors> {
        let AppDraft { name, mut diagnostics, .. } = self;
        let (mut components, mut routes) = (Vec::new(), Vec::new());
        for component in self.components {
            let place = component.place.clone();
            match component.deploy(&name, engine, context) {
                Ok(component) => components.push(component),
                Err(error) => diagnostics.add(&place, error.into()),
            }
        }
        for route in self.routes {
            match route_target(&name, &route, &components, context) {
                Ok(target) => routes.extend(target.map(|target| (route, target))),
                Err(error) => diagnostics.add(&route.place, error),
            }
        }
        diagnostics.into_result().map(|()| App { components, routes })
    }
}

/// Returns the target of a route of `app`; `None` when its component could not be deployed.
fn route_target(
    app: &str,
    route: &Route,
    components: &[Arc<DeployedComponent>],
    context: &LoadContext,
) -> Result<Option<RouteTarget>, AppError> {
    let dir = match &route.target {
        TargetSpec::Component(name) => {
            return Ok(components.iter().find(|c| c.name == *name).cloned().map(RouteTarget::Component));
        }
        TargetSpec::Dir(dir) => dir,
    };
    let (folder, front_door) = (dir.clone(), context.front_door.clone());
    let report = move |path: &str, error: &io::Error| {
        let path = folder.join(path).display().to_string();
        front_door.notify(&Notice::error(format!("{} cannot be sent: {error}", Printable(&path))));
    };
    let opened = context.node.open_dir(app, route, dir, report);
    let opened = opened.map_err(|source| AppError::RouteFolder { path: dir.clone(), source })?;
    Ok(Some(RouteTarget::Dir(opened)))
}

fn unreadable_manifest(path: &Path, source: io::Error) -> AppError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound => AppError::ManifestNotFound(path),
        ErrorKind::InvalidData => AppError::ManifestNotText { path, source },
        _ => AppError::ManifestUnreadable { path, source },
    }
}

fn overlay_admission(defaults: AdmissionLimits, own: &HttpSettings) -> AdmissionLimits {
    AdmissionLimits {
        sandboxes: own.sandboxes.unwrap_or(defaults.sandboxes),
        queue: own.queue.unwrap_or(defaults.queue),
        queue_timeout: own.queue_timeout.unwrap_or(defaults.queue_timeout),
    }
}
