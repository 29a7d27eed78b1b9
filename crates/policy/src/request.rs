//! The requests of guests.

use crate::capabilities::dir::Access;
use crate::capabilities::{connect, dir, env, http, listen, resolve};
use crate::capability::Capability;
use crate::pattern::protocol::Protocol;
use crate::pattern::url::UrlRequest;
use std::fmt;
use std::net::SocketAddr;

/// Everything that a guest can ask for. Closed on purpose: a new way to authority needs a new
/// variant here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Use a file or folder.
    Dir {
        /// An absolute guest path.
        path: String,
        /// Use of the file.
        access: Access,
    },
    /// See an environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// Send to an address.
    Connect {
        /// Transport.
        protocol: Protocol,
        /// Destination.
        address: SocketAddr,
        /// The names that this sandbox looked up and that gave this address.
        names: Vec<String>,
    },
    /// Receive at an address.
    Listen {
        /// Transport.
        protocol: Protocol,
        /// Local address. Port 0 stands for any free port.
        address: SocketAddr,
    },
    /// Take a local address and a free port for a socket that only sends. Reaches nobody by itself.
    BindForSending {
        /// The local address.
        address: SocketAddr,
    },
    /// Look up a name.
    Resolve {
        /// Its name.
        name: String,
    },
    /// Learn that a name has this address.
    ResolvedAddress {
        /// The name.
        name: String,
        /// An address of it.
        address: std::net::IpAddr,
    },
    /// Send an HTTP request.
    Http {
        /// Method, as the guest wrote it.
        method: String,
        /// `http` or `https`.
        scheme: String,
        /// A name, or an address without brackets.
        host: String,
        /// Port as written, or the scheme's own.
        port: u16,
        /// Path without the query.
        path: String,
    },
    /// Open a connection for an HTTP request that was allowed by its URL.
    HttpAddress {
        /// `http` or `https`.
        scheme: String,
        /// The host in the URL.
        host: String,
        /// Address that the look-up of the host returned.
        address: SocketAddr,
    },
}

impl Request {
    /// Returns the capability that would have to be granted.
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

/// Writes the request as a phrase that fits after "the guest asked to".
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Dir { path, access } => dir::describe(f, path, *access),
            Request::Env { name } => env::describe(f, name),
            Request::Connect { protocol, address, names } => connect::describe(f, *protocol, *address, names),
            Request::Listen { protocol, address } => listen::describe(f, *protocol, *address),
            Request::BindForSending { address } => write!(f, "bind {address} over udp to send from"),
            Request::Resolve { name } => resolve::describe(f, name),
            Request::ResolvedAddress { name, address } => resolve::describe_address(f, name, *address),
            Request::Http { method, scheme, host, port, path } => {
                http::describe(f, &UrlRequest { method, scheme, host, port: *port, path })
            }
            Request::HttpAddress { scheme, host, address } => http::describe_address(f, scheme, host, *address),
        }
    }
}
