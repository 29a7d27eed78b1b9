//! HTTP requests: `[METHODS] SCHEME://HOST[:PORTS][/PATH]`.

use crate::pattern::address::HostPattern;
use crate::pattern::name::{HostName, NamePattern};
use crate::pattern::path;
use crate::pattern::pattern::{LONGEST, PatternError, Ports, is_slip};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

const HINT: &str = "write `[METHODS] URL`: `https://api.example.com/**`, `GET,HEAD https://*.example.com/v1/*`";

/// The methods of HTTP itself: RFC 9110 section 9.3, and PATCH.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// HTTP requests that may be sent: `[METHODS] SCHEME://HOST[:PORTS][/PATH]`.
///
/// In the path, `*` is a segment and `**`, at its end, is all that follows. No path is every path.
/// Queries do not count. Without ports it is the port of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPattern {
    /// Methods in upper case; empty is all.
    methods: Vec<String>,
    scheme: Scheme,
    host: HostPattern,
    ports: Option<Ports>,
    /// Path in the form of [`path::canonical`].
    path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Any,
    Http,
    Https,
}

/// A request as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UrlRequest<'a> {
    pub method: &'a str,
    pub scheme: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub path: &'a str,
}

impl UrlPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| PatternError::new(text, problem, HINT);
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        let (methods, url) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((methods, url)) => (parse_methods(text, methods)?, url),
            None => (Vec::new(), text.trim()),
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| no_scheme(text))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "*" => Scheme::Any,
            _ => return Err(error("has a scheme other than http, https or `*`")),
        };
        let (authority, path) = split_path(rest);
        if authority.contains('@') {
            return Err(error("has a user name in it"));
        }
        let (host, ports) = split_ports(authority).ok_or_else(|| error("has no host, or a port that is not one"))?;
        let host = HostPattern::parse(host).map_err(|e| PatternError::new(text, e.problem, other_host(text, host)))?;
        reject_bare_block(text, &host, path)?;
        check_path(path).map_err(error)?;
        let path = (!path.is_empty()).then(|| path::canonical_pattern(path));
        Ok(UrlPattern { methods, scheme, host, ports, path })
    }

    /// Returns the pattern that matches `request` and nothing else, if there is such a pattern.
    pub(crate) fn exactly(request: &UrlRequest<'_>) -> Option<Self> {
        let (scheme, default) = match request.scheme {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return None,
        };
        let host = HostPattern::exactly(HostName::read(request.host))?;
        let method = method(request.method)?;
        if path::is_ambiguous(request.path) || misspelt(&method).is_some() {
            return None;
        }
        Some(UrlPattern {
            methods: vec![method],
            scheme,
            host,
            ports: (request.port != default).then(|| Ports::one(request.port)),
            path: Some(path::canonical(request.path)),
        })
    }

    /// Returns the pattern for every request to `ip` at this port.
    pub(crate) fn at(scheme: &str, ip: IpAddr, port: u16) -> Option<Self> {
        let (scheme, default) = match scheme {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            _ => return None,
        };
        let host = HostPattern::Net(IpNet::from(ip.to_canonical()));
        Some(UrlPattern {
            methods: Vec::new(),
            scheme,
            host,
            ports: (port != default).then(|| Ports::one(port)),
            path: None,
        })
    }

    /// Returns whether this grants `request`. `*` is every host but this machine and its network.
    pub(crate) fn grants(&self, request: &UrlRequest<'_>) -> bool {
        let host = HostName::read(request.host);
        self.has_method(request.method)
            && self.fits(request.scheme, request.port)
            && !(host.is_localhost() && self.host == HostPattern::Name(NamePattern::Any))
            && self.host.covers(&host)
            && self.path.as_ref().is_none_or(|pattern| path::grants(pattern, request.path))
    }

    /// Returns whether this denies `request`, however its host and path are spelled.
    pub(crate) fn denies(&self, request: &UrlRequest<'_>) -> bool {
        self.has_method(request.method)
            && self.fits(request.scheme, request.port)
            && self.host.denies(&HostName::read(request.host))
            && self.path.as_ref().is_none_or(|pattern| path::denies(pattern, request.path))
    }

    /// Returns whether this grants requests to `ip`, whichever name led there.
    pub(crate) fn grants_address(&self, scheme: &str, ip: IpAddr, port: u16) -> bool {
        self.fits(scheme, port) && matches!(self.host, HostPattern::Net(_)) && self.host.grants_ip(ip)
    }

    /// Returns whether this grants that `localhost`, by that very name, is this machine.
    pub(crate) fn grants_localhost(&self, scheme: &str, host: &HostName, port: u16) -> bool {
        self.fits(scheme, port)
            && host.is_localhost()
            && self.host != HostPattern::Name(NamePattern::Any)
            && self.host.covers(host)
    }

    /// Returns whether this denies requests to `ip`, whichever name led there. Methods and paths of
    /// the rule do not matter: a name for a denied address must not be a way around it. Where the
    /// request named the rule's own host, they were compared before.
    pub(crate) fn denies_address(&self, scheme: &str, host: &HostName, ip: IpAddr, port: u16) -> bool {
        let by_another_name = self.host.is_about_addresses() && !self.host.denies(host);
        self.fits(scheme, port) && by_another_name && self.host.denies_ip(ip)
    }

    /// Methods differ by case, but no server has two that differ by nothing else.
    fn has_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m.eq_ignore_ascii_case(method))
    }

    fn fits(&self, scheme: &str, port: u16) -> bool {
        let (scheme_fits, default) = match (self.scheme, scheme) {
            (Scheme::Http | Scheme::Any, "http") => (true, 80),
            (Scheme::Https | Scheme::Any, "https") => (true, 443),
            _ => (false, 0),
        };
        let port_fits = match &self.ports {
            Some(ports) => ports.contains(port),
            None => port == default,
        };
        scheme_fits && port_fits
    }
}

