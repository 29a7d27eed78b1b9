use crate::Capability;
use std::fmt;
use std::net::SocketAddr;

/// Everything that a guest can ask for. Closed on purpose: a new way to authority needs a new variant here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Use a file or folder.
    Dir {
        /// An absolute guest path.
        path: String,
        /// For what.
        access: Access,
    },
    /// See an environment variable.
    Env {
        /// Which.
        name: String,
    },
    /// Send to an address.
    Connect {
        /// Over what.
        protocol: Protocol,
        /// Where to.
        address: SocketAddr,
        /// The names that this sandbox looked up and that gave this address.
        names: Vec<String>,
    },
    /// Receive at an address.
    Listen {
        /// Over what.
        protocol: Protocol,
        /// Where. Port 0 stands for any free port.
        address: SocketAddr,
    },
    /// Take a local address and a free port for a socket that only sends. It reaches nobody by itself.
    BindForSending {
        /// The local address.
        address: SocketAddr,
    },
    /// Look up a name.
    Resolve {
        /// Which.
        name: String,
    },
    /// Learn that a name has this address.
    ResolvedAddress {
        /// The name.
        name: String,
        /// One of its addresses.
        address: std::net::IpAddr,
    },
    /// Send an HTTP request.
    Http {
        /// As the guest wrote it.
        method: String,
        /// `http` or `https`.
        scheme: String,
        /// A name, or an address without brackets.
        host: String,
        /// The one that was written, or the scheme's own.
        port: u16,
        /// Without the query.
        path: String,
    },
    /// Open a connection for an HTTP request that was allowed by its URL.
    HttpAddress {
        /// `http` or `https`.
        scheme: String,
        /// The host in the URL.
        host: String,
        /// What its look-up gave.
        address: SocketAddr,
    },
}

/// What a guest wants to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read content or list a folder.
    Read,
    /// See that it exists, its size and times.
    Stat,
    /// Create, change, rename or remove.
    Write,
    /// Follow a path out of its mount: `..`, an absolute or an escaping symbolic link.
    Escape,
    /// Open a device, a pipe or a socket that lies in a mount.
    Special,
}

/// The transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

impl Request {
    /// The capability that would have to be granted.
    pub fn capability(&self) -> Capability {
        match self {
            Request::Dir { .. } => Capability::Dir,
            Request::Env { .. } => Capability::Env,
            Request::Connect { .. } | Request::BindForSending { .. } => Capability::Connect,
            Request::Listen { .. } => Capability::Listen,
            Request::Resolve { .. } | Request::ResolvedAddress { .. } => Capability::Resolve,
            Request::Http { .. } | Request::HttpAddress { .. } => Capability::Http,
        }
    }
}

/// What was asked, as a phrase that fits after "the guest asked to".
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Dir { path, access } => {
                let verb = match access {
                    Access::Read => "read",
                    Access::Stat => "look at",
                    Access::Write => "write",
                    Access::Escape => "leave its mount through",
                    Access::Special => "open the device, pipe or socket",
                };
                write!(f, "{verb} {}", Printable(path))
            }
            Request::Env { name } => write!(f, "see the variable {}", Printable(name)),
            Request::Connect { protocol, address, names } => match names.first() {
                Some(name) => {
                    write!(f, "connect to {}:{} ({}) over {protocol}", Printable(name), address.port(), address.ip())
                }
                None => write!(f, "connect to {address} over {protocol}"),
            },
            Request::Listen { protocol, address } => write!(f, "listen on {address} over {protocol}"),
            Request::BindForSending { address } => write!(f, "bind {address} over udp to send from"),
            Request::Resolve { name } => write!(f, "look up {}", Printable(name)),
            Request::ResolvedAddress { name, address } => write!(f, "look up {}, which is {address}", Printable(name)),
            Request::Http { method, scheme, host, port, path } => {
                let (method, path) = (Printable(method), Printable(path));
                write!(f, "send {method} {}://{}:{port}{path}", Printable(scheme), Bracketed(host))
            }
            Request::HttpAddress { scheme, host, address } => {
                write!(f, "send to {}://{}, which is {address}", Printable(scheme), Bracketed(host))
            }
        }
    }
}

/// Text of a guest's or a component author's choice, safe in a line on a terminal: control, bidirectional and invisible
/// characters are escaped, and what is longer than a line is cut.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        const MOST: usize = 256;
        for (i, c) in self.0.chars().enumerate() {
            if i == MOST {
                return f.write_str("…");
            }
            if is_hidden(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
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

/// Characters that change what a terminal does or shows, without being seen themselves.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_text_cannot_write_to_the_terminal() {
        let request = Request::Resolve { name: "a\u{1b}[2J\u{202e}b".into() };
        assert_eq!(request.to_string(), "look up a\\u{1b}[2J\\u{202e}b");
    }

    #[test]
    fn guest_text_is_cut() {
        assert_eq!(Printable(&"x".repeat(10_000)).to_string().chars().count(), 257);
    }
}
