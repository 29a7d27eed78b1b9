//! From the file's tables to a [`Draft`]. Each function reads one kind of table and goes on after an error, so that all of
//! them are told; what it returns then is as if the wrong value were not there.

use crate::error::{Place, Report};
use crate::keys::{Kind, MOST_PATTERNS, Table};
use crate::route::{HostRule, PathRule, Route, Target};
use crate::section::{Section, describe, nearest, wrong};
use crate::{App, Component, Draft, LARGEST, Manifest, Named, NamedPath, syntax};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use walnut_policy::{Capability, Limit, LimitOverrides, Mount, PatternError, Policy, Printable};

/// The longest name of an app or a component: that of a label in a host name.
const LONGEST_NAME: usize = 63;

/// The paths that a manifest names, which begin at the folder `base`.
struct Paths<'a> {
    base: &'a Path,
    named: Vec<NamedPath>,
}

impl Paths<'_> {
    fn name(&mut self, what: Named, text: &str, path: &Path, span: Range<usize>) -> PathBuf {
        // By components, so that `./public` leaves no dot behind.
        let path: PathBuf = self.base.join(path).components().collect();
        self.named.push(NamedPath { what, text: text.to_owned(), path: path.clone(), place: Place(span) });
        path
    }
}

pub(crate) fn draft(text: &str, file: &str, base: &Path) -> Draft {
    let is_too_large = text.len() > LARGEST;
    let mut report = Report::new(file, if is_too_large { "" } else { text });
    if is_too_large {
        report.whole(format!("{} bytes are more than a manifest has", text.len()), format!("it has at most {LARGEST}"));
        return unread(report);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty()
        && let Some(span) = syntax::yaml(text)
    {
        let hint = "write `key = \"value\"`, below headers such as `[app]` and `[component.web]`";
        report.error(&span, "this looks like YAML, and a manifest is TOML", hint);
        return unread(report);
    }
    let has_list = document.get_ref().get("http").is_none_or(|http| http.get_ref().is_array());
    syntax::tell(text, errors, has_list, &mut report);
    let root = Section::root(document.get_ref(), &mut report);
    let mut paths = Paths { base, named: Vec::new() };
    let app = app(&root, &mut report);
    let components = components(&root, &mut paths, &mut report);
    let routes = routes(&root, &mut paths, &mut report);
    if root.entry("component").is_none() && root.entry("http").is_none() && report.is_empty() {
        report.whole("there is no component and no route", "add `[component.NAME]` with `source = \"app.wasm\"`");
    }
    Draft { manifest: Manifest { app, components, routes }, paths: paths.named, report }
}

/// Of what is another thing than a manifest, nothing is read.
fn unread(report: Report) -> Draft {
    let manifest = Manifest { app: App::default(), components: Vec::new(), routes: Vec::new() };
    Draft { manifest, paths: Vec::new(), report }
}

fn app(root: &Section<'_>, report: &mut Report) -> App {
    let Some(section) = root.child("app", report) else {
        if root.entry("app").is_none() && !root.is_misspelt("app") && !report.is_broken() {
            report.whole("the table [app] is missing", "begin with `[app]` and `name = \"shop\"`");
        }
        return App::default();
    };
    let name = section.text("name", report).map(|(name, span)| {
        if let Err(error) = check_name(name) {
            wrong(report, &span, error);
        }
        name.to_owned()
    });
    let version = section.text("version", report).map(|(version, span)| {
        if !is_version(version) {
            wrong(report, &span, refused(version, "is not a version", "write it as `1.2.0` or `1.2.0-rc.1`"));
        }
        version.to_owned()
    });
    App { name: name.unwrap_or_default(), version }
}

fn components(root: &Section<'_>, paths: &mut Paths<'_>, report: &mut Report) -> Vec<Component> {
    let Some(all) = root.child("component", report) else { return Vec::new() };
    let mut components = Vec::new();
    for (name, span, value) in all.entries() {
        if let Err(error) = check_name(name) {
            wrong(report, &span, error);
        }
        let place = format!("[component.{}]", Printable(name));
        if let Some(section) = Section::new(Table::Component, place, value, report) {
            components.extend(component(name, &section, paths, report));
        }
    }
    components
}

/// `None` when it has no file.
fn component(name: &str, section: &Section<'_>, paths: &mut Paths<'_>, report: &mut Report) -> Option<Component> {
    let mut count = |key| section.number(key, report).and_then(|n| u32::try_from(n).ok());
    let (reuse, sandboxes, queue) = (count("reuse"), count("sandboxes"), count("queue"));
    let source = path(section, "source", Named::Source, paths, report);
    let policy = policy(section, paths, report);
    let limits = limits(section, report);
    let patience = section.time("patience", report);
    let (source, place) = source?;
    Some(Component { name: name.to_owned(), source, place, policy, limits, reuse, sandboxes, queue, patience })
}

fn policy(component: &Section<'_>, paths: &mut Paths<'_>, report: &mut Report) -> Policy {
    let mut policy = Policy::sealed();
    for (table, add) in [
        (Table::Allow, Policy::allow as fn(&mut Policy, _, &str) -> Result<(), PatternError>),
        (Table::Deny, Policy::deny),
    ] {
        let name = if table == Table::Allow { "allow" } else { "deny" };
        let Some(section) = component.child(name, report) else { continue };
        for key in table.keys() {
            let (Kind::Patterns(capability), Some(field)) = (key.kind, section.field(key.name)) else { continue };
            let texts = field.texts(report);
            if texts.len() > MOST_PATTERNS {
                let problem = format!("`{}` has {} patterns", key.name, texts.len());
                report.error(&field.span, problem, format!("it may have {MOST_PATTERNS}; wider ones say more"));
            }
            for (text, span) in texts.into_iter().take(MOST_PATTERNS) {
                if let Err(error) = add(&mut policy, capability, text) {
                    wrong(report, &span, error);
                }
                if let (Table::Allow, Capability::Dir, Ok(mount)) = (table, capability, Mount::parse(text)) {
                    paths.name(Named::Mount, text, &mount.host, span);
                }
            }
        }
    }
    policy.resolve_mounts(paths.base);
    policy
}

fn limits(component: &Section<'_>, report: &mut Report) -> LimitOverrides {
    let mut limits = LimitOverrides::default();
    let Some(section) = component.child("limits", report) else { return limits };
    for limit in Limit::ALL {
        if let Some(value) = section.number(limit.name(), report) {
            limits.set(limit, value);
        }
    }
    limits
}

fn routes(root: &Section<'_>, paths: &mut Paths<'_>, report: &mut Report) -> Vec<Route> {
    let Some((span, value)) = root.entry("http") else { return Vec::new() };
    let DeValue::Array(items) = value.get_ref() else {
        if !report.is_line_broken(&value.span()) {
            let problem = format!("`http` is {}, not a list of routes", describe(value.get_ref()));
            report.error(&span, problem, "write `[[http]]`, once for each route");
        }
        return Vec::new();
    };
    let components = root.entry("component").and_then(|(_, value)| value.get_ref().as_table());
    let mut routes = Vec::new();
    let mut taken = HashMap::new();
    for item in items.iter() {
        let Some(section) = Section::new(Table::Http, "[[http]]".to_owned(), item, report) else { continue };
        let target = target(&section, components, paths, report);
        let (Some(host), Some((path, span))) = (host(&section, report), path_rule(&section, report)) else { continue };
        let line = report.line(span.start);
        match taken.entry((host.clone(), path.clone())) {
            Entry::Occupied(first) => {
                clash(&span, host.as_ref(), &path, *first.get(), report);
                continue;
            }
            Entry::Vacant(place) => _ = place.insert(line),
        }
        routes.extend(target.map(|target| Route { host, path, target, place: Place(span) }));
    }
    routes
}

fn clash(span: &Range<usize>, host: Option<&HostRule>, path: &PathRule, first: usize, report: &mut Report) {
    let host = host.map_or("every host".to_owned(), ToString::to_string);
    let problem = format!("the route `{}` of {} is taken already, on line {first}", Printable(&path.to_string()), host);
    report.error(span, problem, "give one of the two another `host` or `route`; the narrower one goes first");
}

/// `Some(None)` is every host, `None` one that cannot be read.
fn host(section: &Section<'_>, report: &mut Report) -> Option<Option<HostRule>> {
    if section.field("host").is_none() {
        return Some(None);
    }
    let (text, span) = section.text("host", report)?;
    HostRule::parse(text).map_err(|error| wrong(report, &span, error)).ok().map(Some)
}

fn path_rule(section: &Section<'_>, report: &mut Report) -> Option<(PathRule, Range<usize>)> {
    let (text, span) = section.text("route", report)?;
    let path = PathRule::parse(text).map_err(|error| wrong(report, &span, error)).ok()?;
    Some((path, span))
}

fn target(
    section: &Section<'_>,
    components: Option<&DeTable<'_>>,
    paths: &mut Paths<'_>,
    report: &mut Report,
) -> Option<Target> {
    let component = section.entry("component").is_some();
    let dir = section.entry("dir").is_some();
    match (component, dir) {
        (true, false) => component_target(section, components, report),
        (false, true) => path(section, "dir", Named::Folder, paths, report).map(|(path, _)| Target::Dir(path)),
        (true, true) => {
            let problem = "this route has both `component` and `dir`";
            report.error(&section.span, problem, "keep one of the two; a second `[[http]]` can have the other");
            None
        }
        (false, false) => {
            if !report.is_broken() && !["component", "dir"].iter().any(|key| section.is_misspelt(key)) {
                let problem = "this route leads nowhere: it has neither `component` nor `dir`";
                report.error(&section.span, problem, "add `component = \"api\"` or `dir = \"./public\"`");
            }
            None
        }
    }
}

fn component_target(section: &Section<'_>, components: Option<&DeTable<'_>>, report: &mut Report) -> Option<Target> {
    let (name, span) = section.text("component", report)?;
    // Of very many, the first are enough to guess from.
    let known = components.map(|all| all.keys().map(|name| name.get_ref().as_ref()).take(1000));
    if !components.is_some_and(|all| all.contains_key(name)) && !report.is_broken() {
        let hint = match known.filter(|_| !report.is_full()).and_then(|known| nearest(name, known)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `[component.{}]` with its `source`", Printable(name)),
        };
        report.error(&span, format!("there is no component `{}`", Printable(name)), hint);
    }
    Some(Target::Component(name.to_owned()))
}

/// A path of the host, and where it stands.
fn path(
    section: &Section<'_>,
    key: &str,
    what: Named,
    paths: &mut Paths<'_>,
    report: &mut Report,
) -> Option<(PathBuf, Place)> {
    let (text, span) = section.text(key, report)?;
    if text.is_empty() || text.contains('\0') {
        wrong(report, &span, refused(text, "is not a path", "write one that begins at the folder of this file"));
        return None;
    }
    let place = Place(span.clone());
    Some((paths.name(what, text, Path::new(text), span), place))
}

fn check_name(name: &str) -> Result<(), PatternError> {
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let letters = name.bytes().all(|b| is_letter(b) || b == b'-');
    let ends = !name.is_empty() && !name.starts_with('-') && !name.ends_with('-');
    if letters && ends && name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let hint = "use up to 63 lowercase letters, digits and hyphens, with no hyphen at an end";
    Err(refused(name, "is not a name", hint))
}

/// What [semver](https://semver.org) looks like: three numbers, and words after `-` and `+`.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').unwrap_or((text, "0"));
    let (core, before) = text.split_once('-').unwrap_or((text, "0"));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_number = |n: &str| !n.is_empty() && n.len() < 20 && n.bytes().all(|b| b.is_ascii_digit());
    let numbers: Vec<_> = core.split('.').collect();
    numbers.len() == 3
        && numbers.into_iter().all(is_number)
        && before.split('.').all(is_word)
        && build.split('.').all(is_word)
}

fn refused(text: &str, problem: &str, hint: &str) -> PatternError {
    PatternError { text: text.to_owned(), problem: problem.to_owned(), hint: hint.to_owned() }
}
