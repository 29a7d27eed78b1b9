//! Denials, and the grants that would help.

use crate::capabilities::{connect, dir, http, resolve};
use crate::capability::Capability;
use crate::decision::{Decision, Reason};
use crate::pattern::protocol::Protocol;
use crate::pattern::url::UrlRequest;
use crate::policy::Policy;
use crate::printable::is_hidden;
use crate::request::Request;

/// A refused request, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The request.
    pub request: Request,
    /// Reason of the refusal.
    pub reason: Reason,
}

/// The grant that a person adds to allow exactly the refused request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fix {
    /// Capability to grant.
    pub capability: Capability,
    /// The grant, as [`Policy::allow`] reads it.
    pub pattern: String,
    /// The grant for the command line, quoted for a shell.
    pub flag: String,
    /// The grant for `walnut.toml`, under the component's `allow`.
    pub manifest: String,
}

/// The longest grant that is shown. A person cannot judge a longer grant.
const LONGEST: usize = 1024;

impl Denial {
    /// Returns the grant that would help. Returns `None` where no grant can, because a denial or
    /// the mount's edge stands in the way, and where no pattern describes the request.
    ///
    /// `host_dir` returns the folder of the host to suggest for a folder of the guest.
    pub fn fix(&self, host_dir: impl Fn(&str) -> String) -> Option<Fix> {
        let (capability, pattern) = self.grant(host_dir)?;
        // The guest's request is part of the text, and must not become another grant.
        if pattern.len() > LONGEST || pattern.chars().any(is_hidden) || !self.is_met_by(capability, &pattern) {
            return None;
        }
        let quoted = shell_quoted(&pattern);
        let flag = if pattern.starts_with('-') {
            format!("--{capability}={quoted}")
        } else {
            format!("--{capability} {quoted}")
        };
        let manifest = format!("{capability} = [{}]", toml_quoted(&pattern));
        Some(Fix { capability, pattern, flag, manifest })
    }

    fn grant(&self, host_dir: impl Fn(&str) -> String) -> Option<(Capability, String)> {
        let is_not_granted = self.reason == Reason::NotGranted;
        let by = match &self.reason {
            Reason::ReadOnly { host, name } => return Some((Capability::Dir, format!("{host}::{name}::rw"))),
            Reason::AddressNotPublic { by, .. } => Some(by.as_ref()),
            _ => None,
        };
        let pattern = match &self.request {
            Request::Dir { path, access } if is_not_granted => dir::grant_for(path, *access, host_dir)?,
            Request::Env { name } if is_not_granted => name.clone(),
            Request::Connect { protocol, address, names } if is_not_granted => {
                connect::grant_for(*protocol, *address, names)
            }
            Request::Connect { protocol, address, .. } if by.is_some() => {
                connect::grant_of_address(*protocol, *address)
            }
            Request::Listen { protocol, address } if is_not_granted => connect::grant_of_address(*protocol, *address),
            Request::BindForSending { address } if is_not_granted => {
                return Some((Capability::Listen, connect::grant_of_address(Protocol::Udp, *address)));
            }
            Request::Resolve { name } if is_not_granted => resolve::grant_for(name)?,
            Request::ResolvedAddress { address, .. } => return by.map(|by| resolve::grant_of_address(by, *address)),
            Request::Http { method, scheme, host, port, path } if is_not_granted => {
                http::grant_for(&UrlRequest { method, scheme, host, port: *port, path })?
            }
            Request::HttpAddress { scheme, address, .. } if by.is_some() => http::grant_of_address(scheme, *address)?,
            _ => return None,
        };
        Some((self.request.capability(), pattern))
    }

    /// Returns whether a policy with this grant alone allows the request.
    fn is_met_by(&self, capability: Capability, pattern: &str) -> bool {
        let mut policy = Policy::sealed();
        let reads = policy.allow(capability, pattern).is_ok();
        // An address may be learned only with the grant of its name, too, which is there already.
        let met = || matches!(policy.decide(&self.request), Decision::Allowed { .. });
        reads && (matches!(self.request, Request::ResolvedAddress { .. }) || met())
    }
}

fn shell_quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn toml_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
