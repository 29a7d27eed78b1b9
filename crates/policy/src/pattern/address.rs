use super::name::{NamePattern, canonical};
use super::{LONGEST, PatternError, Ports};
use crate::Protocol;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HINT: &str = "write `HOST:PORT`: `db.internal:5432`, `*.example.com:443`, `10.0.0.0/8:*`, `[::1]:8000-8999`";

/// Who a socket may reach, or where it may listen: `[tcp:|udp:]HOST:PORTS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPattern {
    /// `None` is both.
    pub protocol: Option<Protocol>,
    pub host: HostPattern,
    pub ports: Ports,
}

/// The host part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Name(NamePattern),
    /// One address or a CIDR block. Written by hand, so it may be private.
    Net(IpNet),
}

/// What kind of place an address is. Only public addresses can be reached by a name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    Public,
    Loopback,
    /// 169.254.0.0/16 and fe80::/10, where clouds serve their instance metadata.
    LinkLocal,
    /// Private, shared, unique-local and otherwise not public.
    Private,
}

impl AddressClass {
    /// The class of `ip`. An IPv4 address that is carried inside an IPv6 one counts as what it is.
    pub fn of(ip: IpAddr) -> Self {
        match unwrap_v4(ip) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    /// IANA's IPv4 special-purpose registry (RFC 6890), as far as it is not public.
    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, c, _] = ip.octets();
        if ip.is_loopback() {
            AddressClass::Loopback
        } else if ip.is_link_local() {
            AddressClass::LinkLocal
        } else if ip.is_private()
            || a == 0
            || a >= 224
            || (a == 100 && (64..128).contains(&b))
            || (a == 192 && b == 0 && c == 0)
            || (a == 198 && (b == 18 || b == 19))
            || ip == Ipv4Addr::new(168, 63, 129, 16)
        {
            // 168.63.129.16 is public by number and the host agent of one large cloud in fact.
            AddressClass::Private
        } else {
            AddressClass::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let first = ip.segments()[0];
        if ip.is_loopback() {
            AddressClass::Loopback
        } else if first & 0xffc0 == 0xfe80 {
            AddressClass::LinkLocal
        } else if ip.is_unspecified()
            || first & 0xfe00 == 0xfc00
            || first & 0xffc0 == 0xfec0
            || first & 0xff00 == 0xff00
        {
            AddressClass::Private
        } else {
            AddressClass::Public
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

/// The IPv4 address inside an IPv4-mapped (RFC 4291), NAT64 (RFC 6052) or 6to4 (RFC 3056) one, or `ip` itself.
pub(crate) fn unwrap_v4(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let s = v6.segments();
    let carried = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        [0x2002, high, low, ..] => carried(high, low),
        _ => ip,
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
        let (protocol, rest) = match text.split_once(':') {
            Some(("tcp", rest)) if rest.contains(':') => (Some(Protocol::Tcp), rest),
            Some(("udp", rest)) if rest.contains(':') => (Some(Protocol::Udp), rest),
            _ => (None, text),
        };
        let (host, ports) = rest.rsplit_once(':').ok_or_else(|| error("has no port"))?;
        if host.is_empty() {
            return Err(error("has no host"));
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(PatternError::new(
                text,
                "has an IPv6 address without brackets",
                "write it as `[::1]:443` or `[fd00::/8]:443`",
            ));
        }
        let ports = Ports::parse(ports).ok_or_else(|| error("has no port, port range or `*` after its last colon"))?;
        Ok(SocketPattern {
            protocol,
            host: HostPattern::parse(host).map_err(|e| PatternError { text: text.into(), ..e })?,
            ports,
        })
    }

    /// Whether an address that was given as such is one of them. `localhost` is loopback, `*` is everything.
    pub(crate) fn matches_address(&self, protocol: Protocol, ip: IpAddr, port: u16) -> bool {
        self.transport(protocol, port) && self.host.matches_ip(ip)
    }

    /// Whether this grants a connection to `name`, whatever its address.
    pub(crate) fn matches_name(&self, protocol: Protocol, name: &str, port: u16) -> bool {
        self.transport(protocol, port) && self.host.matches_name(name)
    }

    fn transport(&self, protocol: Protocol, port: u16) -> bool {
        self.protocol.is_none_or(|p| p == protocol) && self.ports.contains(port)
    }
}

impl HostPattern {
    /// Reads a name pattern, an address or a CIDR block; IPv6 in brackets.
    pub fn parse(host: &str) -> Result<Self, PatternError> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let numeric = bare.unwrap_or(host);
        if let Ok(ip) = numeric.parse::<IpAddr>() {
            return Ok(HostPattern::Net(IpNet::from(unwrap_v4(ip))));
        }
        if let Ok(net) = numeric.parse::<IpNet>() {
            return Ok(HostPattern::Net(net.trunc()));
        }
        if bare.is_some() || looks_numeric(host) {
            return Err(PatternError::new(host, "is not an address", HINT));
        }
        NamePattern::parse(host).map(HostPattern::Name)
    }

    /// Whether this names `ip` itself, rather than a name that may lead to it.
    pub(crate) fn matches_ip(&self, ip: IpAddr) -> bool {
        let ip = unwrap_v4(ip);
        match self {
            HostPattern::Net(net) => net.contains(&ip),
            HostPattern::Name(NamePattern::Any) => AddressClass::of(ip) == AddressClass::Public,
            HostPattern::Name(name) => name.matches("localhost") && AddressClass::of(ip) == AddressClass::Loopback,
        }
    }

    pub(crate) fn matches_name(&self, name: &str) -> bool {
        match self {
            HostPattern::Name(pattern) => pattern.matches(name),
            HostPattern::Net(_) => false,
        }
    }
}

/// Whether a resolver could read `host` as a number (`127.1`, `0x7f000001`, `2130706433`): never a name.
pub(crate) fn looks_numeric(host: &str) -> bool {
    let host = canonical(host);
    let last = host.rsplit('.').next().unwrap_or("");
    !last.is_empty()
        && (last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit())))
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
