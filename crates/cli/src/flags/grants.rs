//! Flags for grants and denials, the same for every command that starts a guest.

use crate::error::{CommandError, of_pattern};
use clap::Args;
use std::path::PathBuf;
use walnut_policy::{Capability, Policy};

/// What the guest may do. Without any of these it may do nothing.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Grants (nothing is granted unless you do)")]
pub struct GrantFlags {
    /// Let the guest see the folder HOST as GUEST, to read (ro, unless said) or to write too (rw)
    #[arg(long, value_name = "HOST::GUEST[::ro|rw]")]
    dir: Vec<String>,
    /// Let the guest see an environment variable: with this VALUE, or with the one that is set here
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Let the guest connect over TCP or UDP: `db.internal:5432`, `*.example.com:443`,
    /// `10.0.0.0/8:*`, `udp:1.1.1.1:53`
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<String>,
    /// Let the guest listen: `127.0.0.1:8080`, `*:9000-9099`
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Let the guest look up names; what it may connect to by name it may look up without this
    #[arg(long, value_name = "NAME")]
    resolve: Vec<String>,
    /// Let the guest send HTTP requests: `https://api.example.com/**`, `GET,HEAD
    /// https://*.example.com`
    #[arg(long, value_name = "[METHODS] URL")]
    http: Vec<String>,
    /// Let the guest do everything that no --deny-… forbids. It is then not sealed at all
    #[arg(long)]
    pub allow_all: bool,

    /// Deny a guest path and all below it
    #[arg(long, value_name = "GUEST", help_heading = "Denials (each beats every grant)")]
    deny_dir: Vec<String>,
    /// Deny a variable: `NAME`, `PREFIX_*` or `*`
    #[arg(long, value_name = "NAME", help_heading = "Denials (each beats every grant)")]
    deny_env: Vec<String>,
    /// Deny connections, by name or by address
    #[arg(long, value_name = "HOST:PORT", help_heading = "Denials (each beats every grant)")]
    deny_connect: Vec<String>,
    /// Deny listening
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Denials (each beats every grant)")]
    deny_listen: Vec<String>,
    /// Deny looking up names
    #[arg(long, value_name = "NAME", help_heading = "Denials (each beats every grant)")]
    deny_resolve: Vec<String>,
    /// Deny HTTP requests
    #[arg(long, value_name = "[METHODS] URL", help_heading = "Denials (each beats every grant)")]
    deny_http: Vec<String>,

    /// Do not explain what was refused
    #[arg(long, short, help_heading = "What you see")]
    pub quiet: bool,
    /// Append every decision to FILE, one JSON line each
    #[arg(long, value_name = "FILE", help_heading = "What you see")]
    pub audit: Option<PathBuf>,
}

impl GrantFlags {
    /// The policy that the flags describe.
    pub fn policy(&self) -> Result<Policy, CommandError> {
        let mut policy = Policy::sealed();
        if self.allow_all {
            policy.allow_all();
        }
        for (capability, grants, denials) in self.by_capability() {
            for text in grants {
                policy.allow(capability, text).map_err(|e| of_pattern(capability.name(), &e))?;
            }
            for text in denials {
                policy.deny(capability, text).map_err(|e| of_pattern(&format!("deny-{capability}"), &e))?;
            }
        }
        Ok(policy)
    }

    fn by_capability(&self) -> [(Capability, &[String], &[String]); 6] {
        [
            (Capability::Dir, &self.dir, &self.deny_dir),
            (Capability::Env, &self.env, &self.deny_env),
            (Capability::Connect, &self.connect, &self.deny_connect),
            (Capability::Listen, &self.listen, &self.deny_listen),
            (Capability::Resolve, &self.resolve, &self.deny_resolve),
            (Capability::Http, &self.http, &self.deny_http),
        ]
    }

    /// Whether any flag grants or denies something.
    pub fn is_empty(&self) -> bool {
        !self.allow_all
            && self.by_capability().iter().all(|(_, grants, denials)| grants.is_empty() && denials.is_empty())
    }
}
