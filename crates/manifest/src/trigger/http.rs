//! `[[http]]`: routes for HTTP requests, and settings of the components that answer them.

use super::trigger::TriggerSection;
use crate::error::{ManifestReport, SourceSpan};
use crate::manifest::{HttpSettings, Manifest, PathRole};
use crate::paths::HostPaths;
use crate::route::{HostRule, PathRule, Route, TargetSpec};
use crate::section::{Section, describe, nearest, report_pattern};
use crate::table::Presence::{Inherited, Optional, Preset, Required};
use crate::table::{KeyTable, ManifestKey, MovedKey, Presence, TableShape, ValueKind, count, key, no_children};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::time::Duration;
use toml::de::{DeTable, DeValue};
use walnut_policy::Printable;

/// The HTTP trigger.
pub(crate) static HTTP: TriggerSection =
    TriggerSection { name: "http", entry: &ENTRY, defaults: &DEFAULTS, read: read_section };

static ENTRY: KeyTable = KeyTable {
    header: ENTRY_HEADER,
    shape: TableShape::List,
    doc: "A route for HTTP requests, to a component or to static files: it has either `component` or `dir`. An \
          exact host is preferred to the longest `*.` host, and that to no host. Within a host, an exact path is \
          preferred to the longest prefix. The keys from `reuse` on belong to the component, so all its routes have \
          the same value, or only one of them has the key.",
    keys: &[
        key("host", ValueKind::Host, Optional, "Name, or `*.` and a name. Default: every host.", "\"shop.example\""),
        key(
            "route",
            ValueKind::Route,
            Required,
            "Path, `/path`, or a path and all paths below it, `/path/**`; `/**` is every path.",
            "\"/api/**\"",
        ),
        key("component", ValueKind::Component, Optional, "Component that answers.", "\"api\""),
        key(
            "dir",
            ValueKind::Path,
            Optional,
            "Folder whose files are the answers. The rest of the path after `/path` of a `/path/**` names the file; \
             for a `/path` alone, its last name does.",
            "\"./public\"",
        ),
        reuse(Inherited(DEFAULTS_HEADER)),
        sandboxes(Inherited(DEFAULTS_HEADER)),
        queue(Inherited(DEFAULTS_HEADER)),
        queue_timeout(Inherited(DEFAULTS_HEADER)),
    ],
    exactly_one_of: &["component", "dir"],
    moved: &RENAMED,
    children: no_children,
};

static DEFAULTS: KeyTable = KeyTable {
    header: DEFAULTS_HEADER,
    shape: TableShape::Single,
    doc: "How requests reach each component of the app, where its routes do not say. The flags of \
          `walnut serve` with the same names hold where this table does not say either.",
    keys: &[reuse(Preset("1")), sandboxes(Preset("100")), queue(Preset("1000")), queue_timeout(Preset("\"10s\""))],
    exactly_one_of: &[],
    moved: &RENAMED,
    children: no_children,
};

/// Keys of HTTP that may be sought in a table of the app or of a component.
pub(crate) static MOVED: [MovedKey; 4] = [
    MovedKey { name: "reuse", key: &DEFAULTS.keys[0], headers: HEADERS },
    MovedKey { name: "sandboxes", key: &DEFAULTS.keys[1], headers: HEADERS },
    MovedKey { name: "queue", key: &DEFAULTS.keys[2], headers: HEADERS },
    MovedKey { name: "patience", key: &DEFAULTS.keys[3], headers: HEADERS },
];

/// Keys of HTTP that have another name.
pub(crate) static RENAMED: [MovedKey; 1] = [MovedKey { name: "patience", key: &DEFAULTS.keys[3], headers: HEADERS }];

const ENTRY_HEADER: &str = "[[http]]";
const DEFAULTS_HEADER: &str = "[app.http]";
const HEADERS: (&str, &str) = (ENTRY_HEADER, DEFAULTS_HEADER);

const fn reuse(presence: Presence) -> ManifestKey {
    let doc = "Number of requests that one sandbox of WASI 0.2 takes, one after another; with 1, each request has a \
               fresh sandbox. With more, the memory of the component outlives a request, so the next client's \
               request meets what the last one left. Components of WASI 0.3 decide this themselves.";
    key("reuse", count(1, 1_000_000), presence, doc, "1")
}

const fn sandboxes(presence: Presence) -> ManifestKey {
    key("sandboxes", count(1, 5_000), presence, "Largest number of sandboxes at once.", "100")
}

