//! `http`: outbound HTTP requests, by URL and by the address behind it.

use crate::decision::{Decision, Reason};
use crate::pattern::address::{AddressClass, HostPattern, SocketPattern, unwrap_v4};
use crate::pattern::name::HostName;
use crate::pattern::path;
use crate::pattern::protocol::Protocol;
use crate::pattern::url::{UrlPattern, UrlRequest};
use crate::policy::Policy;
use crate::printable::Printable;
use std::fmt;
use std::net::SocketAddr;

/// Writes the request for a URL as a phrase.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, request: &UrlRequest<'_>) -> fmt::Result {
    let (method, path, scheme) = (Printable(request.method), Printable(request.path), Printable(request.scheme));
    write!(f, "send {method} {scheme}://{}:{}{path}", Bracketed(request.host), request.port)
}

/// Writes the request for a connection as a phrase.
pub(crate) fn describe_address(
    f: &mut fmt::Formatter<'_>,
    scheme: &str,
    host: &str,
    address: SocketAddr,
) -> fmt::Result {
    write!(f, "send to {}://{}, which is {address}", Printable(scheme), Bracketed(host))
}

/// A host in a URL.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse::<std::net::Ipv6Addr>() {
            Ok(ip) => write!(f, "[{ip}]"),
            Err(_) => Printable(self.0).fmt(f),
        }
    }
}

impl Policy {
    pub(crate) fn decide_http(&self, request: &UrlRequest<'_>) -> Decision {
        if let Some(rule) = self.http.deny.iter().find(|p| p.denies(request)) {
            return Decision::denied_by(format!("deny-http {rule}"));
        }
        match self.grant(self.http.allow.iter().find(|p| p.grants(request)).map(|p| format!("http {p}"))) {
            Decision::Denied { .. } if path::is_ambiguous(request.path) => Decision::denied(Reason::AmbiguousPath),
            decision => decision,
        }
    }

    /// Decides about the address to which the name in an allowed URL led.
    pub(crate) fn decide_http_address(&self, scheme: &str, name: &str, address: SocketAddr) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        let (names, class, host) = ([name.to_owned()], AddressClass::of(ip), HostName::read(name));
        if let Some(rule) = self.connect.deny.iter().find(|p| p.denies(Protocol::Tcp, ip, port, &names)) {
            return Decision::denied_by(format!("deny-connect {rule}"));
        }
        if let Some(rule) = self.http.deny.iter().find(|p| p.denies_address(scheme, &host, ip, port)) {
            return Decision::denied_by(format!("deny-http {rule}"));
        }
        // The rule for a URL with an address in it was about that address.
        let literal = matches!(host, HostName::Ip(own) if unwrap_v4(own) == unwrap_v4(ip));
        if class == AddressClass::Public || literal {
            return Decision::allowed(format!("http {scheme}://{name}"));
        }
        let by_url = self.http.allow.iter().find(|p| {
            p.grants_address(scheme, ip, port)
                || (class == AddressClass::Loopback && p.grants_localhost(scheme, &host, port))
        });
        let by_address = || {
            let fits =
                |p: &&SocketPattern| matches!(p.host, HostPattern::Net(_)) && p.grants_address(Protocol::Tcp, ip, port);
            self.connect.allow.iter().find(fits).map(|p| format!("connect {p}"))
        };
        match by_url.map(|p| format!("http {p}")).or_else(by_address) {
            Some(rule) => Decision::allowed(rule),
            None if self.allow_all => Decision::allowed("allow-all".into()),
            None => Decision::not_public(name, class, None),
        }
    }
}

/// Returns the grant of this request and no other.
pub(crate) fn grant_for(request: &UrlRequest<'_>) -> Option<String> {
    UrlPattern::exactly(request).map(|pattern| pattern.to_string())
}

/// Returns the grant of requests to this address.
pub(crate) fn grant_of_address(scheme: &str, address: SocketAddr) -> Option<String> {
    UrlPattern::at(scheme, address.ip(), address.port()).map(|pattern| pattern.to_string())
}
