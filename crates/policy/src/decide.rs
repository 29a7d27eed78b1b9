use crate::pattern::address::{AddressClass, HostPattern, SocketPattern, looks_numeric};
use crate::pattern::env::covers;
use crate::pattern::mount::is_within;
use crate::{Access, Mount, MountAccess, NamePattern, Policy, Protocol, Request};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The answer to a request, with the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed by this rule.
    Allowed {
        rule: String,
    },
    Denied {
        reason: Reason,
    },
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing grants it.
    NotGranted,
    /// A denial forbids it; no grant can help.
    DeniedBy(String),
    /// The mount is read-only.
    ReadOnly { host: String, name: String },
    /// The path leads out of the folder that was granted.
    OutsideMount(String),
    /// A mount gives files and folders only: a pipe can block for ever, and a device is another authority.
    NotAFile,
    /// The name was granted, but its address is one that a name does not reach.
    AddressNotPublic { name: String, class: AddressClass },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotGranted => f.write_str("nothing grants it"),
            Reason::DeniedBy(rule) => write!(f, "`{rule}` denies it, and a denial beats every grant"),
            Reason::ReadOnly { name, .. } => write!(f, "the mount `{name}` is read-only"),
            Reason::OutsideMount(mount) => write!(f, "the path leads out of the mount `{mount}`"),
            Reason::NotAFile => f.write_str("a mount gives files and folders only"),
            Reason::AddressNotPublic { name, class } => {
                write!(f, "`{name}` is granted by name, and a name does not reach {class} addresses")
            }
        }
    }
}

impl Policy {
    /// Decides one request. Pure: the same request and policy always give the same answer.
    pub fn decide(&self, request: &Request) -> Decision {
        match request {
            Request::Dir { path, access } => self.decide_dir(path, *access),
            Request::Env { name } => self.decide_env(name),
            Request::Connect { protocol, address, names } => self.decide_connect(*protocol, *address, names),
            Request::Listen { protocol, address } => self.decide_listen(*protocol, *address),
            Request::BindForSending { address } => self.decide_bind(*address),
            Request::Resolve { name } => self.decide_resolve(name),
            Request::ResolvedAddress { name, address } => self.decide_resolved(name, *address),
            Request::Http { method, scheme, host, port, path } => self.decide_http(method, scheme, host, *port, path),
            Request::HttpAddress { scheme, host, address } => self.decide_http_address(scheme, host, *address),
        }
    }

    fn decide_dir(&self, path: &str, access: Access) -> Decision {
        if let Some(denied) = self.deny_dir.iter().find(|d| is_within(path, d)) {
            return denied_by(format!("deny-dir {denied}"));
        }
        // Moving or removing a folder that holds a denied one would carry it out of the denial's reach.
        if access == Access::Write
            && let Some(denied) = self.deny_dir.iter().find(|d| is_within(d, path))
        {
            return denied_by(format!("deny-dir {denied}"));
        }
        match self.mount_of(path) {
            None => denied(Reason::NotGranted),
            Some((_, mount)) if self.allow_all && access == Access::Special => allowed(format!("dir {mount}")),
            Some((_, mount)) => mount_access(mount, access),
        }
    }

    fn decide_env(&self, name: &str) -> Decision {
        if let Some(rule) = self.deny_env.iter().find(|d| covers(d, name)) {
            return denied_by(format!("deny-env {rule}"));
        }
        self.grant(self.env.iter().any(|e| e.name == name).then(|| format!("env {name}")))
    }

