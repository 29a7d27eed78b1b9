//! From what is named on the command line to apps that are ready to serve.

use crate::audit::ServerAudit;
use crate::commands::serve::ServeArgs;
use crate::error::{CommandError, of_system};
use crate::exit::Code;
use crate::limits::said_once;
use crate::optimiser::Optimiser;
use crate::printer::Printer;
use crate::progress::{Terminal, unfit};
use crate::reload::Face;
use crate::sources::Sources;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walnut_engine::{
    Artifact, Engine, EngineConfig, Failure, Gate, Limits, OutputLine, RequestId, Service, Setup, Stdio, Tiers,
};
use walnut_host::{Admission, App, Destination, Files, Hosted, Measures, Node, Stamp, guest_line};
use walnut_manifest::{Manifest, Route, Target};
use walnut_policy::Printable;

/// The name of a manifest in its folder.
const MANIFEST: &str = "walnut.toml";

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

/// One app as it is described, by a manifest or by flags.
pub struct Described {
    /// Where it was described: the manifest's path, or the component's.
    place: String,
    /// Whether a manifest describes it, and not flags.
    has_manifest: bool,
    components: Vec<Component>,
    routes: Vec<Route>,
    /// A folder for each route that leads to one, in their order.
    files: Vec<Arc<Files>>,
    /// The manifest, if there is one.
    text: String,
}

struct Component {
    /// Its name in the app.
    name: String,
    /// What it is called in a log: `app/component`, or the file.
    title: String,
    artifact: Artifact,
    gate: Gate,
    env: Vec<(String, String)>,
    limits: Limits,
    admission: Admission,
    /// Requests that one sandbox of WASI 0.2 takes.
    reuse: u32,
    measures: Arc<Measures>,
}

impl Described {
    /// Reads every target: a component, a manifest, or a folder with one. What they do is counted in its node.
    pub fn all(setting: &Setting) -> Result<Vec<Self>, CommandError> {
        setting.sources.begin();
        setting.audit.iter().for_each(ServerAudit::open_anew);
        let apps = setting.args.targets.iter().map(|target| match manifest_of(target) {
            Some(path) => Self::of_manifest(&path, setting),
            None => Self::of_component(target, setting),
        });
        let apps = CommandError::all(apps)?;
        no_clash(&apps)?;
        no_grants(&apps, &setting.args)?;
        Ok(apps)
    }

    fn of_component(target: &str, setting: &Setting) -> Result<Self, CommandError> {
        let Setting { args, node, printer, sources, audit, .. } = setting;
        let (printer, audit) = (*printer, audit.as_ref());
        let artifact = sources.artifact(target)?;
        let name = artifact.short_name().to_owned();
        let measures = node.measures(&name, COMPONENT);
        let policy = args.grants.warned_policy(printer)?;
        let gate = args.grants.gate_of(&name, policy, measures.clone(), audit, printer);
        let env = args.grants.env_values(gate.policy(), printer);
        let component = Component {
            name: COMPONENT.to_owned(),
            title: name.clone(),
            artifact,
            gate,
            env,
            limits: args.limits.limits(),
            admission: node.admission(&measures, args.admission()),
            reuse: args.reuse,
            measures,
        };
        let (routes, text) = (vec![Route::everything(COMPONENT)], String::new());
        let (place, components, files) = (target.to_owned(), vec![component], Vec::new());
        Ok(Described { place, has_manifest: false, components, routes, files, text })
    }

