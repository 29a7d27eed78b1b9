use crate::pattern::Ports;
use crate::pattern::address::{AddressClass, HostPattern, SocketPattern};
use crate::pattern::http::{UrlPattern, UrlRequest};
use crate::pattern::name::HostName;
use crate::request::is_hidden;
use crate::{Access, Capability, Decision, Policy, Protocol, Reason, Request};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// A refused request: what was asked, why not, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was asked.
    pub request: Request,
    /// Why it was refused.
    pub reason: Reason,
}

/// What a person adds to allow exactly what was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fix {
    /// What to grant.
    pub capability: Capability,
    /// The grant, as [`Policy::allow`] reads it.
    pub pattern: String,
    /// For the command line, quoted for a shell.
    pub flag: String,
    /// For `walnut.toml`, under the component's `allow`.
    pub manifest: String,
}

/// The longest grant that is shown. What is longer cannot be judged by whoever should add it.
const LONGEST: usize = 1024;

impl Denial {
    /// The grant that would help; `None` where none can, because a denial or the mount's edge stands in the way, and where
    /// no grant can say what was asked.
    ///
    /// `host_dir` says which folder of the host to suggest for a folder of the guest.
    pub fn fix(&self, host_dir: impl Fn(&str) -> String) -> Option<Fix> {
        let (capability, pattern) = self.grant(host_dir)?;
        // What the guest asked for is part of the text: it must not be able to write another grant than that.
        if pattern.len() > LONGEST || pattern.chars().any(is_hidden) || !self.is_met_by(capability, &pattern) {
            return None;
        }
        let quoted = shell_quoted(&pattern);
        let flag = if pattern.starts_with('-') {
            format!("--{capability}={quoted}")
        } else {
            format!("--{capability} {quoted}")
        };
        let manifest = format!("{capability} = [{}]", toml_quoted(&pattern));
        Some(Fix { capability, pattern, flag, manifest })
    }

    fn grant(&self, host_dir: impl Fn(&str) -> String) -> Option<(Capability, String)> {
        match (&self.reason, &self.request) {
            (Reason::NotGranted, Request::Dir { path, access }) => {
                Some((Capability::Dir, mount_for(path, *access, host_dir)?))
            }
            (Reason::ReadOnly { host, name }, _) => Some((Capability::Dir, format!("{host}::{name}::rw"))),
            (Reason::NotGranted, Request::Env { name }) => Some((Capability::Env, name.clone())),
            (Reason::NotGranted, Request::Connect { protocol, address, names }) => {
                Some((Capability::Connect, by_name_or_address(*protocol, *address, names)))
            }
            (Reason::AddressNotPublic { .. }, Request::Connect { protocol, address, .. }) => {
                Some((Capability::Connect, socket(*protocol, *address)))
            }
            (Reason::NotGranted, Request::Listen { protocol, address }) => {
                Some((Capability::Listen, socket(*protocol, *address)))
            }
            (Reason::NotGranted, Request::BindForSending { address }) => {
                Some((Capability::Listen, socket(Protocol::Udp, *address)))
            }
            (Reason::NotGranted, Request::Resolve { name }) => Some((Capability::Resolve, host(name)?.to_string())),
            (Reason::AddressNotPublic { by: Some(rule), .. }, Request::ResolvedAddress { address, .. }) => {
                Some((Capability::Connect, SocketPattern { host: net(*address), ..rule.clone() }.to_string()))
            }
            (Reason::AddressNotPublic { by: None, .. }, Request::ResolvedAddress { address, .. }) => {
                Some((Capability::Resolve, net(*address).to_string()))
            }
            (Reason::NotGranted, Request::Http { method, scheme, host, port, path }) => {
                let pattern = UrlPattern::exactly(&UrlRequest { method, scheme, host, port: *port, path })?;
                Some((Capability::Http, pattern.to_string()))
            }
            (Reason::AddressNotPublic { .. }, Request::HttpAddress { scheme, address, .. }) => {
                Some((Capability::Http, UrlPattern::at(scheme, address.ip(), address.port())?.to_string()))
            }
            _ => None,
        }
    }

    /// Whether `pattern` reads as what it was written from.
    fn is_met_by(&self, capability: Capability, pattern: &str) -> bool {
        let mut policy = Policy::sealed();
        let reads = policy.allow(capability, pattern).is_ok();
        // That an address may be learned takes the grant of its name, too, which is there already.
        let met = || matches!(policy.decide(&self.request), Decision::Allowed { .. });
        reads && (matches!(self.request, Request::ResolvedAddress { .. }) || met())
    }
}

/// The folder that holds the file, since a mount is a folder.
fn mount_for(path: &str, access: Access, host_dir: impl Fn(&str) -> String) -> Option<String> {
    let writes = match access {
        Access::Read | Access::Stat => "",
        Access::Write => "::rw",
        Access::Escape | Access::Special => return None,
    };
    let path = crate::normalize(path)?;
    let folder = match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    };
    Some(format!("{}::{folder}{writes}", host_dir(folder)))
}

/// By name where that is enough to reach the address.
fn by_name_or_address(protocol: Protocol, address: SocketAddr, names: &[String]) -> String {
    let class = AddressClass::of(address.ip());
    let enough = |name: &&String| match class {
        AddressClass::Public => true,
        AddressClass::Loopback => HostName::read(name).is_localhost(),
        AddressClass::LinkLocal | AddressClass::Private => false,
    };
    match names.iter().filter(enough).find_map(|name| host(name)) {
        Some(host) => pattern(protocol, host, address.port()),
        None => socket(protocol, address),
    }
}

fn socket(protocol: Protocol, address: SocketAddr) -> String {
    pattern(protocol, net(address.ip()), address.port())
}

fn pattern(protocol: Protocol, host: HostPattern, port: u16) -> String {
    let protocol = (protocol == Protocol::Udp).then_some(protocol);
    SocketPattern { protocol, host, ports: Ports::one(port) }.to_string()
}

fn net(ip: IpAddr) -> HostPattern {
    HostPattern::Net(IpNet::from(ip.to_canonical()))
}

/// The pattern for a host that was called so.
fn host(name: &str) -> Option<HostPattern> {
    HostPattern::exactly(HostName::read(name))
}

fn shell_quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn toml_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
