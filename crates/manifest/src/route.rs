//! Finds the route of a request. Pure: the host asks this for each request.
//!
//! No path is normalized. A path is compared as it was sent: `/a/../b`, `/%61` and `//a` are not
//! `/b` and `/a`. So a path that a file system or a guest may read in another way takes only the
//! routes that its very letters are below. Such a path may take a wider route than its author
//! meant, never a narrower route. The server of a folder refuses `..` and `%2e%2e` itself.

use crate::error::SourceSpan;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use walnut_policy::{NamePattern, PatternError};

/// A rule that sends HTTP requests to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Host of the requests; `None` is every host.
    pub host: Option<HostRule>,
    /// Path of the requests.
    pub path: PathRule,
    /// Target of the requests.
    pub target: TargetSpec,
    /// Place of its `route` in the manifest.
    pub place: SourceSpan,
}

/// Target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpec {
    /// To a component of the same manifest.
    Component(String),
    /// To the files of a folder.
    Dir(PathBuf),
}

/// A host name, or every name below one. Lower case, without the final dot, in ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// This name alone.
    Exact(String),
    /// The part after `*.`, which does not match itself.
    Below(String),
}

/// A path, or all below one. It is compared as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathRule {
    /// This path alone.
    Exact(String),
    /// The part before `/**`, which matches itself and what follows it after a slash.
    Below(String),
}

/// Routes, indexed for look-ups. The time of a look-up depends on the parts of the path, not on the
/// number of routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    hosts: HashMap<String, HostRoutes>,
    below: PrefixMap<HostRoutes>,
    every: HostRoutes,
}

/// The paths of one host, each with the index of its route.
#[derive(Clone, Debug, Default)]
struct HostRoutes {
    exact: HashMap<String, usize>,
    below: PrefixMap<usize>,
}

/// Values for names and all that is below them.
#[derive(Clone, Debug)]
struct PrefixMap<T> {
    named: HashMap<String, T>,
    /// The length of the longest name. Longer prefixes of a path or host are not looked up.
    longest: usize,
}

impl Routes {
    /// Indexes `routes`, which are identified by their place in the slice.
    pub fn new(routes: &[Route]) -> Self {
        let mut ordered = Routes::default();
        for (index, route) in routes.iter().enumerate() {
            let paths = match &route.host {
                Some(HostRule::Exact(name)) => ordered.hosts.entry(name.clone()).or_default(),
                Some(HostRule::Below(base)) => ordered.below.entry(base),
                None => &mut ordered.every,
            };
            match &route.path {
                PathRule::Exact(path) => _ = paths.exact.insert(path.clone(), index),
                PathRule::Below(base) => *paths.below.entry(base) = index,
            }
        }
        ordered
    }

    /// Returns the index of the route of a request. The exact host comes before the longest `*.`
    /// host, and that before routes without a host. Within a host the exact path comes before the
    /// longest prefix. When the routes of the narrower host have no such path, those of the wider
    /// host are asked.
    ///
    /// `host` is the authority of the request, with or without a port, and may be empty. `path` has
    /// no query.
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        self.find_host(host, path).or_else(|| self.every.find(path))
    }

    fn find_host(&self, host: &str, path: &str) -> Option<usize> {
        // Most apps have no routes with a host, and need no lower-case copy of its name.
        if self.hosts.is_empty() && self.below.named.is_empty() {
            return None;
        }
        let host = host_name(host);
        let exact = self.hosts.get(&host).and_then(|paths| paths.find(path));
        let wider = || host.match_indices('.').filter(|(dot, _)| *dot > 0).map(|(dot, _)| &host[dot + 1..]);
        exact.or_else(|| self.below.first(wider(), |paths| paths.find(path)))
    }
}

