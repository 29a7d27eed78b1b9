//! Settings of the commands: plain values, resolved from the flags once. No other file takes flags
//! apart.

use crate::error::CommandError;
use crate::flags::{AccessLogFlag, CallArgs, ConnectionFlags, GrantFlags, RunArgs, ServeArgs};
use std::net::SocketAddr;
use std::path::PathBuf;
use walnut_engine::Tiers;
use walnut_host::{AccessFormat, AdmissionLimits, ComponentDefaults, ServerConfig};
use walnut_policy::{Limits, Policy};

/// Grants, denials, and where decisions are reported.
pub struct GrantSettings {
    /// Policy of the flags. An app's manifest has policies of its own.
    pub policy: Policy,
    /// Whether any flag grants or denies something.
    pub has_rules: bool,
    /// Whether denials are not explained on standard error.
    pub is_quiet: bool,
    /// Audit file.
    pub audit: Option<PathBuf>,
}

impl GrantSettings {
    fn resolve(flags: GrantFlags) -> Result<Self, CommandError> {
        let (policy, has_rules) = (flags.policy()?, !flags.is_empty());
        Ok(GrantSettings { policy, has_rules, is_quiet: flags.quiet, audit: flags.audit })
    }
}

/// Settings of a command that starts one guest: `run` and `call`.
pub struct GuestSettings {
    /// Path of the component, or `-`.
    pub target: String,
    /// Arguments of the guest, without its name.
    pub arguments: Vec<String>,
    pub grants: GrantSettings,
    pub limits: Limits,
    pub tiers: Tiers,
}

impl GuestSettings {
    /// Resolves the flags of `run`.
    pub fn of_run(args: RunArgs) -> Result<Self, CommandError> {
        let mut words = args.target.into_iter();
        Ok(GuestSettings {
            target: words.next().unwrap_or_default(),
            arguments: words.collect(),
            grants: GrantSettings::resolve(args.grants)?,
            limits: args.limits.limits,
            tiers: args.tier.tiers(),
        })
    }

    /// Resolves the flags of `call`, except the call itself.
    pub fn of_call(args: CallArgs) -> Result<Self, CommandError> {
        Ok(GuestSettings {
            target: args.target,
            arguments: Vec::new(),
            grants: GrantSettings::resolve(args.grants)?,
            limits: args.limits.limits,
            tiers: args.tier.tiers(),
        })
    }
}

/// PEM files of a certificate and its private key.
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Settings of `serve`.
pub struct ServeSettings {
    /// Components and apps to serve.
    pub targets: Vec<String>,
    /// Whether a changed file causes a reload.
    pub watches: bool,
    /// Address and behaviour of the server, still without TLS.
    pub server: ServerConfig,
    /// Certificate to serve with; `None` serves in the clear.
    pub tls: Option<TlsFiles>,
    /// Address of the admin page.
    pub admin: Option<SocketAddr>,
    /// Format of the access log; `None` is off.
    pub access_log: Option<AccessFormat>,
    /// Sandboxes of all components together.
    pub node_sandboxes: u32,
    pub grants: GrantSettings,
    pub tiers: Tiers,
    /// Settings of components without settings of their own.
    pub defaults: ComponentDefaults,
}

impl ServeSettings {
    /// Resolves the flags.
    pub fn resolve(args: ServeArgs) -> Result<Self, CommandError> {
        let mut server = ServerConfig::new(args.addr);
        server.drain = args.drain;
        server.workers = args.workers.map_or(server.workers, usize::from);
        let tls = resolve_connections(args.connections, &mut server);
        Ok(ServeSettings {
            targets: args.targets,
            watches: args.watch,
            server,
            tls,
            admin: args.admin,
            access_log: match args.access_log {
                AccessLogFlag::Off => None,
                AccessLogFlag::Human => Some(AccessFormat::Human),
                AccessLogFlag::Json => Some(AccessFormat::Json),
            },
            node_sandboxes: args.node_sandboxes,
            grants: GrantSettings::resolve(args.grants)?,
            tiers: args.tier.tiers(),
            defaults: ComponentDefaults {
                limits: args.limits.limits,
                admission: AdmissionLimits {
                    sandboxes: args.sandboxes,
                    queue: args.queue,
                    queue_timeout: args.queue_timeout,
                },
                reuse: args.reuse,
            },
        })
    }

    /// Returns whether the access log, and so the output of guests, is JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.access_log, Some(AccessFormat::Json))
    }

    /// Returns the scheme of the server's URL.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

fn resolve_connections(flags: ConnectionFlags, server: &mut ServerConfig) -> Option<TlsFiles> {
    server.trusts_forwarded = flags.trust_forwarded;
    server.sets_forwarded_for = flags.forward_client;
    server.max_connections = usize::try_from(flags.max_connections).unwrap_or(usize::MAX);
    server.head_timeout = flags.head_timeout;
    server.body_timeout = flags.body_timeout;
    server.stall_timeout = flags.stall_timeout;
    let (certificate, key) = (flags.tls_cert?, flags.tls_key?);
    Some(TlsFiles { certificate, key })
}
