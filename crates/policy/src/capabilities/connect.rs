//! `connect`: outbound TCP connections and UDP datagrams.

use crate::decision::Decision;
use crate::pattern::address::{AddressClass, HostPattern, SocketPattern, unwrap_v4};
use crate::pattern::name::{HostName, NamePattern};
use crate::pattern::pattern::Ports;
use crate::pattern::protocol::Protocol;
use crate::policy::Policy;
use crate::printable::Printable;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Writes the request as a phrase.
pub(crate) fn describe(
    f: &mut fmt::Formatter<'_>,
    protocol: Protocol,
    address: SocketAddr,
    names: &[String],
) -> fmt::Result {
    match names.first() {
        Some(name) => {
            write!(f, "connect to {}:{} ({}) over {protocol}", Printable(name), address.port(), address.ip())
        }
        None => write!(f, "connect to {address} over {protocol}"),
    }
}

impl Policy {
    pub(crate) fn decide_connect(&self, protocol: Protocol, address: SocketAddr, names: &[String]) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        if let Some(rule) = self.connect.deny.iter().find(|p| p.denies(protocol, ip, port, names)) {
            return Decision::denied_by(format!("deny-connect {rule}"));
        }
        if let Some(rule) = self.connect.allow.iter().find(|p| p.grants_address(protocol, ip, port)) {
            return Decision::allowed(format!("connect {rule}"));
        }
        let class = AddressClass::of(ip);
        let granted: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name, self.connect.allow.iter().find(|p| p.grants_name(protocol, name, port))?)))
            .collect();
        if let Some((_, rule)) = granted.iter().find(|(name, rule)| reaches(rule, name, class)) {
            return Decision::allowed(format!("connect {rule}"));
        }
        match granted.first() {
            Some((name, rule)) if !self.allow_all => Decision::not_public(name, class, Some(rule)),
            _ => self.grant(None),
        }
    }

    /// Decides about the local address of a socket that only sends. An address of the system's
    /// choice reaches nobody: the datagrams are decided, as connections are for TCP. An address of
    /// the guest's choice is given when it may send or receive anywhere at all.
    pub(crate) fn decide_bind(&self, address: SocketAddr) -> Decision {
        if address.port() == 0 && unwrap_v4(address.ip()).is_unspecified() {
            return Decision::allowed("none needed: it reaches nobody by itself".into());
        }
        let sends =
            self.connect.allow.iter().find(|p| p.protocol != Some(Protocol::Tcp)).map(|p| format!("connect {p}"));
        match sends {
            Some(rule) => Decision::allowed(rule),
            None => self.decide_listen(Protocol::Udp, address),
        }
    }
}

/// Returns whether the grant `rule` of `name` extends to an address of this class. `localhost` is
/// this machine if the rule names it: `*` does not.
fn reaches(rule: &SocketPattern, name: &str, class: AddressClass) -> bool {
    match class {
        AddressClass::Public => true,
        AddressClass::Loopback => {
            rule.host != HostPattern::Name(NamePattern::Any) && HostName::read(name).is_localhost()
        }
        AddressClass::LinkLocal | AddressClass::Private => false,
    }
}

/// Returns the grant that allows a request: by name where that is enough to reach the address.
pub(crate) fn grant_for(protocol: Protocol, address: SocketAddr, names: &[String]) -> String {
    let class = AddressClass::of(address.ip());
    let enough = |name: &&String| match class {
        AddressClass::Public => true,
        AddressClass::Loopback => HostName::read(name).is_localhost(),
        AddressClass::LinkLocal | AddressClass::Private => false,
    };
    match names.iter().filter(enough).find_map(|name| HostPattern::exactly(HostName::read(name))) {
        Some(host) => pattern(protocol, host, address.port()),
        None => grant_of_address(protocol, address),
    }
}

/// Returns the grant of this address and port.
pub(crate) fn grant_of_address(protocol: Protocol, address: SocketAddr) -> String {
    pattern(protocol, exact_net(address.ip()), address.port())
}

fn pattern(protocol: Protocol, host: HostPattern, port: u16) -> String {
    let protocol = (protocol == Protocol::Udp).then_some(protocol);
    SocketPattern { protocol, host, ports: Ports::one(port) }.to_string()
}

/// Returns the pattern of this address alone.
pub(crate) fn exact_net(ip: IpAddr) -> HostPattern {
    HostPattern::Net(IpNet::from(ip.to_canonical()))
}
