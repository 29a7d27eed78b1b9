use crate::Capability;
use std::fmt;
use std::net::SocketAddr;

/// Everything that a guest can ask for. Closed on purpose: a new way to authority needs a new variant here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Use the file or folder at `path`, an absolute guest path.
    Dir { path: String, access: Access },
    /// See the environment variable `name`.
    Env { name: String },
    /// Send to `address`. `names` are the names that this sandbox looked up and that gave this address.
    Connect { protocol: Protocol, address: SocketAddr, names: Vec<String> },
    /// Receive at `address`. Port 0 stands for any free port.
    Listen { protocol: Protocol, address: SocketAddr },
    /// Take a local address and a free port for a socket that only sends. It reaches nobody by itself.
    BindForSending { address: SocketAddr },
    /// Look up `name`.
    Resolve { name: String },
    /// Learn that `name` has this address.
    ResolvedAddress { name: String, address: std::net::IpAddr },
    /// Send an HTTP request. `path` carries no query.
    Http { method: String, scheme: String, host: String, port: u16, path: String },
    /// Open a connection for an HTTP request to `host`, whose look-up gave `address`.
    HttpAddress { scheme: String, host: String, address: SocketAddr },
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
    Tcp,
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
                write!(f, "send {} {scheme}://{}:{port}{}", Printable(method), Printable(host), Printable(path))
            }
            Request::HttpAddress { scheme, host, address } => {
                write!(f, "send to {scheme}://{}, which is {address}", Printable(host))
            }
        }
    }
}

/// Guest-chosen text that is safe on a terminal: control, bidirectional and zero-width characters are escaped, and
/// what is longer than a line is cut.
pub(crate) struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        const MOST: usize = 256;
        for (i, c) in self.0.chars().enumerate() {
            if i == MOST {
                return f.write_str("…");
            }
            let hidden =
                matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if c.is_control() || hidden {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
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
