//! From what is named on the command line to apps that are ready to serve.
//!
//! What is wrong is collected in each app and told at once: what a manifest says, what it names, what apps have in common,
//! and what cannot be served. So an app is described as far as it can be, right or wrong.

mod clash;
mod component;
mod named;
mod size;
mod wrong;

pub use size::Size;

use crate::audit::ServerAudit;
use crate::commands::serve::ServeArgs;
use crate::error::{CommandError, of_system};
use crate::exit::Code;
use crate::grants::unset;
use crate::optimiser::Optimiser;
use crate::printer::Printer;
use crate::reload::Face;
use crate::sources::Sources;
use component::Component;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walnut_engine::{Engine, Limits, LoadError};
use walnut_host::{App, DeployedComponent, Fingerprint, Node, RouteTarget};
use walnut_manifest::{Draft, Manifest, Place, Route, Target};
use walnut_policy::Printable;
use wrong::Wrong;

/// The name of a manifest in its folder.
const MANIFEST: &str = "walnut.toml";
/// The name of the only component of an app that is one.
const COMPONENT: &str = "component";

/// What apps are read with, and where they are served.
pub struct Setting {
    pub args: ServeArgs,
    pub node: Arc<Node>,
    pub printer: Printer,
    pub sources: Arc<Sources>,
    pub optimiser: Optimiser,
    pub audit: Option<ServerAudit>,
}

impl Setting {
    /// Whether what is wrong may be put right while this process waits for it. Flags stay what they are.
    pub fn may_change(&self, error: &CommandError) -> bool {
        self.args.watch && error.code() != Code::Usage
    }
}

/// One app as it is described, by a manifest or by flags; of one with which something is wrong, what could be read.
pub struct Described {
    /// Where it was described: the manifest's path, or the component's.
    place: String,
    /// Its name.
    name: String,
    /// Whether a manifest describes it, and not flags.
    has_manifest: bool,
    components: Vec<Component>,
    routes: Vec<Route>,
    /// The manifest, if there is one.
    text: String,
    wrong: Wrong,
}

impl Described {
    /// Reads every target: a component, a manifest, or a folder with one. Only flags are an error at once.
    pub fn all(setting: &Setting) -> Result<Vec<Self>, CommandError> {
        check_flags(&setting.args)?;
        named_once(&setting.args.targets)?;
        setting.sources.begin();
        setting.audit.iter().for_each(ServerAudit::open_anew);
        let describe = |target: &String| match manifest_of(target) {
            Some(path) => Ok(Self::of_manifest(&path, setting)),
            None => Self::of_component(target, setting),
        };
        let mut apps = setting.args.targets.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
        clash::tell(&mut apps);
        Ok(apps)
    }

    /// An app at `place` of which nothing is known yet.
    fn unknown(place: String, has_manifest: bool) -> Self {
        let (components, routes, wrong) = (Vec::new(), Vec::new(), Wrong::default());
        Described { place, name: String::new(), has_manifest, components, routes, text: String::new(), wrong }
    }

    fn of_component(target: &str, setting: &Setting) -> Result<Self, CommandError> {
        let Setting { args, printer, sources, .. } = setting;
        let mut described = Self::unknown(target.to_owned(), false);
        let policy = args.grants.warned_policy(*printer)?;
        policy.mounts().iter().for_each(|mount| sources.note(&mount.host));
        match sources.artifact(target) {
            Ok(artifact) => {
                described.routes = vec![Route::everything(COMPONENT)];
                described.name = artifact.short_name().to_owned();
                described.components.push(Component {
                    name: COMPONENT.to_owned(),
                    title: described.name.clone(),
                    place: Place::default(),
                    artifact,
                    policy,
                    limits: args.limits.limits(),
                    admission: args.admission(),
                    reuse: args.reuse,
                });
            }
            Err(LoadError::NotFound(path)) => {
                described.wrong.add(&Place::default(), named::absent(&path, &args.targets));
            }
            Err(error) => {
                described.routes = vec![Route::everything(COMPONENT)];
                described.wrong.add(&Place::default(), error.into());
            }
        }
        Ok(described)
    }

