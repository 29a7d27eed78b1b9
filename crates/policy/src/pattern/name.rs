//! Host names: `example.com`, `*.example.com`, `*`.

use crate::pattern::pattern::{LONGEST, PatternError};
use std::fmt;
use std::net::IpAddr;

const HINT: &str = "write a name such as `example.com`, `*.example.com`, or `*`";

/// A host name: exact, every name below one (`*.example.com`), or any (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// Every name.
    Any,
    /// This name alone: lower case, without the final dot, in ASCII.
    Exact(String),
    /// The part after `*.`. The name itself does not match.
    Below(String),
}

/// A host as a guest named it, in the form that rules compare.
///
/// Resolvers read many spellings: `127.1`, `0x7f000001`, `EXAMPLE.com.`, full-width letters,
/// percent escapes. Rules must see the host that the resolver will see, so this reads names by the
/// same rules (WHATWG URL, "host parsing").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostName {
    /// An address, however it was written.
    Ip(IpAddr),
    /// Lower case, without the final dot, in ASCII.
    Name(String),
    /// Text that the rules for hosts do not allow. Most resolvers fail on it; denials still see it.
    Unreadable(String),
}

impl HostName {
    /// Reads `text`, with or without the brackets of an IPv6 address.
    pub fn read(text: &str) -> Self {
        // Most names are plain, and need no parsing.
        let plain = text.strip_suffix('.').unwrap_or(text);
        if is_host_name(plain) && !ends_in_number(plain) && !has_punycode(plain) {
            return HostName::Name(plain.to_ascii_lowercase());
        }
        if let Ok(ip) = text.parse() {
            return HostName::Ip(ip);
        }
        let undotted = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        match url::Host::parse(text) {
            Ok(url::Host::Ipv4(ip)) => HostName::Ip(ip.into()),
            Ok(url::Host::Ipv6(ip)) => HostName::Ip(ip.into()),
            Ok(url::Host::Domain(name)) => match undotted(&name) {
                // Two dots at the end hide a number, which no resolver takes then.
                name if name.is_empty() || ends_in_number(&name) => HostName::Unreadable(name),
                name => HostName::Name(name),
            },
            Err(_) => HostName::Unreadable(undotted(text)),
        }
    }

    /// Returns whether the name is this machine: `localhost` or a name below it (RFC 6761 section
    /// 6.3).
    pub fn is_localhost(&self) -> bool {
        matches!(self, HostName::Name(name) if name == "localhost" || name.ends_with(".localhost"))
    }
}

impl NamePattern {
    /// Reads a pattern. Names compare without case and without the final dot; other scripts are
    /// read as punycode.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |problem: &str| PatternError::new(text, problem, HINT);
        if text.len() > LONGEST {
            return Err(error("is too long"));
        }
        if text == "*" {
            return Ok(NamePattern::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(error("has a `*` that is not the whole first part"));
        }
        // An escape is for URLs; in a rule it would only hide the name.
        match HostName::read(name) {
            HostName::Name(name) if is_host_name(&name) && !text.contains('%') => {
                Ok(if below { NamePattern::Below(name) } else { NamePattern::Exact(name) })
            }
            _ => Err(error("is not a host name")),
        }
    }

    /// Returns whether the pattern covers `name`.
    pub fn matches(&self, name: &str) -> bool {
        match (self, HostName::read(name)) {
            (NamePattern::Any, _) => true,
            (_, HostName::Name(name)) => self.matches_read(&name),
            _ => false,
        }
    }

    /// Like [`NamePattern::matches`], for a name that [`HostName::read`] returned.
    pub(crate) fn matches_read(&self, name: &str) -> bool {
        match self {
            NamePattern::Any => true,
            NamePattern::Exact(exact) => exact == name,
            NamePattern::Below(base) => {
                name.strip_suffix(base.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamePattern::Any => f.write_str("*"),
            NamePattern::Exact(name) => f.write_str(name),
            NamePattern::Below(base) => write!(f, "*.{base}"),
        }
    }
}

/// Returns whether a host ends in a number (WHATWG URL). Such a host is an address or invalid,
/// never a name.
pub(crate) fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    !last.is_empty()
        && (last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())))
}

/// Returns whether `name` is a name as in use: RFC 1123 section 2.1, with underscores, which
/// service names have, and hyphens anywhere, which some hosting services assign.
fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Returns whether the name has punycode, which may be wrong, or stand for plain letters.
fn has_punycode(name: &str) -> bool {
    name.split('.').any(|label| label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")))
}