    fn of_manifest(path: &Path, setting: &Setting) -> Result<Self, CommandError> {
        let Setting { args, node, printer, sources, audit, .. } = setting;
        let (printer, audit) = (*printer, audit.as_ref());
        let place = path.display().to_string();
        let text = sources.text(path).map_err(|e| unread(path, &e))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let manifest =
            Manifest::parse(&text, &place, base).map_err(|e| CommandError::new(Code::Host, e.to_string()))?;
        let app = manifest.app.name.clone();
        // A file is read once, and those who name it are all of the same version of it.
        let mut read = HashMap::new();
        let mut artifact = |source: &Path| match read.entry(source.to_owned()) {
            Entry::Occupied(entry) => Ok(Artifact::clone(entry.get())),
            Entry::Vacant(entry) => {
                sources.artifact(&source.display().to_string()).map(|new| entry.insert(new).clone())
            }
        };
        let component = |c: &walnut_manifest::Component| {
            let title = format!("{app}/{}", c.name);
            let measures = node.measures(&app, &c.name);
            let gate = args.grants.gate_of(&title, c.policy.clone(), measures.clone(), audit, printer);
            let admission = walnut_host::Limits { sandboxes: c.sandboxes, queue: c.queue, patience: c.patience };
            Ok(Component {
                name: c.name.clone(),
                artifact: artifact(&c.source)
                    .map_err(|e| no_source(e.into(), &format!("{place}:{}", c.line), &c.source))?,
                env: args.grants.env_values(gate.policy(), printer),
                gate,
                limits: overlaid(args.limits.limits(), &c.limits),
                admission: node.admission(&measures, admission),
                reuse: c.reuse,
                measures,
                title,
            })
        };
        let components = CommandError::all(manifest.components.iter().map(component));
        let files = files(&manifest, &place, setting);
        let (components, files) = match (components, files) {
            (Err(wrong), Err(more)) => return Err(wrong.and([more])),
            (components, files) => (components?, files?),
        };
        let described = Described { place, has_manifest: true, components, routes: manifest.routes, files, text };
        described.warn_of_idle(printer);
        Ok(described)
    }

    fn warn_of_idle(&self, printer: Printer) {
        for Component { name, .. } in &self.components {
            if !self.routes.iter().any(|route| route.target == Target::Component(name.clone())) {
                printer.warning(&format!("{}: no route leads to [component.{name}], so nobody can ask it", self.place));
                printer.hint(&format!("add `[[http]]` with `route = \"/{name}/**\"` and `component = \"{name}\"`"));
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
        let dirs = self.routes.iter().filter(|route| matches!(route.target, Target::Dir(_)));
        let folders = dirs
            .zip(&self.files)
            .map(|(route, files)| (route.to_string(), format!("files in {}", files.place.display()), String::new()));
        let rows: Vec<_> = self.components.iter().map(line).chain(folders).collect();
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
        let folders = self.files.iter().map(|files| format!("{:?}", Stamp::of(&files.place)));
        let content = std::iter::once(self.text.clone()).chain(digests).chain(folders).collect::<Vec<_>>().join("\n");
        Face { place: self.place.clone(), content, summary: self.summary() }
    }

    /// Compiles and links its components.
    pub fn prepare(self, engine: &Arc<Engine>, setting: &Setting) -> Result<App, CommandError> {
        let prepare = |c: Component| {
            let title = c.title.clone();
            c.prepare(engine, setting).map_err(|e| if self.has_manifest { e.at(title) } else { e })
        };
        let components = CommandError::all(self.components.into_iter().map(prepare))?;
        let mut files = self.files.into_iter();
        let destination = |route: &Route| match &route.target {
            Target::Component(name) => components.iter().find(|c| c.name == *name).cloned().map(Destination::Component),
            Target::Dir(_) => files.next().map(Destination::Files),
        };
        let destinations: Vec<_> = self.routes.iter().map(destination).collect();
        let lead = |(route, to): (Route, Option<Destination>)| match to {
            Some(to) => Ok((route, to)),
            None => Err(CommandError::new(Code::Host, format!("{}: the route {route} leads nowhere", self.place))),
        };
        let routes = self.routes.into_iter().zip(destinations).map(lead).collect::<Result<_, _>>()?;
        Ok(App { components, routes })
    }
}

/// Opens the folder of each route that leads to one.
fn files(manifest: &Manifest, place: &str, setting: &Setting) -> Result<Vec<Arc<Files>>, CommandError> {
    let printer = setting.printer;
    let open = |route: &Route| {
        let Target::Dir(dir) = &route.target else { return None };
        setting.sources.note(dir);
        let folder = dir.clone();
        let report = move |path: &str, error: &std::io::Error| {
            let doing = format!("{} cannot be sent", Printable(&folder.join(path).display().to_string()));
            of_system(doing, error).print(&printer);
        };
        let opened = Files::open(&setting.node, &manifest.app.name, route, dir, report);
        Some(opened.map_err(|e| no_folder(&format!("{place}:{}", route.line), dir, &e)))
    };
    CommandError::all(manifest.routes.iter().filter_map(open))
}

/// What is wrong with the file of a component, at the `place` where a manifest names it.
fn no_source(error: CommandError, place: &str, source: &Path) -> CommandError {
    if error.code() != Code::NotFound {
        return error.at(format!("{place}: `source`"));
    }
    CommandError::new(Code::NotFound, format!("{place}: `source`: there is no file {}", source.display()))
        .hint("build it, or name the file that there is; a relative `source` begins at the folder of its walnut.toml")
}

fn no_folder(place: &str, dir: &Path, error: &std::io::Error) -> CommandError {
    let dir = dir.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            CommandError::new(Code::NotFound, format!("{place}: `dir`: there is no folder {dir}")).hint(format!(
                "make it, as with `mkdir {dir}`; a relative `dir` begins at the folder of its walnut.toml"
            ))
        }
        std::io::ErrorKind::NotADirectory => {
            CommandError::new(Code::Host, format!("{place}: `dir`: {dir} is a file, not a folder"))
                .hint("name the folder that it is in; a `route` that is one path serves the file of its last name")
        }
        _ => of_system(format!("{place}: `dir`: {dir} cannot be opened"), error),
    }
}

