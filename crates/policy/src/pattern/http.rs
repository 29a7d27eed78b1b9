use super::address::HostPattern;
use super::{LONGEST, PatternError, Ports};
use std::fmt;

const HINT: &str = "write `[METHODS] URL`: `https://api.example.com/**`, `GET,HEAD https://*.example.com/v1/*`";

/// Which HTTP requests may be sent: `[METHODS] SCHEME://HOST[:PORTS][/PATH]`.
///
/// In the path, `*` is one segment and `**`, at its end, is all that follows. No path is every path. Queries do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    /// Upper case; empty is all.
    methods: Vec<String>,
    scheme: Scheme,
    host: HostPattern,
    ports: Option<Ports>,
    path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Any,
    Http,
    Https,
}

impl UrlPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| PatternError::new(text, problem, HINT);
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        let (methods, url) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((methods, url)) => {
                (parse_methods(methods).ok_or_else(|| error("has a method that is not a word"))?, url)
            }
            None => (Vec::new(), text.trim()),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| error("has no `http://` or `https://`"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "*" => Scheme::Any,
            _ => return Err(error("has a scheme other than http, https or `*`")),
        };
        let (authority, path) = match split_path(rest) {
            (authority, "") => (authority, None),
            (authority, path) => (authority, Some(path.to_owned())),
        };
        if authority.contains('@') {
            return Err(error("has a user name in it"));
        }
        if let Some(path) = &path {
            check_path(path).map_err(error)?;
        }
        let (host, ports) = split_ports(authority).ok_or_else(|| error("has no host, or a port that is not one"))?;
        let host = HostPattern::parse(host).map_err(|e| PatternError { text: text.into(), ..e })?;
        Ok(UrlPattern { methods, scheme, host, ports, path })
    }

    pub(crate) fn host(&self) -> &HostPattern {
        &self.host
    }

    pub(crate) fn matches(&self, method: &str, scheme: &str, host: &str, port: u16, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|m| m == method))
            && self.matches_origin(scheme, host, port)
            && self.path.as_ref().is_none_or(|pattern| path_matches(pattern, path))
    }

    fn matches_origin(&self, scheme: &str, host: &str, port: u16) -> bool {
        let (scheme_fits, default) = match (self.scheme, scheme) {
            (Scheme::Http | Scheme::Any, "http") => (true, 80),
            (Scheme::Https | Scheme::Any, "https") => (true, 443),
            _ => (false, 0),
        };
        let port_fits = match &self.ports {
            Some(ports) => ports.contains(port),
            None => port == default,
        };
        scheme_fits && port_fits && self.host_matches(host)
    }

    fn host_matches(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(ip) => self.host.matches_ip(ip),
            Err(_) => self.host.matches_name(host),
        }
    }
}

/// The authority ends at the first `/` that is not part of a CIDR block.
fn split_path(rest: &str) -> (&str, &str) {
    let start = rest.find(']').map_or(0, |end| end + 1);
    match rest[start..].find('/') {
        Some(at) => rest.split_at(start + at),
        None => (rest, ""),
    }
}

fn split_ports(authority: &str) -> Option<(&str, Option<Ports>)> {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, ports) = match authority[after_brackets..].rfind(':') {
        Some(at) => (&authority[..after_brackets + at], Some(Ports::parse(&authority[after_brackets + at + 1..])?)),
        None => (authority, None),
    };
    (!host.is_empty()).then_some((host, ports))
}

/// RFC 9110 section 9.1: a method is a token. `*` is all of them.
fn parse_methods(text: &str) -> Option<Vec<String>> {
    if text.trim() == "*" {
        return Some(Vec::new());
    }
    text.split([',', ' ', '|'])
        .filter(|m| !m.is_empty())
        .map(|m| m.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-').then(|| m.to_ascii_uppercase()))
        .collect()
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains(['?', '#']) {
        return Err("has a query or fragment, which rules do not see");
    }
    if has_dot_segments(path) {
        return Err("has `.` or `..` in its path");
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (i, segment) in segments.iter().enumerate() {
        let last = i + 1 == segments.len();
        if segment.contains('*') && *segment != "*" && !(*segment == "**" && last) {
            return Err("has a `*` that is neither a whole segment nor `**` at the end");
        }
    }
    Ok(())
}

/// Servers disagree about dot segments and their escapes, so a rule with a path never matches a request that has any.
fn has_dot_segments(path: &str) -> bool {
    path.split(['/', '\\']).any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".." || plain.contains("%2f") || plain.contains("%5c")
    })
}

fn path_matches(pattern: &str, path: &str) -> bool {
    if pattern == "/**" {
        return true;
    }
    if has_dot_segments(path) {
        return false;
    }
    let mut wanted = pattern.split('/').skip(1);
    let mut given = path.split('/').skip(1);
    loop {
        match (wanted.next(), given.next()) {
            (Some("**"), _) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(exact), Some(segment)) if exact == segment => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        let scheme = match self.scheme {
            Scheme::Any => "*",
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.host)?;
        if let Some(ports) = &self.ports {
            write!(f, ":{ports}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or(""))
    }
}
