//! Addresses: `[tcp:|udp:]HOST:PORTS`.

use crate::pattern::name::{HostName, NamePattern, ends_in_number};
use crate::pattern::pattern::{LONGEST, PatternError, Ports, is_slip};
use crate::pattern::protocol::Protocol;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HINT: &str = "write `HOST:PORT`: `db.internal:5432`, `*.example.com:443`, `10.0.0.0/8:*`, `[::1]:8000-8999`";

/// Addresses that a socket may reach, or listen at: `[tcp:|udp:]HOST:PORTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPattern {
    /// Transport; `None` is both.
    pub protocol: Option<Protocol>,
    /// Host.
    pub host: HostPattern,
    /// Ports of the host.
    pub ports: Ports,
}

/// The host part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// By name.
    Name(NamePattern),
    /// An address or a CIDR block. Somebody wrote the number, so it may be private.
    Net(IpNet),
}

/// Kind of place that an address is. A name alone reaches public addresses only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Reachable from anywhere.
    Public,
    /// This machine.
    Loopback,
    /// 169.254.0.0/16 and fe80::/10, where clouds serve their instance metadata.
    LinkLocal,
    /// Private, shared, unique-local and otherwise not public.
    Private,
}

impl AddressClass {
    /// Returns the class of `ip`. An IPv4 address inside an IPv6 address counts as itself.
    pub fn of(ip: IpAddr) -> Self {
        match unwrap_v4(ip) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// Reads IANA's IPv4 special-purpose registry (RFC 6890), as far as it is not public.
    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, _] = ip.octets();
        if ip.is_loopback() {
            AddressClass::Loopback
        } else if ip.is_link_local() {
            AddressClass::LinkLocal
        } else if ip.is_private()
            || ip.is_documentation()
            || a == 0
            || a >= 224
            || (a == 100 && (64..128).contains(&b))
            || (a == 192 && b == 0 && c == 0)
            || (a == 192 && b == 88 && c == 99)
            || (a == 198 && (b == 18 || b == 19))
            || ip == Ipv4Addr::new(168, 63, 129, 16)
        {
            // 168.63.129.16 is public by number and the host agent of one large cloud in fact.
            AddressClass::Private
        } else {
            AddressClass::Public
        }
    }

    /// IANA assigns public IPv6 addresses from 2000::/3 alone, and reserves parts of that.
    fn of_v6(ip: Ipv6Addr) -> Self {
        match ip.segments() {
            _ if ip.is_loopback() => AddressClass::Loopback,
            [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
            // Teredo, benchmarks and other protocols; two blocks for documentation.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Private,
            [0x2000..=0x3fff, ..] => AddressClass::Public,
            _ => AddressClass::Private,
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressClass::Public => "public",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local (where clouds keep instance metadata)",
            AddressClass::Private => "private",
        })
    }
}

