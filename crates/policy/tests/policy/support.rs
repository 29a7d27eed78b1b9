//! Shorthands for policies, requests and tables.

use walnut_policy::{Access, Capability, Decision, Denial, Fix, Policy, Protocol, Reason, Request};

/// Returns a policy from lines such as `connect a:1`, `deny-http https://b` and `allow-all`.
pub fn policy(lines: &[&str]) -> Policy {
    let mut policy = Policy::sealed();
    for line in lines {
        let (word, pattern) = line.split_once(' ').unwrap_or((line, ""));
        let capability = |word: &str| Capability::ALL.into_iter().find(|c| c.name() == word).expect("a capability");
        match word.strip_prefix("deny-") {
            Some(word) => policy.deny(capability(word), pattern).expect(line),
            None if word == "allow-all" => policy.allow_all(),
            None => policy.allow(capability(word), pattern).expect(line),
        }
    }
    policy
}

/// Returns the examples in a hint. A word in upper case alone is a placeholder.
pub fn examples(hint: &str) -> impl Iterator<Item = &str> {
    let is_example = |text: &&str| text.contains(['.', '/']) || text.bytes().any(|b| b.is_ascii_digit());
    hint.split('`').skip(1).step_by(2).filter(is_example)
}

/// Expected answer of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// Refused, with a grant that would allow it.
    No,
    /// Refused by a denial, or because no grant can express the request.
    Never,
}

pub use Answer::{Never, No, Yes};

pub fn answer(policy: &Policy, request: &Request) -> Answer {
    match policy.decide(request) {
        Decision::Allowed { .. } => Yes,
        Decision::Denied { reason } => match fix(request, reason) {
            Some(_) => No,
            None => Never,
        },
    }
}

pub fn reason(policy: &Policy, request: &Request) -> Reason {
    match policy.decide(request) {
        Decision::Denied { reason } => reason,
        Decision::Allowed { rule } => panic!("{request} is allowed by {rule}"),
    }
}

pub fn fix(request: &Request, reason: Reason) -> Option<Fix> {
    Denial { request: request.clone(), reason }.fix(|guest| format!("./host{guest}"))
}

/// Returns the flag that is suggested when `policy` refuses `request`.
pub fn flag(policy: &Policy, request: &Request) -> String {
    fix(request, reason(policy, request)).map(|fix| fix.flag).unwrap_or_default()
}

/// Checks rows of (policy, request, answer).
#[track_caller]
pub fn check(rows: &[(&[&str], Request, Answer)]) {
    for (lines, request, expected) in rows {
        assert_eq!(answer(&policy(lines), request), *expected, "{lines:?}: {request}");
    }
}

pub fn read(path: &str) -> Request {
    dir(path, Access::Read)
}

pub fn write(path: &str) -> Request {
    dir(path, Access::Write)
}

pub fn dir(path: &str, access: Access) -> Request {
    Request::Dir { path: path.into(), access }
}

pub fn env(name: &str) -> Request {
    Request::Env { name: name.into() }
}

pub fn tcp(address: &str) -> Request {
    named(address, &[])
}

/// A connection to an address that these names led to.
pub fn named(address: &str, names: &[&str]) -> Request {
    Request::Connect {
        protocol: Protocol::Tcp,
        address: address.parse().expect(address),
        names: names.iter().map(|n| (*n).to_owned()).collect(),
    }
}

pub fn udp(address: &str) -> Request {
    Request::Connect { protocol: Protocol::Udp, address: address.parse().expect(address), names: Vec::new() }
}

pub fn listen(address: &str) -> Request {
    Request::Listen { protocol: Protocol::Tcp, address: address.parse().expect(address) }
}

pub fn bind(address: &str) -> Request {
    Request::BindForSending { address: address.parse().expect(address) }
}

pub fn resolve(name: &str) -> Request {
    Request::Resolve { name: name.into() }
}

pub fn resolved(name: &str, address: &str) -> Request {
    Request::ResolvedAddress { name: name.into(), address: address.parse().expect(address) }
}

/// Returns a request from `METHOD http://host:port/path`. An IPv6 host has brackets in the text,
/// and none in the request.
pub fn http(text: &str) -> Request {
    let (method, url) = text.split_once(' ').unwrap_or(("GET", text));
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) => (host, port.parse().expect("a port")),
        None => (authority, if scheme == "https" { 443 } else { 80 }),
    };
    Request::Http {
        method: method.into(),
        scheme: scheme.into(),
        host: host.trim_start_matches('[').trim_end_matches(']').into(),
        port,
        path: path.into(),
    }
}

/// The connection for a request to `scheme://host`.
pub fn http_at(origin: &str, address: &str) -> Request {
    let (scheme, host) = origin.split_once("://").expect("a URL");
    Request::HttpAddress { scheme: scheme.into(), host: host.into(), address: address.parse().expect(address) }
}
