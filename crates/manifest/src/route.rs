//! Which route a request takes. Pure: the host asks this for each request.
//!
//! Nothing is normalized. A path is compared as it was sent: `/a/../b`, `/%61` and `//a` are not `/b` and `/a`. So a path
//! that a file system or a guest may read in another way takes only the routes that its very letters are below; it may
//! fall to a wider route than its author hoped, never to a narrower one. What leads out of a folder of static files, such
//! as `..` and `%2e%2e`, is for whoever serves that folder to refuse.

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
    /// The line of its `route`, from 1.
    pub line: usize,
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

/// The route of a request, as its index: the exact host before the longest `*.` host and that before none, and within a
/// host the exact path before the longest prefix. When the routes of the narrower host have no such path, those of the
/// wider one are asked.
///
/// `host` is the authority of the request, with or without a port, and may be empty; `path` has no query.
pub fn match_route(routes: &[Route], host: &str, path: &str) -> Option<usize> {
    let host = host_name(host);
    let rank = |route: &Route| {
        let host_rank = match &route.host {
            Some(rule) => rule.rank(&host)?,
            None => 0,
        };
        Some((host_rank, route.path.rank(path)?))
    };
    let ranked = routes.iter().enumerate().filter_map(|(index, route)| Some((rank(route)?, index)));
    ranked.max().map(|(_, index)| index)
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

    /// How well `host` fits, from 1; `None` when it does not.
    fn rank(&self, host: &str) -> Option<usize> {
        match self {
            HostRule::Exact(name) => (name == host).then_some(usize::MAX),
            HostRule::Below(base) => {
                let below = host.strip_suffix(base.as_str())?.strip_suffix('.')?;
                (!below.is_empty()).then_some(base.len())
            }
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

    /// How well `path` fits, `None` when it does not.
    fn rank(&self, path: &str) -> Option<usize> {
        match self {
            PathRule::Exact(exact) => (exact == path).then_some(usize::MAX),
            PathRule::Below(base) => {
                let rest = path.strip_prefix(base.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then_some(base.len())
            }
        }
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
        Route { host: None, path: PathRule::Below(String::new()), target, line: 0 }
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