const fn queue(presence: Presence) -> ManifestKey {
    key("queue", count(0, 100_000), presence, "Largest number of requests that wait for a sandbox.", "1000")
}

const fn queue_timeout(presence: Presence) -> ManifestKey {
    key("queue-timeout", ValueKind::Time, presence, "Longest wait for a sandbox.", "\"10s\"")
}

/// Setting of a component.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum HttpKey {
    Reuse,
    Sandboxes,
    Queue,
    QueueTimeout,
}

impl HttpKey {
    const ALL: [HttpKey; 4] = [HttpKey::Reuse, HttpKey::Sandboxes, HttpKey::Queue, HttpKey::QueueTimeout];

    fn name(self) -> &'static str {
        match self {
            HttpKey::Reuse => "reuse",
            HttpKey::Sandboxes => "sandboxes",
            HttpKey::Queue => "queue",
            HttpKey::QueueTimeout => "queue-timeout",
        }
    }

    /// Reads the key as a count, or as a number of milliseconds.
    fn read(self, section: &Section<'_>, report: &mut ManifestReport) -> Option<u64> {
        match self {
            HttpKey::QueueTimeout => {
                section.time(self.name(), report).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            HttpKey::Reuse | HttpKey::Sandboxes | HttpKey::Queue => section.number(self.name(), report),
        }
    }

    fn set(self, settings: &mut HttpSettings, value: u64) {
        let count = u32::try_from(value).ok();
        match self {
            HttpKey::Reuse => settings.reuse = count,
            HttpKey::Sandboxes => settings.sandboxes = count,
            HttpKey::Queue => settings.queue = count,
            HttpKey::QueueTimeout => settings.queue_timeout = Some(Duration::from_millis(value)),
        }
    }
}

/// Reads `[[http]]` and `[app.http]`.
fn read_section(root: &Section<'_>, to: &mut Manifest, paths: &mut HostPaths<'_>, report: &mut ManifestReport) {
    if let Some(defaults) = app_defaults(root, report) {
        read_settings(&defaults, report).into_iter().for_each(|(key, value)| key.set(&mut to.http.defaults, value));
    }
    let Some((span, value)) = root.entry("http") else { return };
    let DeValue::Array(items) = value.get_ref() else {
        if !report.is_line_broken(&value.span()) {
            let problem = format!("`http` is {}, not a list of routes", describe(value.get_ref()));
            report.error(&span, problem, "write `[[http]]`, once for each route");
        }
        return;
    };
    let components = root.entry("component").and_then(|(_, value)| value.get_ref().as_table());
    let (mut taken, mut given) = (HashMap::new(), HashMap::new());
    for item in items.iter() {
        let Some(section) = Section::new(&ENTRY, ENTRY_HEADER.to_owned(), item, report) else { continue };
        let target = read_target(&section, components, paths, report);
        read_component_settings(&section, to, &mut given, report);
        to.http.routes.extend(read_route(&section, target, &mut taken, report));
    }
}

/// Returns `[app.http]`. The reader of `[app]` reports the errors of that table itself.
fn app_defaults<'a>(root: &Section<'a>, report: &mut ManifestReport) -> Option<Section<'a>> {
    let (_, app) = root.entry("app")?;
    let defaults = app.get_ref().as_table()?.get("http")?;
    Section::new(&DEFAULTS, DEFAULTS_HEADER.to_owned(), defaults, report)
}

/// Reads an entry with `target`, unless a route in `taken` is for the same requests.
fn read_route(
    section: &Section<'_>,
    target: Option<TargetSpec>,
    taken: &mut HashMap<(Option<HostRule>, PathRule), usize>,
    report: &mut ManifestReport,
) -> Option<Route> {
    let host = read_host(section, report)?;
    let (path, span) = read_path(section, report)?;
    let line = report.line(span.start);
    match taken.entry((host.clone(), path.clone())) {
        Entry::Occupied(first) => {
            report_taken(&span, host.as_ref(), &path, *first.get(), report);
            return None;
        }
        Entry::Vacant(place) => _ = place.insert(line),
    }
    target.map(|target| Route { host, path, target, place: SourceSpan(span) })
}

fn report_taken(
    span: &Range<usize>,
    host: Option<&HostRule>,
    path: &PathRule,
    first: usize,
    report: &mut ManifestReport,
) {
    let host = host.map_or("every host".to_owned(), ToString::to_string);
    let problem = format!("the route `{}` of {host} is taken already, on line {first}", Printable(&path.to_string()));
    report.error(span, problem, "give one of the two another `host` or `route`; the narrower route wins");
}

