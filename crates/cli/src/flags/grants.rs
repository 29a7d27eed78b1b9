//! Flags for grants and denials, the same for every command that starts a guest.

use crate::error::{CommandError, of_pattern};
use clap::Args;
use std::path::PathBuf;
use walnut_policy::{Capability, Policy};

/// Grants and denials. Without any, the guest may do nothing.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Grants (by default, nothing is granted)")]
pub struct GrantFlags {
    /// Let the guest see the folder HOST at the path GUEST, read-only (ro, the default) or
    /// read-write (rw)
    #[arg(long, value_name = "HOST::GUEST[::ro|rw]")]
    dir: Vec<String>,
    /// Let the guest see an environment variable, with VALUE or with its value in this environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Let the guest connect over TCP or UDP: `db.internal:5432`, `*.example.com:443`,
    /// `10.0.0.0/8:*`, `udp:1.1.1.1:53`
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<String>,
    /// Let the guest listen on a port: `127.0.0.1:8080`, `*:9000-9099`
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Let the guest look up host names; names that it may connect to need no grant of their own
    #[arg(long, value_name = "NAME")]
    resolve: Vec<String>,
    /// Let the guest send HTTP requests: `https://api.example.com/**`, `GET,HEAD
    /// https://*.example.com`
    #[arg(long, value_name = "[METHODS] URL")]
    http: Vec<String>,
    /// Let the guest do everything that no --deny-… flag forbids. It is then not sealed at all
    #[arg(long)]
    pub allow_all: bool,

    /// Deny a guest path and everything below it
    #[arg(long, value_name = "GUEST", help_heading = "Denials (each overrides every grant)")]
    deny_dir: Vec<String>,
    /// Deny an environment variable: `NAME`, `PREFIX_*` or `*`
    #[arg(long, value_name = "NAME", help_heading = "Denials (each overrides every grant)")]
    deny_env: Vec<String>,
    /// Deny connections to a name or an address
    #[arg(long, value_name = "HOST:PORT", help_heading = "Denials (each overrides every grant)")]
    deny_connect: Vec<String>,
    /// Deny listening on an address
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Denials (each overrides every grant)")]
    deny_listen: Vec<String>,
    /// Deny looking up a host name
    #[arg(long, value_name = "NAME", help_heading = "Denials (each overrides every grant)")]
    deny_resolve: Vec<String>,
    /// Deny HTTP requests to a URL
    #[arg(long, value_name = "[METHODS] URL", help_heading = "Denials (each overrides every grant)")]
    deny_http: Vec<String>,

    /// Do not explain denials
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
    /// Append each decision to FILE, as one line of JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub audit: Option<PathBuf>,
}

impl GrantFlags {
    /// Returns the policy that the flags describe.
    pub fn policy(&self) -> Result<Policy, CommandError> {
        let mut policy = Policy::sealed();
        if self.allow_all {
            policy.allow_all();
        }
        for capability in Capability::ALL {
            let (grants, denials) = self.of(capability);
            for text in grants {
                policy.allow(capability, text).map_err(|e| of_pattern(capability.name(), &e))?;
            }
            for text in denials {
                policy.deny(capability, text).map_err(|e| of_pattern(&format!("deny-{capability}"), &e))?;
            }
        }
        Ok(policy)
    }

    /// Returns the grants and the denials of a capability.
    fn of(&self, capability: Capability) -> (&[String], &[String]) {
        match capability {
            Capability::Dir => (&self.dir, &self.deny_dir),
            Capability::Env => (&self.env, &self.deny_env),
            Capability::Connect => (&self.connect, &self.deny_connect),
            Capability::Listen => (&self.listen, &self.deny_listen),
            Capability::Resolve => (&self.resolve, &self.deny_resolve),
            Capability::Http => (&self.http, &self.deny_http),
        }
    }

    /// Returns whether no flag grants or denies anything.
    pub fn is_empty(&self) -> bool {
        let is_empty = |(grants, denials): (&[String], &[String])| grants.is_empty() && denials.is_empty();
        !self.allow_all && Capability::ALL.into_iter().all(|capability| is_empty(self.of(capability)))
    }
}