/// Returns the IPv4 address that `ip` leads to, or `ip` itself. IPv4-mapped and IPv4-compatible
/// (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052) and 6to4 (RFC 3056) addresses carry an IPv4
/// address.
pub(crate) fn unwrap_v4(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let carried = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => carried(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => carried(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => carried(high, low),
        _ => ip,
    }
}

/// Returns the address at which a packet to `ip` arrives: the unspecified address is this machine.
fn arrival(ip: IpAddr) -> IpAddr {
    match unwrap_v4(ip) {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

impl SocketPattern {
    /// Reads `[tcp:|udp:]HOST:PORTS`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| PatternError::new(text, problem, HINT);
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        if text.contains("://") {
            return Err(PatternError::new(
                text,
                "is a URL, not an address",
                "use `http` for requests, or write `HOST:PORT` here",
            ));
        }
        let (protocol, rest) = split_protocol(text);
        let (host, ports) = rest.rsplit_once(':').ok_or_else(|| no_port(text))?;
        if host.is_empty() {
            return Err(error("has no host"));
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(too_many_colons(text, host, ports));
        }
        let ports = Ports::parse(ports).ok_or_else(|| error(bad_ports(ports)))?;
        let host = HostPattern::read(host, &format!(":{ports}"), HINT)
            .map_err(|e| PatternError::new(text, e.problem, e.hint))?;
        // A host of that name, however it was spelled, is written with its protocol: `tcp:udp:80`.
        if protocol.is_none() && matches!(&host, HostPattern::Name(NamePattern::Exact(n)) if n == "tcp" || n == "udp") {
            return Err(error("has a protocol but no host"));
        }
        Ok(SocketPattern { protocol, host, ports })
    }

    /// Returns whether this grants `ip` itself. `localhost` is loopback, `*` is every public
    /// address.
    pub(crate) fn grants_address(&self, protocol: Protocol, ip: IpAddr, port: u16) -> bool {
        self.transport(protocol, port) && self.host.grants_ip(ip)
    }

    /// Returns whether this grants a connection to `name`, if a name may reach its address.
    pub(crate) fn grants_name(&self, protocol: Protocol, name: &str, port: u16) -> bool {
        self.transport(protocol, port) && self.host.covers(&HostName::read(name))
    }

    /// Returns whether this denies `ip`, to which `names` led: by number, by any of its spellings,
    /// by a name, or because it denies everything.
    pub(crate) fn denies(&self, protocol: Protocol, ip: IpAddr, port: u16, names: &[String]) -> bool {
        self.transport(protocol, port)
            && (self.host.denies_ip(ip) || names.iter().any(|name| self.host.denies(&HostName::read(name))))
    }

    /// Returns whether this grants to receive at `ip`. `*`, or the unspecified address, is every
    /// address of this machine.
    pub(crate) fn grants_listening(&self, protocol: Protocol, ip: IpAddr, port: u16) -> bool {
        let all = match &self.host {
            HostPattern::Name(name) => *name == NamePattern::Any,
            HostPattern::Net(net) => {
                let whole = net.prefix_len() == net.max_prefix_len() && net.addr().is_unspecified();
                whole && net.addr().is_ipv4() == unwrap_v4(ip).is_ipv4()
            }
        };
        self.transport(protocol, port) && (all || self.host.grants_ip(ip))
    }

    /// Returns whether this denies to receive at `ip`. A socket that receives everywhere also
    /// receives where that is denied.
    pub(crate) fn denies_listening(&self, protocol: Protocol, ip: IpAddr, port: u16) -> bool {
        let plain = unwrap_v4(ip);
        let denied = match &self.host {
            HostPattern::Name(_) => plain.is_unspecified() || self.host.denies_ip(ip),
            HostPattern::Net(net) => {
                let overlaps = plain.is_unspecified() && net.addr().is_ipv4() == plain.is_ipv4();
                overlaps || net.contains(&ip) || net.contains(&plain)
            }
        };
        // A port of the system's choice may be a denied port, and for UDP nobody asks again once it
        // is known.
        let chosen = protocol == Protocol::Udp && port == 0 && self.protocol.is_none_or(|p| p == protocol);
        (chosen || self.transport(protocol, port)) && denied
    }

    fn transport(&self, protocol: Protocol, port: u16) -> bool {
        self.protocol.is_none_or(|p| p == protocol) && self.ports.contains(port)
    }
}

fn split_protocol(text: &str) -> (Option<Protocol>, &str) {
    match text.split_once(':') {
        Some((word, rest)) if word.eq_ignore_ascii_case("tcp") && rest.contains(':') => (Some(Protocol::Tcp), rest),
        Some((word, rest)) if word.eq_ignore_ascii_case("udp") && rest.contains(':') => (Some(Protocol::Udp), rest),
        _ => (None, text),
    }
}

/// Explains an unknown protocol, or an address without its brackets.
fn too_many_colons(text: &str, host: &str, ports: &str) -> PatternError {
    let is_address = host.parse::<IpAddr>().is_ok() || host.parse::<IpNet>().is_ok();
    if let Some((word, rest)) = host.split_once(':')
        && !is_address
        && !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_alphabetic())
    {
        let meant = ["tcp", "udp"].into_iter().find(|known| is_slip(word, known));
        let meant = meant.map(|known| format!("{known}:{rest}:{ports}"));
        let hint = match meant.filter(|meant| SocketPattern::parse(meant).is_ok()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "write `tcp:` or `udp:` before the host, or neither for both".to_owned(),
        };
        return PatternError::new(text, "has a protocol that is neither `tcp` nor `udp`", hint);
    }
    let hint = if is_address && Ports::parse(ports).is_some() {
        format!("write `[{host}]:{ports}`")
    } else {
        "write it in brackets, as in `[::1]:443` or `[fd00::/8]:443`".to_owned()
    };
    PatternError::new(text, "has an IPv6 address without brackets", hint)
}

fn bad_ports(text: &str) -> &'static str {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if text.split('-').all(digits) {
        "has a port above 65535, or a range that ends before it begins"
    } else {
        "has no port, port range or `*` after its last colon"
    }
}