/// Reads the settings of a table that are valid.
fn read_settings(section: &Section<'_>, report: &mut ManifestReport) -> Vec<(HttpKey, u64)> {
    HttpKey::ALL.into_iter().filter_map(|key| Some((key, key.read(section, report)?))).collect()
}

/// Settings of components that were read, each with its value and its line.
type GivenSettings = HashMap<(String, HttpKey), (u64, usize)>;

/// Reads the settings of an entry into those of its component.
fn read_component_settings(
    section: &Section<'_>,
    to: &mut Manifest,
    given: &mut GivenSettings,
    report: &mut ManifestReport,
) {
    let has_dir = section.entry("dir").is_some();
    let component = section.entry("component").and_then(|(_, value)| value.get_ref().as_str());
    for (key, value) in read_settings(section, report) {
        let name = key.name();
        let Some((span, _)) = section.entry(name) else { continue };
        match component {
            Some(component) if !has_dir => {
                let line = report.line(span.start);
                let (first, first_line) = *given.entry((component.to_owned(), key)).or_insert((value, line));
                if first == value {
                    key.set(to.http.components.entry(component.to_owned()).or_default(), value);
                } else {
                    let component = Printable(component);
                    let problem =
                        format!("`{name}` of the component `{component}` has another value on line {first_line}");
                    let hint =
                        format!("all routes to a component share `{name}`; keep line {first_line} or line {line}");
                    report.error(&span, problem, hint);
                }
            }
            None if has_dir => {
                let problem = format!("`{name}` is for components, and this route leads to a folder");
                report.error(&span, problem, format!("delete the line with `{name}`"));
            }
            // The targets of the route are an error already.
            _ => {}
        }
    }
}

/// Reads the host; `Some(None)` is every host, `None` a host that cannot be read.
fn read_host(section: &Section<'_>, report: &mut ManifestReport) -> Option<Option<HostRule>> {
    if section.field("host").is_none() {
        return Some(None);
    }
    let (text, span) = section.text("host", report)?;
    HostRule::parse(text).map_err(|error| report_pattern(report, &span, error)).ok().map(Some)
}

fn read_path(section: &Section<'_>, report: &mut ManifestReport) -> Option<(PathRule, Range<usize>)> {
    let (text, span) = section.text("route", report)?;
    let path = PathRule::parse(text).map_err(|error| report_pattern(report, &span, error)).ok()?;
    Some((path, span))
}

fn read_target(
    section: &Section<'_>,
    components: Option<&DeTable<'_>>,
    paths: &mut HostPaths<'_>,
    report: &mut ManifestReport,
) -> Option<TargetSpec> {
    let has_component = section.entry("component").is_some();
    let has_dir = section.entry("dir").is_some();
    match (has_component, has_dir) {
        (true, false) => read_component_target(section, components, report),
        (false, true) => paths.read(section, "dir", PathRole::Folder, report).map(|(path, _)| TargetSpec::Dir(path)),
        (true, true) => {
            let problem = "this route has both `component` and `dir`";
            report.error(&section.span, problem, "keep one of the two; a second `[[http]]` can have the other");
            None
        }
        (false, false) => {
            if !report.is_broken() && !ENTRY.exactly_one_of.iter().any(|key| section.is_misspelt(key)) {
                let problem = "this route leads nowhere: it has neither `component` nor `dir`";
                report.error(&section.span, problem, "add `component = \"api\"` or `dir = \"./public\"`");
            }
            None
        }
    }
}

fn read_component_target(
    section: &Section<'_>,
    components: Option<&DeTable<'_>>,
    report: &mut ManifestReport,
) -> Option<TargetSpec> {
    let (name, span) = section.text("component", report)?;
    // The first thousand are enough for a suggestion.
    let known = components.map(|all| all.keys().map(|name| name.get_ref().as_ref()).take(1000));
    if !components.is_some_and(|all| all.contains_key(name)) && !report.is_broken() {
        let hint = match known.filter(|_| !report.is_full()).and_then(|known| nearest(name, known)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `[component.{}]` with its `source`", Printable(name)),
        };
        report.error(&span, format!("there is no component `{}`", Printable(name)), hint);
    }
    Some(TargetSpec::Component(name.to_owned()))
}