/// The name of the only component of an app that is one.
const COMPONENT: &str = "component";

impl Component {
    fn grants(&self) -> Vec<String> {
        let policy = self.gate.policy();
        match policy.summary() {
            _ if policy.allows_all() => vec!["it may do everything".to_owned()],
            none if none.is_empty() => vec!["sealed: it may do nothing but answer".to_owned()],
            grants => grants,
        }
    }

    fn prepare(self, engine: &Arc<Engine>, setting: &Setting) -> Result<Arc<Hosted>, CommandError> {
        let printer = setting.printer;
        let prepared = engine.prepare(&self.artifact, Some(&Terminal))?;
        if let Some(reason) = prepared.unfit_for_baseline() {
            printer.say(&unfit(&self.title, reason));
        }
        let (title, grants) = (self.title.clone(), self.grants());
        let (telemetry, measures) = (setting.node.telemetry().cloned(), self.measures.clone());
        let is_json = setting.args.logs_json();
        let say = move |line: OutputLine<'_>| {
            if is_json {
                printer.guest_text(&guest_line(&measures, line), line.is_stderr);
            } else {
                printer.guest_line(&title, line);
            }
            if let Some(telemetry) = &telemetry {
                telemetry.line(&measures, line);
            }
        };
        let mut setup = Setup::new(self.gate, self.limits, Stdio::Lines(Arc::new(say)), false)?;
        setup.args = vec![self.artifact.short_name().to_owned()];
        setup.env = self.env;
        setup.usage = Some(self.measures.clone());
        let name = self.title.clone();
        let (counts, say) = (self.measures.clone(), said_once(name.clone(), printer));
        setup.excess = Some(Arc::new(move |failure| {
            counts.failed(failure);
            say(failure);
        }));
        let counts = self.measures.clone();
        let report = move |failure: &Failure, request: Option<RequestId>| {
            counts.failed(failure);
            let error = CommandError::of_failure(&name, failure);
            let of_request = request.map(|id| format!("it was request {id}"));
            error.details(of_request).print(&printer);
        };
        let service = Service::new(prepared.ready(setup)?, self.reuse, report)?;
        let hosted = Hosted::new(&self.name, service, grants, self.admission, self.measures);
        if engine.can_optimise(&prepared) {
            setting.optimiser.later(engine, self.artifact, prepared, self.title, &hosted);
        }
        Ok(hosted)
    }
}