impl HostRoutes {
    fn find(&self, path: &str) -> Option<usize> {
        let ends = std::iter::once(path.len()).chain(path.rmatch_indices('/').map(|(slash, _)| slash));
        let wider = || ends.map(|end| &path[..end]);
        self.exact.get(path).copied().or_else(|| self.below.first(wider(), |index| Some(*index)))
    }
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        PrefixMap { named: HashMap::new(), longest: 0 }
    }
}

impl<T: Default> PrefixMap<T> {
    fn entry(&mut self, base: &str) -> &mut T {
        self.longest = self.longest.max(base.len());
        self.named.entry(base.to_owned()).or_default()
    }
}

impl<T> PrefixMap<T> {
    /// Returns the first result of `find` for the values of `names`.
    fn first<'a>(&self, names: impl Iterator<Item = &'a str>, find: impl Fn(&T) -> Option<usize>) -> Option<usize> {
        let mut known = names.filter(|name| name.len() <= self.longest).filter_map(|name| self.named.get(name));
        known.find_map(find)
    }
}

/// Returns the host of an authority in lower case, without port and final dot.
fn host_name(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

impl HostRule {
    /// Reads `shop.example` or `*.example.com`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match NamePattern::parse(text) {
            Ok(NamePattern::Exact(name)) => Ok(HostRule::Exact(name)),
            Ok(NamePattern::Below(name)) => Ok(HostRule::Below(name)),
            Ok(NamePattern::Any) => Err(error(text, "is every host", NO_HOST)),
            Err(of_name) => Err(Self::wrong(text, &of_name.problem)),
        }
    }

    fn wrong(text: &str, otherwise: &str) -> PatternError {
        if text.is_empty() {
            return error(text, "is not a host name", NO_HOST);
        }
        let address = text.trim_start_matches('[').split(']').next().unwrap_or_default();
        if address.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
            return error(text, "is an address, not a name", NO_HOST);
        }
        let (_, after_scheme) = text.split_once("://").unwrap_or(("", text));
        let authority = after_scheme.split('/').next().unwrap_or_default();
        let name = authority.split(':').next().unwrap_or_default();
        let problem = match () {
            () if authority.len() < text.len() => "is more than a host name",
            () if name.len() < text.len() => "has a port, which routes do not look at",
            () => otherwise,
        };
        match HostRule::parse_name(name) {
            Some(name) => error(text, problem, format!("write `{name}`")),
            None => error(text, problem, format!("write a name, `example.com` or `*.example.com`, or {NO_HOST}")),
        }
    }

    fn parse_name(name: &str) -> Option<Self> {
        match NamePattern::parse(name).ok()? {
            NamePattern::Exact(name) => Some(HostRule::Exact(name)),
            NamePattern::Below(name) => Some(HostRule::Below(name)),
            NamePattern::Any => None,
        }
    }
}

const PATHS: &str = "write `/path` for one path, `/path/**` for it and all below it";
const NO_HOST: &str = "leave `host` out; a route without it is for every host";

fn error(text: &str, problem: &str, hint: impl Into<String>) -> PatternError {
    PatternError { text: text.to_owned(), problem: problem.to_owned(), hint: hint.into() }
}

