//! Reads rules and decides requests, capability by capability.

use crate::capabilities::{dir, env, listen};
use crate::capability::Capability;
use crate::decision::Decision;
use crate::pattern::address::{HostPattern, SocketPattern};
use crate::pattern::pattern::PatternError;
use crate::pattern::url::{UrlPattern, UrlRequest};
use crate::policy::Policy;
use crate::request::Request;

impl Policy {
    /// Adds a grant, in the words of the flag and the manifest.
    ///
    /// # Errors
    /// A text that is not a pattern of the capability.
    pub fn allow(&mut self, capability: Capability, text: &str) -> Result<(), PatternError> {
        match capability {
            Capability::Dir => self.allow_mount(text)?,
            Capability::Env => self.allow_env(text)?,
            Capability::Connect => self.connect.allow.push(SocketPattern::parse(text)?),
            Capability::Listen => self.listen.allow.push(listen::parse(text)?),
            Capability::Resolve => self.resolve.allow.push(HostPattern::parse(text)?),
            Capability::Http => self.http.allow.push(UrlPattern::parse(text)?),
        }
        Ok(())
    }

    /// Adds a denial, which beats every grant.
    ///
    /// # Errors
    /// A text that is not a pattern of the capability.
    pub fn deny(&mut self, capability: Capability, text: &str) -> Result<(), PatternError> {
        match capability {
            Capability::Dir => self.dir.deny.push(dir::parse_denial(text)?),
            Capability::Env => self.env.deny.push(env::parse_denial(text)?),
            Capability::Connect => self.connect.deny.push(SocketPattern::parse(text)?),
            Capability::Listen => self.listen.deny.push(listen::parse(text)?),
            Capability::Resolve => self.resolve.deny.push(HostPattern::parse(text)?),
            Capability::Http => self.http.deny.push(UrlPattern::parse(text)?),
        }
        Ok(())
    }

    /// Decides a request. Pure: the same request and policy always give the same answer.
    pub fn decide(&self, request: &Request) -> Decision {
        match request {
            Request::Dir { path, access } => self.decide_dir(path, *access),
            Request::Env { name } => self.decide_env(name),
            Request::Connect { protocol, address, names } => self.decide_connect(*protocol, *address, names),
            Request::Listen { protocol, address } => self.decide_listen(*protocol, *address),
            Request::BindForSending { address } => self.decide_bind(*address),
            Request::Resolve { name } => self.decide_resolve(name),
            Request::ResolvedAddress { name, address } => self.decide_resolved(name, *address),
            Request::Http { method, scheme, host, port, path } => {
                self.decide_http(&UrlRequest { method, scheme, host, port: *port, path })
            }
            Request::HttpAddress { scheme, host, address } => self.decide_http_address(scheme, host, *address),
        }
    }
}