fn unread(path: &Path, error: &std::io::Error) -> CommandError {
    match error.kind() {
        std::io::ErrorKind::NotFound => {}
        std::io::ErrorKind::InvalidData => {
            return CommandError::new(Code::Host, format!("{} is not text in UTF-8", path.display()))
                .hint("save it as UTF-8, or name another file: a manifest is a walnut.toml");
        }
        _ => return of_system(format!("{} cannot be read", path.display()), error),
    }
    CommandError::new(Code::NotFound, format!("there is no {}", path.display()))
        .hint("name a component, as in `walnut serve app.wasm`, or a folder with a walnut.toml")
}

/// The manifest that `target` names, if it is one or a folder with one.
fn manifest_of(target: &str) -> Option<PathBuf> {
    let path = Path::new(target);
    if path.is_dir() {
        return Some(path.join(MANIFEST));
    }
    path.extension().is_some_and(|e| e == "toml").then(|| path.to_owned())
}

/// Sandboxes that an engine has room for where components may have more in sum: the address space has room for four engines
/// of so many, and the node's bound on requests is far below.
const ROOM: u32 = 3_000;

/// What an engine must have room for.
#[derive(PartialEq, Eq)]
pub struct Size {
    pub engine: EngineConfig,
    /// How many sandboxes each component may have.
    places: Vec<(String, u32)>,
}

impl Size {
    /// Room for the sandboxes of all of them, of which no more than `at_once` have requests.
    pub fn of(apps: &[Described], tiers: Tiers, at_once: u32) -> Self {
        let components = || apps.iter().flat_map(|app| &app.components);
        let mut limits = Limits::for_service();
        limits.memory = components().map(|c| c.limits.memory).max().unwrap_or(limits.memory);
        limits.stack = components().map(|c| c.limits.stack).max().unwrap_or(limits.stack);
        limits.cpu = components().map(|c| c.limits.cpu).min().unwrap_or(limits.cpu);
        limits.deadline = components().map(|c| c.limits.deadline).min().unwrap_or(limits.deadline);
        let places: Vec<_> = components().map(|c| (c.title.clone(), c.admission.limits().sandboxes)).collect();
        let sum = places.iter().fold(0_u32, |sum, (_, sandboxes)| sum.saturating_add(*sandboxes));
        let most = places.iter().map(|(_, sandboxes)| *sandboxes).max().unwrap_or(0);
        // More than have requests: a sandbox that idles has its place in the pool all the same.
        let sandboxes = sum.min(ROOM.max(at_once).max(most));
        Size { engine: EngineConfig { tiers, ..EngineConfig::service(limits, sandboxes) }, places }
    }
}

/// An app says itself what its components may do.
fn no_grants(apps: &[Described], args: &ServeArgs) -> Result<(), CommandError> {
    if args.grants.is_empty() || !apps.iter().any(|app| app.has_manifest) {
        return Ok(());
    }
    let message = "grants on the command line are for a component by itself, not for an app";
    let hint = "write them in its walnut.toml, under the component that needs them";
    Err(CommandError::new(Code::Usage, message).hint(hint))
}

/// Two apps may not claim the same requests; within one, its manifest was checked.
fn no_clash(apps: &[Described]) -> Result<(), CommandError> {
    for (i, app) in apps.iter().enumerate() {
        for other in &apps[..i] {
            let clash =
                app.routes.iter().find(|r| other.routes.iter().any(|o| (&o.host, &o.path) == (&r.host, &r.path)));
            if let Some(route) = clash {
                let message = format!("{} and {} both serve {route}", other.place, app.place);
                let hint = "give one of them another route, or a `host` of its own, in its walnut.toml";
                return Err(CommandError::new(Code::Host, message).hint(hint));
            }
            // What happens is told by their names.
            let is_same = |c: &Component| other.components.iter().any(|o| Arc::ptr_eq(&o.measures, &c.measures));
            if let Some(component) = app.components.iter().find(|c| is_same(c)) {
                let message = format!("{} and {} both have a {}", other.place, app.place, component.title);
                return Err(CommandError::new(Code::Host, message).hint("give one of the apps another `name`"));
            }
        }
    }
    Ok(())
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
