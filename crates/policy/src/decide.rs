use crate::pattern::address::{AddressClass, HostPattern, SocketPattern, unwrap_v4};
use crate::pattern::env::covers;
use crate::pattern::http::UrlRequest;
use crate::pattern::mount::is_within;
use crate::pattern::name::HostName;
use crate::pattern::path;
use crate::request::Printable;
use crate::{Access, Mount, MountAccess, NamePattern, Policy, Protocol, Request, normalize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The answer to a request, with the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed by this rule.
    Allowed {
        /// As it was written, with its capability before it.
        rule: String,
    },
    /// Refused.
    Denied {
        /// Why.
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
    ReadOnly {
        /// The folder on the host.
        host: String,
        /// The guest's name for it.
        name: String,
    },
    /// The path leads out of the folder that was granted.
    OutsideMount(String),
    /// A mount gives files and folders only: a pipe can block for ever, and a device is another authority.
    NotAFile,
    /// The name was granted, but its address is one that a name does not reach.
    AddressNotPublic {
        /// The name.
        name: String,
        /// What kind of address it is.
        class: AddressClass,
        /// The rule to connect that grants the name, if it is one of those.
        by: Option<SocketPattern>,
    },
    /// The path has dot segments, and what is granted is a part of the server's paths.
    AmbiguousPath,
    /// What was to be looked up cannot be the name of a host, so that no rule names it.
    NotAName,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotGranted => f.write_str("nothing grants it"),
            Reason::DeniedBy(rule) => write!(f, "`{rule}` denies it, and a denial beats every grant"),
            Reason::ReadOnly { name, .. } => write!(f, "the mount `{name}` is read-only"),
            Reason::OutsideMount(mount) => write!(f, "the path leads out of the mount `{mount}`"),
            Reason::NotAFile => f.write_str("a mount gives files and folders only"),
            Reason::AddressNotPublic { name, class, .. } => {
                let name = Printable(name);
                write!(f, "`{name}` is granted by name, and a name does not reach {class} addresses")
            }
            Reason::AmbiguousPath => f.write_str(
                "nothing grants it: its path has `.` or `..` in it, plain or escaped, which servers read in different ways; \
                 only a rule without a path covers it",
            ),
            Reason::NotAName => f.write_str("it is not the name of a host; only `*` covers it"),
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
            Request::Http { method, scheme, host, port, path } => {
                self.decide_http(&UrlRequest { method, scheme, host, port: *port, path })
            }
            Request::HttpAddress { scheme, host, address } => self.decide_http_address(scheme, host, *address),
        }
    }

    fn decide_dir(&self, path: &str, access: Access) -> Decision {
        let Some(path) = normalize(path) else { return denied(Reason::NotGranted) };
        let path = path.as_str();
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
        if let Some(rule) = self.deny_connect.iter().find(|p| p.denies(protocol, ip, port, names)) {
            return denied_by(format!("deny-connect {rule}"));
        }
        if let Some(rule) = self.connect.iter().find(|p| p.grants_address(protocol, ip, port)) {
            return allowed(format!("connect {rule}"));
        }
        let class = AddressClass::of(ip);
        let granted: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, self.connect.iter().find(|p| p.grants_name(protocol, name, port))?)))
            .collect();
        if let Some((_, rule)) = granted.iter().find(|(name, rule)| reaches(rule, name, class)) {
            return allowed(format!("connect {rule}"));
        }
        match granted.first() {
            Some((name, rule)) if !self.allow_all => not_public(name, class, Some(rule)),
            _ => self.grant(None),
        }
    }

    fn decide_listen(&self, protocol: Protocol, address: SocketAddr) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        if let Some(rule) = self.deny_listen.iter().find(|p| p.denies_listening(protocol, ip, port)) {
            return denied_by(format!("deny-listen {rule}"));
        }
        let rule = self.listen.iter().find(|p| p.grants_listening(protocol, ip, port));
        self.grant(rule.map(|p| format!("listen {p}")))
    }

    /// A socket that only sends still needs a local address. Any address of the system's choice says nothing and reaches
    /// nobody: it is the datagrams that are decided, as connections are for TCP. An address of the guest's choice is given
    /// when it may send or receive anywhere at all.
    fn decide_bind(&self, address: SocketAddr) -> Decision {
        if address.port() == 0 && unwrap_v4(address.ip()).is_unspecified() {
            return allowed("none needed: it reaches nobody by itself".into());
        }
        let sends = self.connect.iter().find(|p| p.protocol != Some(Protocol::Tcp)).map(|p| format!("connect {p}"));
        match sends {
            Some(rule) => allowed(rule),
            None => self.decide_listen(Protocol::Udp, address),
        }
    }

    fn decide_resolve(&self, name: &str) -> Decision {
        let host = HostName::read(name);
        if let Some(rule) = self.deny_resolve.iter().find(|p| p.denies(&host)) {
            return denied_by(format!("deny-resolve {rule}"));
        }
        if let Some(rule) = self.resolve.iter().find(|p| p.covers(&host)) {
            return allowed(format!("resolve {rule}"));
        }
        // A grant to reach a host by its name would be worth nothing without its address.
        if let Some(rule) = self.connect.iter().find(|p| p.host.covers(&host)) {
            return allowed(format!("connect {rule}"));
        }
        match host {
            HostName::Unreadable(_) if !self.allow_all => denied(Reason::NotAName),
            _ => self.grant(None),
        }
    }

    /// The guest may learn an address when it could use it, or when a rule to look up names it.
    fn decide_resolved(&self, name: &str, ip: IpAddr) -> Decision {
        let by_name = self.decide_resolve(name);
        if matches!(by_name, Decision::Denied { .. }) {
            return by_name;
        }
        if let Some(rule) = self.deny_resolve.iter().find(|p| p.is_about_addresses() && p.denies_ip(ip)) {
            return denied_by(format!("deny-resolve {rule}"));
        }
        let class = AddressClass::of(ip);
        let host = HostName::read(name);
        let own = class == AddressClass::Loopback && host.is_localhost();
        let is_net = |p: &HostPattern| matches!(p, HostPattern::Net(_)) && p.grants_ip(ip);
        let by_address = || self.connect.iter().map(|p| &p.host).chain(&self.resolve).any(is_net);
        if class == AddressClass::Public || own || self.allow_all || by_address() {
            return by_name;
        }
        not_public(name, class, self.connect.iter().find(|p| p.host.covers(&host)))
    }

    fn decide_http(&self, request: &UrlRequest<'_>) -> Decision {
        if let Some(rule) = self.deny_http.iter().find(|p| p.denies(request)) {
            return denied_by(format!("deny-http {rule}"));
        }
        match self.grant(self.http.iter().find(|p| p.grants(request)).map(|p| format!("http {p}"))) {
            Decision::Denied { .. } if path::is_ambiguous(request.path) => denied(Reason::AmbiguousPath),
            decision => decision,
        }
    }

    /// A request was allowed by its URL; this is about where its name led.
    fn decide_http_address(&self, scheme: &str, name: &str, address: SocketAddr) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        let (names, class, host) = ([name.to_owned()], AddressClass::of(ip), HostName::read(name));
        if let Some(rule) = self.deny_connect.iter().find(|p| p.denies(Protocol::Tcp, ip, port, &names)) {
            return denied_by(format!("deny-connect {rule}"));
        }
        if let Some(rule) = self.deny_http.iter().find(|p| p.denies_address(scheme, &host, ip, port)) {
            return denied_by(format!("deny-http {rule}"));
        }
        // The rule for a URL with an address in it was about that address.
        let literal = matches!(host, HostName::Ip(own) if unwrap_v4(own) == unwrap_v4(ip));
        if class == AddressClass::Public || literal {
            return allowed(format!("http {scheme}://{name}"));
        }
        let by_url = self.http.iter().find(|p| {
            p.grants_address(scheme, ip, port)
                || (class == AddressClass::Loopback && p.grants_localhost(scheme, &host, port))
        });
        let by_address = || {
            let fits =
                |p: &&SocketPattern| matches!(p.host, HostPattern::Net(_)) && p.grants_address(Protocol::Tcp, ip, port);
            self.connect.iter().find(fits).map(|p| format!("connect {p}"))
        };
        match by_url.map(|p| format!("http {p}")).or_else(by_address) {
            Some(rule) => allowed(rule),
            None if self.allow_all => allowed("allow-all".into()),
            None => not_public(name, class, None),
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

/// Whether the grant `rule` of `name` extends to an address of this class. `localhost` is this machine, if the rule says
/// so itself: `*` does not.
fn reaches(rule: &SocketPattern, name: &str, class: AddressClass) -> bool {
    match class {
        AddressClass::Public => true,
        AddressClass::Loopback => {
            rule.host != HostPattern::Name(NamePattern::Any) && HostName::read(name).is_localhost()
        }
        AddressClass::LinkLocal | AddressClass::Private => false,
    }
}

fn not_public(name: &str, class: AddressClass, by: Option<&SocketPattern>) -> Decision {
    denied(Reason::AddressNotPublic { name: name.to_owned(), class, by: by.cloned() })
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
