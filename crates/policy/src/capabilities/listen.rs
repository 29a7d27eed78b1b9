//! `listen`: inbound TCP connections and UDP datagrams.

use crate::decision::Decision;
use crate::pattern::address::{HostPattern, SocketPattern};
use crate::pattern::name::NamePattern;
use crate::pattern::pattern::PatternError;
use crate::pattern::protocol::Protocol;
use crate::policy::Policy;
use std::fmt;
use std::net::SocketAddr;

/// Writes the request as a phrase.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, protocol: Protocol, address: SocketAddr) -> fmt::Result {
    write!(f, "listen on {address} over {protocol}")
}

impl Policy {
    pub(crate) fn decide_listen(&self, protocol: Protocol, address: SocketAddr) -> Decision {
        let (ip, port) = (address.ip(), address.port());
        if let Some(rule) = self.listen.deny.iter().find(|p| p.denies_listening(protocol, ip, port)) {
            return Decision::denied_by(format!("deny-listen {rule}"));
        }
        let rule = self.listen.allow.iter().find(|p| p.grants_listening(protocol, ip, port));
        self.grant(rule.map(|p| format!("listen {p}")))
    }
}

/// Reads a rule: an address of this machine.
pub(crate) fn parse(text: &str) -> Result<SocketPattern, PatternError> {
    const HINT: &str = "write an address of this machine: `127.0.0.1:8080`, `0.0.0.0:8080`, `localhost:8080`, `*:8080`";
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let is_port = text.parse::<u16>().is_ok();
        let hint = if is_port { format!("write `127.0.0.1:{text}`, or `*:{text}` for all") } else { HINT.to_owned() };
        return Err(PatternError::new(text, "has no address", hint));
    }
    let is_here = |pattern: &SocketPattern| match &pattern.host {
        HostPattern::Name(name) => *name == NamePattern::Any || name.matches("localhost"),
        HostPattern::Net(_) => true,
    };
    match SocketPattern::parse(text) {
        Ok(pattern) if is_here(&pattern) => Ok(pattern),
        Ok(_) => Err(PatternError::new(text, "names a host that is not this one", HINT)),
        Err(mut error) => {
            // The example is of `connect`, whose address may be elsewhere.
            let example = error.hint.split('`').nth(1).map(SocketPattern::parse);
            if !example.is_some_and(|example| example.is_ok_and(|pattern| is_here(&pattern))) {
                error.hint = HINT.to_owned();
            }
            Err(error)
        }
    }
}
