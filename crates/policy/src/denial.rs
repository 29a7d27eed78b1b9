use crate::request::Printable;
use crate::{Access, Protocol, Reason, Request};

/// A refused request: what was asked, why not, and what would allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub request: Request,
    pub reason: Reason,
}

/// What a person adds to allow exactly what was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fix {
    /// For the command line.
    pub flag: String,
    /// For `walnut.toml`, under the component's `allow`.
    pub manifest: String,
}

impl Denial {
    /// The grant that would help; `None` where none can, because a denial or the mount's edge stands in the way.
    ///
    /// `host_dir` says which folder of the host to suggest for a folder of the guest.
    pub fn fix(&self, host_dir: impl Fn(&str) -> String) -> Option<Fix> {
        match &self.reason {
            Reason::DeniedBy(_) | Reason::OutsideMount(_) | Reason::NotAFile => return None,
            Reason::NotGranted | Reason::ReadOnly { .. } | Reason::AddressNotPublic { .. } => {}
        }
        let (capability, pattern) = match &self.request {
            Request::Dir { path, access } => ("dir", self.mount_for(path, *access, host_dir)),
            Request::Env { name } => ("env", name.clone()),
            Request::Connect { protocol, address, names } => ("connect", self.address_for(*protocol, address, names)),
            Request::Listen { protocol, address } => ("listen", socket(*protocol, &address.to_string())),
            Request::BindForSending { .. } => ("connect", "udp:HOST:PORT".to_owned()),
            Request::Resolve { name } => ("resolve", name.clone()),
            Request::ResolvedAddress { address, .. } => ("connect", format!("{}:*", bracketed(*address))),
            Request::Http { method, scheme, host, port, path } => ("http", url_for(method, scheme, host, *port, path)),
            Request::HttpAddress { address, .. } => ("connect", address.to_string()),
        };
        let pattern = Printable(&pattern).to_string();
        Some(Fix {
            flag: format!("--{capability} {}", shell_quoted(&pattern)),
            manifest: format!("{capability} = [{}]", toml_quoted(&pattern)),
        })
    }

    /// The folder that holds the file, since a mount is a folder.
    fn mount_for(&self, path: &str, access: Access, host_dir: impl Fn(&str) -> String) -> String {
        let writes = if access == Access::Write { "::rw" } else { "" };
        if let Reason::ReadOnly { host, name } = &self.reason {
            return format!("{host}::{name}::rw");
        }
        let folder = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((folder, _)) => folder,
        };
        format!("{}::{folder}{writes}", host_dir(folder))
    }

    /// By name where a name may reach it, else by the address.
    fn address_for(&self, protocol: Protocol, address: &std::net::SocketAddr, names: &[String]) -> String {
        match (names.first(), &self.reason) {
            (Some(name), Reason::NotGranted) => socket(protocol, &format!("{name}:{}", address.port())),
            _ => socket(protocol, &address.to_string()),
        }
    }
}

fn socket(protocol: Protocol, address: &str) -> String {
    match protocol {
        Protocol::Tcp => address.to_owned(),
        Protocol::Udp => format!("udp:{address}"),
    }
}

fn bracketed(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(v4) => v4.to_string(),
        std::net::IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn url_for(method: &str, scheme: &str, host: &str, port: u16, path: &str) -> String {
    let port = match (scheme, port) {
        ("http", 80) | ("https", 443) => String::new(),
        _ => format!(":{port}"),
    };
    let path = if path.contains('*') { "/**" } else { path };
    format!("{method} {scheme}://{host}{port}{path}")
}

fn shell_quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,@%+[]=".contains(&b);
    if text.bytes().all(plain) && !text.contains(['[', ']']) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn toml_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