    fn of_manifest(path: &Path, setting: &Setting) -> Self {
        let mut described = Self::unknown(path.display().to_string(), true);
        match setting.sources.text(path) {
            Ok(text) => described.text = text,
            Err(error) => {
                described.wrong.add(&Place::default(), unread(path, &error));
                return described;
            }
        }
        let base = path.parent().unwrap_or(Path::new(""));
        let Draft { manifest, paths, report } = Manifest::draft(&described.text, &described.place, base);
        described.wrong = Wrong::of_manifest(report);
        let artifacts = named::read(&paths, &setting.sources, &mut described.wrong);
        let component = |c: walnut_manifest::Component| {
            Some(Component {
                title: format!("{}/{}", manifest.app.name, c.name),
                artifact: artifacts.get(&c.source)?.clone(),
                limits: overlaid(setting.args.limits.limits(), &c.limits),
                admission: admission(setting.args.admission(), &c),
                name: c.name,
                place: c.place,
                policy: c.policy,
                reuse: c.reuse.unwrap_or(setting.args.reuse),
            })
        };
        described.components = manifest.components.into_iter().filter_map(component).collect();
        (described.name, described.routes) = (manifest.app.name, manifest.routes);
        if !described.is_wrong() {
            described.warn_of_idle(setting.printer);
            described.warn_of_routes(setting.printer);
            described.warn_of_unset(setting.printer);
        }
        described
    }

    /// Whether something is wrong with it.
    pub fn is_wrong(&self) -> bool {
        !self.wrong.is_empty()
    }

    fn warn_of_idle(&self, printer: Printer) {
        for Component { name, .. } in &self.components {
            if !self.routes.iter().any(|route| route.target == Target::Component(name.clone())) {
                printer.warning(&format!("{}: no route leads to [component.{name}], so nobody can ask it", self.place));
                printer.hint(&format!("add `[[http]]` with `route = \"/{name}/**\"` and `component = \"{name}\"`"));
            }
        }
    }

    fn warn_of_routes(&self, printer: Printer) {
        for (route, doubt) in self.routes.iter().filter_map(|route| Some((route, route.path.doubt()?))) {
            let line = route.place.line(&self.text);
            printer.warning(&format!("{}:{line}: the route `{route}` {}", self.place, doubt.problem));
            printer.hint(&doubt.hint);
        }
    }

    fn warn_of_unset(&self, printer: Printer) {
        for Component { name, policy, .. } in &self.components {
            let inherited = policy.env().iter().filter(|grant| grant.value.is_none()).map(|grant| &grant.name);
            for (variable, why) in inherited.filter_map(|variable| Some((variable, unset(variable)?))) {
                let place = format!("{}: [component.{name}.allow]", self.place);
                printer.warning(&format!("{place}: the variable `{variable}` {why}, so {name} does not see it"));
                printer.hint(&format!("set it, or write its value: `env = \"{variable}=VALUE\"`"));
            }
        }
    }

    /// What is served and what it may do: a line for each component, or for each grant of the only one.
    fn summary(&self) -> Vec<String> {
        if let (false, [component]) = (self.has_manifest, self.components.as_slice()) {
            return component.grants();
        }
        let line = |c: &Component| {
            let routes = self.routes.iter().filter(|r| r.target == Target::Component(c.name.clone()));
            let routes: Vec<_> = routes.map(ToString::to_string).collect();
            (routes.join(" "), c.title.clone(), c.grants().join(", "))
        };
        let folder = |route: &Route| match &route.target {
            Target::Dir(dir) => Some((route.to_string(), format!("files in {}", dir.display()), String::new())),
            Target::Component(_) => None,
        };
        let rows: Vec<_> = self.components.iter().map(line).chain(self.routes.iter().filter_map(folder)).collect();
        let width = |of: fn(&(String, String, String)) -> usize| rows.iter().map(of).max().unwrap_or(0);
        let (first, second) = (width(|r| r.0.chars().count()), width(|r| r.1.chars().count()));
        let row = |(routes, title, grants): &(String, String, String)| {
            format!("{routes:first$}  {title:second$}  {grants}").trim_end().to_owned()
        };
        rows.iter().map(row).collect()
    }

    /// How it looks from outside.
    pub fn face(&self) -> Face {
        let digests = self.components.iter().map(|c| c.artifact.digest.hex());
        let mounts = self.components.iter().flat_map(|c| c.policy.mounts()).map(|mount| mount.host.as_path());
        let served = self.routes.iter().filter_map(|route| match &route.target {
            Target::Dir(dir) => Some(dir.as_path()),
            Target::Component(_) => None,
        });
        let folders = mounts.chain(served).map(|folder| format!("{:?}", Fingerprint::of(folder)));
        let content = std::iter::once(self.text.clone()).chain(digests).chain(folders).collect::<Vec<_>>().join("\n");
        Face { place: self.place.clone(), content, summary: self.summary() }
    }

    /// Looks whether what could be read can be served, when it or another will not be, and tells all that is wrong.
    pub fn try_out(&mut self, engine: &Arc<Engine>) -> Result<(), CommandError> {
        for component in &self.components {
            if let Err(error) = component.try_out(engine) {
                self.wrong.add(&component.place, error);
            }
        }
        std::mem::take(&mut self.wrong).result()
    }