impl PathRule {
    /// Reads `/path` or `/path/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(Self::without_slash(text));
        }
        let (path, is_below) = match text.strip_suffix("/**") {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.contains('*') {
            let hint = Self::guess(text).map_or(PATHS.to_owned(), |guess| format!("write `{guess}`"));
            return Err(error(text, "has a `*` that is not a final `/**`", hint));
        }
        // Clients never send these bytes, so such a route would never match.
        if path.contains(['?', '#']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
            let hint = "leave out query and fragment, and write other letters as `%` and two digits";
            return Err(error(text, "has what no path of a request has", hint));
        }
        if path.split('/').any(|name| matches!(name.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..")) {
            let hint = "write the path that it leads to, and that with `/**` for all below it";
            return Err(error(text, "has `.` or `..`, which clients work out before they ask", hint));
        }
        Ok(if is_below { PathRule::Below(path.to_owned()) } else { PathRule::Exact(path.to_owned()) })
    }

    /// Returns a warning about a valid pattern that its author hardly meant.
    pub fn doubt(&self) -> Option<PatternError> {
        let (PathRule::Exact(path) | PathRule::Below(path)) = self;
        let is_parameter = |name: &str| {
            let inner = name.strip_prefix(':').or_else(|| name.strip_prefix('{')?.strip_suffix('}'));
            let inner = inner.or_else(|| name.strip_prefix('<')?.strip_suffix('>'));
            inner.is_some_and(|inner| inner.starts_with(|c: char| c.is_ascii_alphabetic()))
        };
        let names: Vec<_> = path.split('/').collect();
        if let Some(at) = names.iter().position(|name| is_parameter(name)) {
            let problem = format!("matches `{}` to the letter, and not whatever stands there", names[at]);
            let hint = format!("write `{}/**`; the component is told the whole path", names[..at].join("/"));
            return Some(error(&self.to_string(), &problem, hint));
        }
        if !has_whole_escapes(path) {
            let problem = "has a `%` without two digits after it, and few clients ask for such a path";
            return Some(error(&self.to_string(), problem, "write `%25` if you mean the sign itself"));
        }
        let plain: Vec<_> = names[1.min(names.len())..].iter().copied().filter(|name| !name.is_empty()).collect();
        path.contains("//").then(|| {
            let end = if matches!(self, PathRule::Below(_)) { "/**" } else { "" };
            let hint = format!("write `/{}{end}`, if that is what you mean", plain.join("/"));
            error(&self.to_string(), "has two slashes in a row, and few clients ask for such a path", hint)
        })
    }

    fn without_slash(text: &str) -> PatternError {
        if let Some((_, rest)) = text.split_once("://") {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = HostRule::parse_name(authority.split(':').next().unwrap_or_default());
            let path =
                Self::guess(path).map_or("the path as `route`".to_owned(), |path| format!("`route = \"{path}\"`"));
            let hint = match host {
                Some(host) => format!("write `host = \"{host}\"` and {path}"),
                None => format!("write {path}"),
            };
            return error(text, "is a URL, not a path", hint);
        }
        let write = |text| Self::guess(text).map_or(PATHS.to_owned(), |guess| format!("write `{guess}`"));
        match text.split_once(' ') {
            Some((word, path))
                if path.starts_with('/') && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b',') =>
            {
                error(text, "has a method, and a route is for all of them", write(path))
            }
            _ => error(text, "does not begin with `/`", write(text)),
        }
    }

    /// The route that `text` was meant to be, if that is clear.
    fn guess(text: &str) -> Option<Self> {
        let text = text.trim();
        let text =
            text.strip_suffix('*').map_or(text.to_owned(), |text| format!("{}/**", text.trim_end_matches(['*', '/'])));
        let text = if text.starts_with('/') { text } else { format!("/{text}") };
        let has_star = text.strip_suffix("/**").unwrap_or(&text).contains('*');
        if has_star || text.len() > 200 { None } else { Self::parse(&text).ok() }
    }
}

/// RFC 3986 section 2.1.
fn has_whole_escapes(path: &str) -> bool {
    let digits = |after: &str| after.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    path.split('%').skip(1).all(digits)
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostRule::Exact(name) => f.write_str(name),
            HostRule::Below(base) => write!(f, "*.{base}"),
        }
    }
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathRule::Exact(path) => f.write_str(path),
            PathRule::Below(base) => write!(f, "{base}/**"),
        }
    }
}

impl Route {
    /// Every request, to the one component of an app that no manifest describes.
    pub fn everything(component: &str) -> Self {
        let target = TargetSpec::Component(component.to_owned());
        Route { host: None, path: PathRule::Below(String::new()), target, place: SourceSpan::default() }
    }
}

/// Which requests: `shop.example/api/**`, or the path alone where every host is meant.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            host.fmt(f)?;
        }
        self.path.fmt(f)
    }
}
