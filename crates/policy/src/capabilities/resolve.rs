//! `resolve`: name look-ups, and the addresses that come of them.

use crate::capabilities::connect::exact_net;
use crate::capability::Capability;
use crate::decision::{Decision, Reason};
use crate::pattern::address::{AddressClass, HostPattern, SocketPattern};
use crate::pattern::name::HostName;
use crate::policy::Policy;
use crate::printable::Printable;
use std::fmt;
use std::net::IpAddr;

/// Writes the request for a name as a phrase.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    write!(f, "look up {}", Printable(name))
}

/// Writes the request for an address of a name as a phrase.
pub(crate) fn describe_address(f: &mut fmt::Formatter<'_>, name: &str, address: IpAddr) -> fmt::Result {
    write!(f, "look up {}, which is {address}", Printable(name))
}

impl Policy {
    pub(crate) fn decide_resolve(&self, name: &str) -> Decision {
        let host = HostName::read(name);
        if let Some(rule) = self.resolve.deny.iter().find(|p| p.denies(&host)) {
            return Decision::denied_by(format!("deny-resolve {rule}"));
        }
        if let Some(rule) = self.resolve.allow.iter().find(|p| p.covers(&host)) {
            return Decision::allowed(format!("resolve {rule}"));
        }
        // A grant to reach a host by its name would be worth nothing without its address.
        if let Some(rule) = self.connect.allow.iter().find(|p| p.host.covers(&host)) {
            return Decision::allowed(format!("connect {rule}"));
        }
        match host {
            HostName::Unreadable(_) if !self.allow_all => Decision::denied(Reason::NotAName),
            _ => self.grant(None),
        }
    }

    /// Decides whether the guest may learn an address: when it could use it, or when a rule to look
    /// up names it.
    pub(crate) fn decide_resolved(&self, name: &str, ip: IpAddr) -> Decision {
        let by_name = self.decide_resolve(name);
        if matches!(by_name, Decision::Denied { .. }) {
            return by_name;
        }
        if let Some(rule) = self.resolve.deny.iter().find(|p| p.is_about_addresses() && p.denies_ip(ip)) {
            return Decision::denied_by(format!("deny-resolve {rule}"));
        }
        let class = AddressClass::of(ip);
        let host = HostName::read(name);
        let own = class == AddressClass::Loopback && host.is_localhost();
        let is_net = |p: &HostPattern| matches!(p, HostPattern::Net(_)) && p.grants_ip(ip);
        let by_address = || self.connect.allow.iter().map(|p| &p.host).chain(&self.resolve.allow).any(is_net);
        if class == AddressClass::Public || own || self.allow_all || by_address() {
            return by_name;
        }
        Decision::not_public(name, class, self.connect.allow.iter().find(|p| p.host.covers(&host)))
    }
}

/// Returns the grant that allows the look-up of a name.
pub(crate) fn grant_for(name: &str) -> Option<String> {
    HostPattern::exactly(HostName::read(name)).map(|host| host.to_string())
}

/// Returns the grant that lets the guest learn an address: of the rule that grants the name, if
/// there is such a rule.
pub(crate) fn grant_of_address(by: Option<&SocketPattern>, address: IpAddr) -> (Capability, String) {
    match by {
        Some(rule) => (Capability::Connect, SocketPattern { host: exact_net(address), ..rule.clone() }.to_string()),
        None => (Capability::Resolve, exact_net(address).to_string()),
    }
}
