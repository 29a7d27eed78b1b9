//! The flags that grant and deny, the same for every command that starts a guest.

use crate::audit::{self, ServerAudit};
use crate::error::{CommandError, of_pattern};
use crate::printer::Printer;
use clap::Args;
use std::env::VarError;
use std::path::PathBuf;
use std::sync::Arc;
use walnut_engine::{Audit, Explainer, Gate, Listener};
use walnut_host::ComponentMetrics;
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
    /// Let the guest connect over TCP or UDP: `db.internal:5432`, `*.example.com:443`, `10.0.0.0/8:*`, `udp:1.1.1.1:53`
    #[arg(long, value_name = "HOST:PORT")]
    connect: Vec<String>,
    /// Let the guest listen: `127.0.0.1:8080`, `*:9000-9099`
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Let the guest look up names; what it may connect to by name it may look up without this
    #[arg(long, value_name = "NAME")]
    resolve: Vec<String>,
    /// Let the guest send HTTP requests: `https://api.example.com/**`, `GET,HEAD https://*.example.com`
    #[arg(long, value_name = "[METHODS] URL")]
    http: Vec<String>,
    /// Let the guest do everything that no --deny-… forbids. It is then not sealed at all
    #[arg(long)]
    allow_all: bool,

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
    quiet: bool,
    /// Append every decision to FILE, one JSON line each
    #[arg(long, value_name = "FILE", help_heading = "What you see")]
    audit: Option<PathBuf>,
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

    /// The gate for `component` under the policy of the flags. `arguments` are the guest's.
    pub fn gate(&self, component: &str, arguments: &[String], printer: Printer) -> Result<Gate, CommandError> {
        let policy = self.warned_policy(printer)?;
        let audit = self.audit.as_deref().map(|path| audit::of_command(path, printer)).transpose()?;
        Ok(self.gate_with(component, policy, misplaced(arguments), Vec::new(), audit, printer))
    }

    /// The gate for `component` that is served under `policy`. `metrics` hears what it is refused, `audit` every decision.
    pub fn gate_of(
        &self,
        component: &str,
        policy: Policy,
        metrics: Arc<ComponentMetrics>,
        audit: Option<&ServerAudit>,
        printer: Printer,
    ) -> Gate {
        let audit = audit.map(ServerAudit::listener);
        self.gate_with(component, policy, Vec::new(), vec![metrics], audit, printer)
    }

    /// The audit of all that is served.
    pub fn server_audit(&self, printer: Printer) -> Result<Option<ServerAudit>, CommandError> {
        self.audit.as_deref().map(|path| ServerAudit::start(path, printer)).transpose()
    }

    /// The policy of the flags, with a warning when it is none.
    pub fn warned_policy(&self, printer: Printer) -> Result<Policy, CommandError> {
        let policy = self.policy()?;
        if self.allow_all {
            printer
                .warning("--allow-all: the guest may read and write every file and reach every address that you can");
        }
        Ok(policy)
    }

    /// Whether any flag grants or denies something.
    pub fn is_empty(&self) -> bool {
        !self.allow_all
            && self.by_capability().iter().all(|(_, grants, denials)| grants.is_empty() && denials.is_empty())
    }

    fn gate_with(
        &self,
        component: &str,
        policy: Policy,
        misplaced: Vec<String>,
        mut listeners: Vec<Arc<dyn Listener>>,
        audit: Option<Audit>,
        printer: Printer,
    ) -> Gate {
        if !self.quiet {
            listeners.push(Arc::new(Explainer::new(move |text| {
                printer.explanation(text);
                if let Some(flag) = misplaced.iter().find(|flag| text.contains(&format!("allow it: {flag} "))) {
                    printer.hint(&format!("`{flag}` after the target went to the guest; write it before the target"));
                }
            })));
        }
        listeners.extend(audit.map(|audit| Arc::new(audit) as Arc<dyn Listener>));
        Gate::new(component, policy, listeners)
    }

    /// The values of the granted variables.
    pub fn env_values(&self, policy: &Policy, printer: Printer) -> Vec<(String, String)> {
        let inherited = |name: &str| {
            // Of what a manifest grants, it is said where.
            if let Some(why) = unset(name).filter(|_| !self.env.is_empty()) {
                printer.warning(&format!("--env {name}: `{name}` {why}, so the guest does not see it"));
            }
            std::env::var(name).ok()
        };
        let granted = policy
            .env()
            .iter()
            .filter_map(|grant| Some((grant.name.clone(), grant.value.clone().or_else(|| inherited(&grant.name))?)));
        // Of all, the ones that are not text cannot be told to a guest.
        let all = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let named: Vec<(String, String)> = granted.collect();
        let rest = all.filter(|(name, _)| self.allow_all && named.iter().all(|(n, _)| n != name));
        let rest: Vec<_> = rest.collect();
        named.into_iter().chain(rest).collect()
    }
}

/// Why a guest does not see the variable `name` of this process, if it does not.
pub fn unset(name: &str) -> Option<&'static str> {
    match std::env::var(name) {
        Ok(_) => None,
        Err(VarError::NotPresent) => Some("is not set here"),
        Err(VarError::NotUnicode(_)) => Some("is no text here"),
    }
}

/// Grants of ours among the guest's arguments.
fn misplaced(arguments: &[String]) -> Vec<String> {
    let flags = Capability::ALL.map(|capability| format!("--{capability}"));
    let given = |flag: &String| arguments.iter().any(|a| a.split('=').next() == Some(flag));
    flags.into_iter().filter(given).collect()
}