    /// Compiles and links its components, and opens the folders that are served.
    pub fn prepare(self, engine: &Arc<Engine>, setting: &Setting) -> Result<App, CommandError> {
        let Described { name, mut wrong, .. } = self;
        let (mut components, mut routes) = (Vec::new(), Vec::new());
        for component in self.components {
            let place = component.place.clone();
            match component.prepare(&name, engine, setting) {
                Ok(hosted) => components.push(hosted),
                Err(error) => wrong.add(&place, error),
            }
        }
        for route in self.routes {
            match destination(&name, &route, &components, setting) {
                Ok(to) => routes.extend(to.map(|to| (route, to))),
                Err(error) => wrong.add(&route.place, error),
            }
        }
        wrong.result().map(|()| App { components, routes })
    }
}

/// Where a route of `app` leads; nowhere if its component cannot be served.
fn destination(
    app: &str,
    route: &Route,
    components: &[Arc<DeployedComponent>],
    setting: &Setting,
) -> Result<Option<RouteTarget>, CommandError> {
    let dir = match &route.target {
        Target::Component(name) => {
            return Ok(components.iter().find(|c| c.name == *name).cloned().map(RouteTarget::Component));
        }
        Target::Dir(dir) => dir,
    };
    let (folder, printer) = (dir.clone(), setting.printer);
    let report = move |path: &str, error: &std::io::Error| {
        let doing = format!("{} cannot be sent", Printable(&folder.join(path).display().to_string()));
        of_system(doing, error).print(&printer);
    };
    let opened = setting.node.open_dir(app, route, dir, report);
    let opened = opened.map_err(|e| of_system(format!("the folder {} cannot be opened", dir.display()), &e))?;
    Ok(Some(RouteTarget::Dir(opened)))
}

fn unread(path: &Path, error: &std::io::Error) -> CommandError {
    let shown = path.display();
    let cannot = || of_system(format!("{shown} cannot be read"), error);
    match error.kind() {
        ErrorKind::NotFound => CommandError::new(Code::NotFound, format!("there is no {shown}"))
            .hint("name a component, as in `walnut serve app.wasm`, or a folder with a walnut.toml"),
        ErrorKind::InvalidData => CommandError::new(Code::Host, format!("{shown}: {error}"))
            .hint("save it as UTF-8, or name another file: a manifest is a walnut.toml"),
        ErrorKind::IsADirectory => {
            cannot().hint("a manifest is a file called walnut.toml; move the folder, or name the file that is meant")
        }
        _ => cannot().hint(format!("look at it, and who may read it: `ls -l {shown}`")),
    }
}

/// Whatever is named twice would have everything in common with itself.
fn named_once(targets: &[String]) -> Result<(), CommandError> {
    let mut named = HashSet::new();
    for target in targets {
        let path = manifest_of(target).unwrap_or_else(|| PathBuf::from(target));
        if !named.insert(path.canonicalize().unwrap_or(path)) {
            let error = CommandError::new(Code::Usage, format!("{} is named twice", Printable(target)));
            return Err(error.hint("leave it out once; several apps are several walnut.toml"));
        }
    }
    Ok(())
}

/// The manifest that `target` names, if it is one or a folder with one.
pub fn manifest_of(target: &str) -> Option<PathBuf> {
    let path = Path::new(target);
    if path.is_dir() {
        return Some(path.join(MANIFEST));
    }
    path.extension().is_some_and(|e| e == "toml").then(|| path.to_owned())
}

/// What is wrong with flags alone. An app says itself what its components may do.
pub fn check_flags(args: &ServeArgs) -> Result<(), CommandError> {
    args.grants.policy()?;
    if args.grants.is_empty() || !args.targets.iter().any(|target| manifest_of(target).is_some()) {
        return Ok(());
    }
    let message = "grants on the command line are for a component by itself, not for an app";
    let hint = "write them in its walnut.toml, under the component that needs them";
    Err(CommandError::new(Code::Usage, message).hint(hint))
}

fn admission(defaults: walnut_host::AdmissionLimits, own: &walnut_manifest::Component) -> walnut_host::AdmissionLimits {
    walnut_host::AdmissionLimits {
        sandboxes: own.sandboxes.unwrap_or(defaults.sandboxes),
        queue: own.queue.unwrap_or(defaults.queue),
        queue_timeout: own.patience.unwrap_or(defaults.queue_timeout),
    }
}

fn overlaid(defaults: Limits, own: &walnut_manifest::Limits) -> Limits {
    Limits {
        memory: own.memory.unwrap_or(defaults.memory),
        cpu: own.cpu.unwrap_or(defaults.cpu),
        deadline: own.deadline.unwrap_or(defaults.deadline),
        stack: own.stack.unwrap_or(defaults.stack),
        handles: own.handles.unwrap_or(defaults.handles),
        request_body: own.request_body.unwrap_or(defaults.request_body),
        response_body: own.response_body.unwrap_or(defaults.response_body),
        connections: own.connections.unwrap_or(defaults.connections),
    }
}