/// Returns the hint for a `host` that is not valid.
fn other_host(text: &str, host: &str) -> String {
    let (HostName::Ip(ip), Some((before, rest))) = (HostName::read(host), text.split_once("://")) else {
        return HINT.to_owned();
    };
    let after = rest.strip_prefix(host).unwrap_or_default();
    let meant = format!("{before}://{}{after}", HostPattern::Net(IpNet::from(ip)));
    let is_right = UrlPattern::parse(&meant).is_ok();
    if is_right { format!("write `{meant}` if that is what you mean") } else { HINT.to_owned() }
}

fn no_scheme(text: &str) -> PatternError {
    let (methods, url) = text.trim().rsplit_once(char::is_whitespace).unwrap_or(("", text.trim()));
    if url.split(',').all(|word| METHODS.iter().any(|method| method.eq_ignore_ascii_case(word))) {
        let hint = format!("write a URL after it: `{} https://api.example.com/**`", text.trim());
        return PatternError::new(text, "is a method without a URL", hint);
    }
    let guess = format!("{methods} https://{url}").trim().to_owned();
    let hint = match UrlPattern::parse(&guess) {
        Ok(_) => format!("write `{guess}`"),
        Err(_) => HINT.to_owned(),
    };
    PatternError::new(text, "has no `http://` or `https://`", hint)
}

/// Returns the authority, and the path with its slash. The slash of a CIDR block is inside
/// brackets.
fn split_path(rest: &str) -> (&str, &str) {
    let start = if rest.starts_with('[') { rest.find(']').unwrap_or(0) } else { 0 };
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

/// Refuses `http://10.0.0.0/8`, the path `/8` of a single address, which nobody means.
fn reject_bare_block(text: &str, host: &HostPattern, path: &str) -> Result<(), PatternError> {
    let HostPattern::Net(IpNet::V4(net)) = host else { return Ok(()) };
    let length = path.strip_prefix('/').and_then(|p| p.split(['/', ':']).next()).and_then(|p| p.parse::<u8>().ok());
    match length {
        Some(length @ 0..=32) if net.addr().octets()[3] == 0 => Err(PatternError::new(
            text,
            "has a CIDR block without brackets",
            format!("write `http://[{}/{length}]:80`; after a plain address comes a path", net.addr()),
        )),
        _ => Ok(()),
    }
}

/// Reads methods; `*` is all of them.
fn parse_methods(text: &str, methods: &str) -> Result<Vec<String>, PatternError> {
    if methods.trim() == "*" {
        return Ok(Vec::new());
    }
    let words = methods.split([',', ' ', '|']).filter(|m| !m.is_empty());
    let read: Option<Vec<_>> = words.map(method).collect();
    let read = read.filter(|read| !read.is_empty());
    let read = read.ok_or_else(|| PatternError::new(text, "has a method that is not a word", HINT))?;
    match read.iter().find_map(|word| Some((word, misspelt(word)?))) {
        Some((word, meant)) => {
            let hint = format!("did you mean `{meant}`?");
            Err(PatternError::new(text, format!("has the method {word}, which is not an HTTP method"), hint))
        }
        None => Ok(read),
    }
}

/// Returns the method of HTTP itself that a misspelt `method` in upper case stands for. Protocols
/// on top of HTTP have methods of their own, which may differ by a letter, as BATCH and PATCH do.
fn misspelt(method: &str) -> Option<&'static str> {
    let differs_by_a_letter = |known: &str| {
        let differences = known.bytes().zip(method.bytes()).filter(|(a, b)| a != b).count();
        known.len() == method.len() && differences == 1
    };
    METHODS.into_iter().find(|known| is_slip(method, known) && !differs_by_a_letter(known))
}

/// Reads a method, which is a token (RFC 9110 section 9.1). `*` and `|` have a meaning of their own
/// here.
fn method(text: &str) -> Option<String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`~".contains(&b);
    (!text.is_empty() && text.bytes().all(is_token)).then(|| text.to_ascii_uppercase())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains(['?', '#']) {
        return Err("has a query or fragment, which rules do not see");
    }
    if path::is_ambiguous(path) {
        return Err("has `.` or `..` in its path");
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (i, segment) in segments.iter().enumerate() {
        let last = i + 1 == segments.len();
        if segment.contains('*') && *segment != "*" && !(*segment == "**" && last) {
            return Err("has a `*` that is neither a whole segment nor `**` at the end (a plain star is `%2A`)");
        }
    }
    Ok(())
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
        match &self.host {
            // After the slash of a bare block would come a path.
            HostPattern::Net(net @ IpNet::V4(_)) if net.prefix_len() < net.max_prefix_len() => {
                write!(f, "{scheme}://[{net}]")?;
            }
            host => write!(f, "{scheme}://{host}")?,
        }
        if let Some(ports) = &self.ports {
            write!(f, ":{ports}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or(""))
    }
}