fn no_port(text: &str) -> PatternError {
    let hint = match HostPattern::parse(text) {
        Ok(host) => format!("write `{host}:443` for one port, `{host}:8000-8999` for some, `{host}:*` for all"),
        Err(_) => HINT.to_owned(),
    };
    PatternError::new(text, "has no port", hint)
}

impl HostPattern {
    /// Returns the pattern for this host and no other. A guest may call a host `*`, which must not
    /// become the pattern.
    pub(crate) fn exactly(host: HostName) -> Option<Self> {
        match host {
            HostName::Ip(ip) => Some(HostPattern::Net(IpNet::from(ip.to_canonical()))),
            HostName::Name(name) => match NamePattern::parse(&name) {
                Ok(exact @ NamePattern::Exact(_)) => Some(HostPattern::Name(exact)),
                _ => None,
            },
            HostName::Unreadable(_) => None,
        }
    }

    /// Reads a name pattern, an address or a CIDR block; IPv6 in brackets.
    pub fn parse(host: &str) -> Result<Self, PatternError> {
        const HINT: &str = "write a name or an address alone: `example.com`, `*.example.com`, `10.0.0.0/8`, `[::1]`";
        let write = |name: &str| Self::read(name, "", HINT).map_or(HINT.to_owned(), |name| format!("write `{name}`"));
        if let Some((_, rest)) = host.split_once("://") {
            let name = rest.split(['/', ':']).next().unwrap_or_default();
            return Err(PatternError::new(host, "is a URL, not a name", write(name)));
        }
        if let Some((name, port)) = host.rsplit_once(':')
            && !name.contains(':')
            && Ports::parse(port).is_some()
        {
            return Err(PatternError::new(host, "has a port", write(name)));
        }
        Self::read(host, "", HINT)
    }

