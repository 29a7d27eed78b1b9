//! A component's grants and denials.

use crate::capability::Capability;
use crate::decision::{Decision, Reason};
use crate::pattern::address::{HostPattern, SocketPattern};
use crate::pattern::env::EnvGrant;
use crate::pattern::mount::{Mount, MountAccess};
use crate::pattern::url::UrlPattern;
use crate::rules::Rules;
use std::path::Path;

/// A component's grants and denials. The default is sealed: it allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(crate) allow_all: bool,
    pub(crate) dir: Rules<Mount, String>,
    pub(crate) env: Rules<EnvGrant, String>,
    pub(crate) connect: Rules<SocketPattern>,
    pub(crate) listen: Rules<SocketPattern>,
    pub(crate) resolve: Rules<HostPattern>,
    pub(crate) http: Rules<UrlPattern>,
}

impl Policy {
    /// Returns a policy that allows nothing.
    pub fn sealed() -> Self {
        Policy::default()
    }

    /// Allows everything that no denial forbids: the whole file system read-write, every address,
    /// and so on. Mounts that were granted stay where they are.
    pub fn allow_all(&mut self) {
        self.allow_all = true;
        if self.dir.allow.iter().all(|mount| mount.guest != "/") {
            let access = MountAccess::ReadWrite;
            self.dir.allow.push(Mount { host: "/".into(), name: "/".into(), guest: "/".into(), access });
        }
    }

    /// Makes relative host folders begin at `base`. The reader of a file calls this once, with the
    /// file's folder.
    pub fn resolve_mounts(&mut self, base: &Path) {
        for mount in &mut self.dir.allow {
            // By components, so that `./data` leaves no dot behind.
            mount.host = base.join(&mount.host).components().collect();
        }
    }

    /// Returns whether everything is allowed that no denial forbids.
    pub fn allows_all(&self) -> bool {
        self.allow_all
    }

    /// Returns whether a grant lets a socket connect, send or receive anywhere.
    pub fn grants_sockets(&self) -> bool {
        self.allow_all || !self.connect.allow.is_empty() || !self.listen.allow.is_empty()
    }

    /// Returns the folders that the guest sees, in the order in which they were granted.
    pub fn mounts(&self) -> &[Mount] {
        &self.dir.allow
    }

    /// Returns the granted variables, in order.
    pub fn env(&self) -> &[EnvGrant] {
        &self.env.allow
    }

    /// Returns the guest paths that are denied, each with all that is below it.
    pub fn denied_dirs(&self) -> &[String] {
        &self.dir.deny
    }

    /// Returns the grants, a line each, as `capability = pattern`; empty is sealed.
    pub fn summary(&self) -> Vec<String> {
        let of = |capability| -> Vec<String> {
            match capability {
                Capability::Dir => self.dir.summary(capability).collect(),
                Capability::Env => self.env.summary(capability).collect(),
                Capability::Connect => self.connect.summary(capability).collect(),
                Capability::Listen => self.listen.summary(capability).collect(),
                Capability::Resolve => self.resolve.summary(capability).collect(),
                Capability::Http => self.http.summary(capability).collect(),
            }
        };
        Capability::ALL.into_iter().flat_map(of).collect()
    }

    /// Allows by this rule, or because everything is allowed.
    pub(crate) fn grant(&self, rule: Option<String>) -> Decision {
        match rule {
            Some(rule) => Decision::allowed(rule),
            None if self.allow_all => Decision::allowed("allow-all".into()),
            None => Decision::denied(Reason::NotGranted),
        }
    }
}