    fn decide_connect(&self, protocol: Protocol, address: SocketAddr, names: &[String]) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        if let Some(rule) = self.deny_connect.iter().find(|p| denies_address(p, protocol, ip, port, names)) {
            return denied_by(format!("deny-connect {rule}"));
        }
        if let Some(rule) = self.connect.iter().find(|p| p.matches_address(protocol, ip, port)) {
            return allowed(format!("connect {rule}"));
        }
        let by_name = names
            .iter()
            .find_map(|name| Some((name, self.connect.iter().find(|p| p.matches_name(protocol, name, port))?)));
        match (by_name, AddressClass::of(ip)) {
            (Some((_, rule)), AddressClass::Public) => allowed(format!("connect {rule}")),
            (Some((name, _)), class) if !self.allow_all => {
                denied(Reason::AddressNotPublic { name: name.clone(), class })
            }
            _ => self.grant(None),
        }
    }

    fn decide_listen(&self, protocol: Protocol, address: SocketAddr) -> Decision {
        let fits = |p: &&SocketPattern| listens_at(p, protocol, address);
        if let Some(rule) = self.deny_listen.iter().find(fits) {
            return denied_by(format!("deny-listen {rule}"));
        }
        self.grant(self.listen.iter().find(fits).map(|p| format!("listen {p}")))
    }

    /// A socket that only sends still needs a local address. It gets one when it may send or receive anywhere at all.
    fn decide_bind(&self, address: SocketAddr) -> Decision {
        let sends = self.connect.iter().find(|p| p.protocol != Some(Protocol::Tcp)).map(|p| format!("connect {p}"));
        match sends {
            Some(rule) => allowed(rule),
            None => self.decide_listen(Protocol::Udp, address),
        }
    }

    fn decide_resolve(&self, name: &str) -> Decision {
        if let Some(rule) = self.deny_resolve.iter().find(|p| p.matches(name)) {
            return denied_by(format!("deny-resolve {rule}"));
        }
        if let Some(rule) = self.resolve.iter().find(|p| p.matches(name)) {
            return allowed(format!("resolve {rule}"));
        }
        // A grant to reach a host by its name would be worth nothing without its address.
        if let Some(rule) = self.connect.iter().find(|p| p.host.matches_name(name)) {
            return allowed(format!("connect {rule}"));
        }
        self.grant(None)
    }

    /// The guest may learn an address when it could use it, or when it may look up anything of that name.
    fn decide_resolved(&self, name: &str, ip: IpAddr) -> Decision {
        let class = AddressClass::of(ip);
        let own = class == AddressClass::Loopback && is_localhost(name);
        if class == AddressClass::Public || own || self.allow_all {
            return self.decide_resolve(name);
        }
        match self.connect.iter().find(|p| matches!(p.host, HostPattern::Net(_)) && p.host.matches_ip(ip)) {
            Some(_) => self.decide_resolve(name),
            None => denied(Reason::AddressNotPublic { name: name.to_owned(), class }),
        }
    }

    fn decide_http(&self, method: &str, scheme: &str, host: &str, port: u16, path: &str) -> Decision {
        if let Some(rule) = self.deny_http.iter().find(|p| p.matches(method, scheme, host, port, path)) {
            return denied_by(format!("deny-http {rule}"));
        }
        self.grant(self.http.iter().find(|p| p.matches(method, scheme, host, port, path)).map(|p| format!("http {p}")))
    }

    /// A request was allowed by its URL; this is about where its name led.
    fn decide_http_address(&self, scheme: &str, host: &str, address: SocketAddr) -> Decision {
        let ip = address.ip();
        let denied_here = |p: &&SocketPattern| {
            denies_address(p, Protocol::Tcp, ip, address.port(), std::slice::from_ref(&host.to_owned()))
        };
        if let Some(rule) = self.deny_connect.iter().find(denied_here) {
            return denied_by(format!("deny-connect {rule}"));
        }
        let class = AddressClass::of(ip);
        let literal = looks_numeric(host) || host.starts_with('[');
        if class == AddressClass::Public || literal || (class == AddressClass::Loopback && is_localhost(host)) {
            return allowed(format!("http {scheme}://{host}"));
        }
        let by_url = self
            .http
            .iter()
            .find(|p| matches!(p.host(), HostPattern::Net(_)) && p.host().matches_ip(ip))
            .map(|p| format!("http {p}"));
        let by_address = || {
            let fits = |p: &&SocketPattern| {
                matches!(p.host, HostPattern::Net(_)) && p.matches_address(Protocol::Tcp, ip, address.port())
            };
            self.connect.iter().find(fits).map(|p| format!("connect {p}"))
        };
        match by_url.or_else(by_address) {
            Some(rule) => allowed(rule),
            None if self.allow_all => allowed("allow-all".into()),
            None => denied(Reason::AddressNotPublic { name: host.to_owned(), class }),
        }
    }

    fn grant(&self, rule: Option<String>) -> Decision {
        match rule {
            Some(rule) => allowed(rule),
            None if self.allow_all => allowed("allow-all".into()),
            None => denied(Reason::NotGranted),
        }
    }
}

fn mount_access(mount: &Mount, access: Access) -> Decision {
    match (access, mount.access) {
        (Access::Escape, _) => denied(Reason::OutsideMount(mount.name.clone())),
        (Access::Special, _) => denied(Reason::NotAFile),
        (Access::Write, MountAccess::ReadOnly) => {
            denied(Reason::ReadOnly { host: mount.host.display().to_string(), name: mount.name.clone() })
        }
        _ => allowed(format!("dir {mount}")),
    }
}

/// A denial covers an address however the guest came to it: by number, by any name that led there, or through `*`.
fn denies_address(p: &SocketPattern, protocol: Protocol, ip: IpAddr, port: u16, names: &[String]) -> bool {
    let everywhere = p.host == HostPattern::Name(NamePattern::Any)
        && p.protocol.is_none_or(|own| own == protocol)
        && p.ports.contains(port);
    everywhere || p.matches_address(protocol, ip, port) || names.iter().any(|n| p.matches_name(protocol, n, port))
}

/// `*` listens on every address of this machine; port 0 (any free port) needs a rule that has port 0 in it.
fn listens_at(p: &SocketPattern, protocol: Protocol, address: SocketAddr) -> bool {
    let host = p.host == HostPattern::Name(NamePattern::Any) || p.host.matches_ip(address.ip());
    host && p.protocol.is_none_or(|own| own == protocol) && p.ports.contains(address.port())
}

fn is_localhost(name: &str) -> bool {
    let name = crate::pattern::name::canonical(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn allowed(rule: String) -> Decision {
    Decision::Allowed { rule }
}

fn denied(reason: Reason) -> Decision {
    Decision::Denied { reason }
}

fn denied_by(rule: String) -> Decision {
    denied(Reason::DeniedBy(rule))
}