    /// Like [`HostPattern::parse`], where `ports` follow the host. `otherwise` is the hint where no
    /// better hint is known.
    fn read(host: &str, ports: &str, otherwise: &str) -> Result<Self, PatternError> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let numeric = bare.unwrap_or(host);
        if let Ok(ip) = numeric.parse::<IpAddr>() {
            return Ok(HostPattern::Net(IpNet::from(ip.to_canonical())));
        }
        if let Ok(net) = numeric.parse::<IpNet>() {
            return block(host, net, ports).map(HostPattern::Net);
        }
        if bare.is_some() || host.contains([':', '/']) {
            return Err(PatternError::new(host, "is not an address", otherwise));
        }
        match HostName::read(host) {
            HostName::Ip(ip) => Err(PatternError::new(
                host,
                "is a number that some programs read as an address and some do not",
                format!("write `{}{ports}` if that is what you mean", HostPattern::Net(IpNet::from(ip))),
            )),
            _ if ends_in_number(host.trim_end_matches('.')) => {
                Err(PatternError::new(host, "is not an address", otherwise))
            }
            _ => {
                let name = NamePattern::parse(host).map(HostPattern::Name);
                name.map_err(|e| PatternError::new(host, e.problem, otherwise))
            }
        }
    }

    /// Returns whether this names `ip` itself, rather than a name that may lead to it.
    pub(crate) fn grants_ip(&self, ip: IpAddr) -> bool {
        let plain = unwrap_v4(ip);
        match self {
            // A block of carriers covers those, not every IPv4 address in its own form.
            HostPattern::Net(net) => net.contains(&plain) || (unwrap_v4(net.addr()) != net.addr() && net.contains(&ip)),
            HostPattern::Name(NamePattern::Any) => AddressClass::of(plain) == AddressClass::Public,
            HostPattern::Name(name) => {
                name.matches_read("localhost") && AddressClass::of(plain) == AddressClass::Loopback
            }
        }
    }

    /// Returns whether this denies `ip` in any of its spellings.
    pub(crate) fn denies_ip(&self, ip: IpAddr) -> bool {
        let arrives = arrival(ip);
        match self {
            HostPattern::Net(net) => {
                let single = net.prefix_len() == net.max_prefix_len();
                net.contains(&ip)
                    || net.contains(&unwrap_v4(ip))
                    || net.contains(&arrives)
                    || (single && arrival(net.addr()) == arrives)
            }
            HostPattern::Name(NamePattern::Any) => true,
            HostPattern::Name(name) => {
                name.matches_read("localhost") && AddressClass::of(arrives) == AddressClass::Loopback
            }
        }
    }

    /// Whether this covers a host by the name, or the address, that it was called by.
    pub(crate) fn covers(&self, host: &HostName) -> bool {
        match (self, host) {
            (_, HostName::Ip(ip)) => self.grants_ip(*ip),
            (HostPattern::Name(pattern), HostName::Name(name)) => pattern.matches_read(name),
            (HostPattern::Name(pattern), HostName::Unreadable(_)) => *pattern == NamePattern::Any,
            (HostPattern::Net(_), _) => false,
        }
    }

    /// As [`HostPattern::covers`], for denials.
    pub(crate) fn denies(&self, host: &HostName) -> bool {
        match (self, host) {
            (_, HostName::Ip(ip)) => self.denies_ip(*ip),
            (HostPattern::Name(pattern), HostName::Name(name) | HostName::Unreadable(name)) => {
                pattern.matches_read(name)
            }
            (HostPattern::Net(_), _) => false,
        }
    }

    /// Whether this is about addresses as such: a number, a block, or `localhost`.
    pub(crate) fn is_about_addresses(&self) -> bool {
        match self {
            HostPattern::Net(_) => true,
            HostPattern::Name(name) => *name == NamePattern::Exact("localhost".into()),
        }
    }
}

/// A block as it must be written: with the bits below its length zero, or it is not clear what was
/// meant.
fn block(text: &str, net: IpNet, ports: &str) -> Result<IpNet, PatternError> {
    let net = match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).unwrap_or(net),
            None => net,
        },
        _ => net,
    };
    if net.trunc() == net {
        return Ok(net);
    }
    let (whole, one) = (HostPattern::Net(net.trunc()), HostPattern::Net(IpNet::from(net.addr())));
    Err(PatternError::new(
        text,
        "is an address inside a block",
        format!("write `{whole}{ports}` for the whole block, or `{one}{ports}` for the one address"),
    ))
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{protocol}:")?;
        }
        write!(f, "{}:{}", self.host, self.ports)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Name(name) => name.fmt(f),
            HostPattern::Net(net) => {
                let whole = net.prefix_len() == net.max_prefix_len();
                let text = if whole { net.addr().to_string() } else { net.to_string() };
                if net.addr().is_ipv6() { write!(f, "[{text}]") } else { f.write_str(&text) }
            }
        }
    }
}
