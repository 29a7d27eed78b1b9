//! Which route a request takes. Pure: the host asks this for each request.
//!
//! Nothing is normalized. A path is compared as it was sent: `/a/../b`, `/%61` and `//a` are not `/b` and `/a`. So a path
//! that a file system or a guest may read in another way takes only the routes that its very letters are below; it may
//! fall to a wider route than its author hoped, never to a narrower one. What leads out of a folder of static files, such
//! as `..` and `%2e%2e`, is for whoever serves that folder to refuse.

use crate::error::Place;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use walnut_policy::{NamePattern, PatternError, Printable};

/// Which HTTP requests go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `None` is every host.
    pub host: Option<HostRule>,
    /// Which paths.
    pub path: PathRule,
    /// Where they go.
    pub target: Target,
    /// Where its `route` stands.
    pub place: Place,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
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

/// Routes, in order for look-ups. A look-up takes as long as the path has parts, however many routes there are.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    hosts: HashMap<String, Paths>,
    below: Below<Paths>,
    every: Paths,
}

/// The paths of one host, each with the index of its route.
#[derive(Clone, Debug, Default)]
struct Paths {
    exact: HashMap<String, usize>,
    below: Below<usize>,
}

/// What is for a name and all below it.
#[derive(Clone, Debug)]
struct Below<T> {
    named: HashMap<String, T>,
    /// The length of the longest name: of what was sent, no more is looked at.
    longest: usize,
}

impl Routes {
    /// The routes are told apart by their indices.
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

    /// The route of a request, as its index: the exact host before the longest `*.` host and that before none, and within
    /// a host the exact path before the longest prefix. When the routes of the narrower host have no such path, those of
    /// the wider one are asked.
    ///
    /// `host` is the authority of the request, with or without a port, and may be empty; `path` has no query.
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        self.find_host(host, path).or_else(|| self.every.find(path))
    }

    fn find_host(&self, host: &str, path: &str) -> Option<usize> {
        // Most have none, and nothing to prepare for it.
        if self.hosts.is_empty() && self.below.named.is_empty() {
            return None;
        }
        let host = host_name(host);
        let exact = self.hosts.get(&host).and_then(|paths| paths.find(path));
        let wider = || host.match_indices('.').filter(|(dot, _)| *dot > 0).map(|(dot, _)| &host[dot + 1..]);
        exact.or_else(|| self.below.first(wider(), |paths| paths.find(path)))
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<usize> {
        let ends = std::iter::once(path.len()).chain(path.rmatch_indices('/').map(|(slash, _)| slash));
        let wider = || ends.map(|end| &path[..end]);
        self.exact.get(path).copied().or_else(|| self.below.first(wider(), |index| Some(*index)))
    }
}

impl<T> Default for Below<T> {
    fn default() -> Self {
        Below { named: HashMap::new(), longest: 0 }
    }
}

impl<T: Default> Below<T> {
    fn entry(&mut self, base: &str) -> &mut T {
        self.longest = self.longest.max(base.len());
        self.named.entry(base.to_owned()).or_default()
    }
}

impl<T> Below<T> {
    /// What `find` finds first for one of these names.
    fn first<'a>(&self, names: impl Iterator<Item = &'a str>, find: impl Fn(&T) -> Option<usize>) -> Option<usize> {
        let mut known = names.filter(|name| name.len() <= self.longest).filter_map(|name| self.named.get(name));
        known.find_map(find)
    }
}

/// Lower case, without port and final dot.
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
        match NamePattern::parse(text)? {
            NamePattern::Exact(name) => Ok(HostRule::Exact(name)),
            NamePattern::Below(name) => Ok(HostRule::Below(name)),
            NamePattern::Any => Err(PatternError {
                text: text.to_owned(),
                problem: "is every host".to_owned(),
                hint: "leave `host` out; a route without it is for every host".to_owned(),
            }),
        }
    }
}

impl PathRule {
    /// Reads `/path` or `/path/**`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str, hint: String| {
            Err(PatternError { text: text.to_owned(), problem: problem.to_owned(), hint })
        };
        if !text.starts_with('/') {
            return error("does not begin with `/`", format!("write `/{}`", Printable(text)));
        }
        let (path, is_below) = match text.strip_suffix("/**") {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.contains('*') {
            return error(
                "has a `*` that is not a final `/**`",
                "write `/path` for one path, `/path/**` for it and all below it".to_owned(),
            );
        }
        // What clients never send would never match.
        if path.contains(['?', '#']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
            return error(
                "has what no path of a request has",
                "leave out query and fragment, and write other letters as `%` and two digits".to_owned(),
            );
        }
        Ok(if is_below { PathRule::Below(path.to_owned()) } else { PathRule::Exact(path.to_owned()) })
    }
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
        let target = Target::Component(component.to_owned());
        Route { host: None, path: PathRule::Below(String::new()), target, place: Place::default() }
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
