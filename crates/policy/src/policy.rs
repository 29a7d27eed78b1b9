use crate::pattern::mount::is_within;
use crate::{
    Capability, EnvGrant, HostPattern, Mount, MountAccess, NamePattern, PatternError, SocketPattern, UrlPattern,
    normalize,
};
use std::path::Path;

/// A component's grants and denials. The default is sealed: it allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(crate) allow_all: bool,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) env: Vec<EnvGrant>,
    pub(crate) connect: Vec<SocketPattern>,
    pub(crate) listen: Vec<SocketPattern>,
    pub(crate) resolve: Vec<HostPattern>,
    pub(crate) http: Vec<UrlPattern>,
    pub(crate) deny_dir: Vec<String>,
    pub(crate) deny_env: Vec<String>,
    pub(crate) deny_connect: Vec<SocketPattern>,
    pub(crate) deny_listen: Vec<SocketPattern>,
    pub(crate) deny_resolve: Vec<HostPattern>,
    pub(crate) deny_http: Vec<UrlPattern>,
}

impl Policy {
    /// A policy that allows nothing.
    pub fn sealed() -> Self {
        Policy::default()
    }

    /// Allows everything that no denial forbids: the whole file system read-write, every address, and so on. Mounts that
    /// were granted stay where they are.
    pub fn allow_all(&mut self) {
        self.allow_all = true;
        if self.mounts.iter().all(|mount| mount.guest != "/") {
            let access = MountAccess::ReadWrite;
            self.mounts.push(Mount { host: "/".into(), name: "/".into(), guest: "/".into(), access });
        }
    }

    /// Adds a grant, in the words that the flag and the manifest use.
    pub fn allow(&mut self, capability: Capability, text: &str) -> Result<(), PatternError> {
        match capability {
            Capability::Dir => self.allow_mount(text)?,
            Capability::Env => self.allow_env(text)?,
            Capability::Connect => self.connect.push(SocketPattern::parse(text)?),
            Capability::Listen => self.listen.push(listen(text)?),
            Capability::Resolve => self.resolve.push(HostPattern::parse(text)?),
            Capability::Http => self.http.push(UrlPattern::parse(text)?),
        }
        Ok(())
    }

    /// Adds a denial, which beats every grant.
    pub fn deny(&mut self, capability: Capability, text: &str) -> Result<(), PatternError> {
        match capability {
            Capability::Dir => self.deny_dir.push(dir_denial(text)?),
            Capability::Env => self.deny_env.push(env_denial(text)?),
            Capability::Connect => self.deny_connect.push(SocketPattern::parse(text)?),
            Capability::Listen => self.deny_listen.push(listen(text)?),
            Capability::Resolve => self.deny_resolve.push(HostPattern::parse(text)?),
            Capability::Http => self.deny_http.push(UrlPattern::parse(text)?),
        }
        Ok(())
    }

    /// Lets relative host folders begin at `base`. Whoever reads grants from a file calls this once, with the file's folder.
    pub fn resolve_mounts(&mut self, base: &Path) {
        for mount in &mut self.mounts {
            // By components, so that `./data` leaves no dot behind.
            mount.host = base.join(&mount.host).components().collect();
        }
    }

    /// Whether everything is allowed that no denial forbids.
    pub fn allows_all(&self) -> bool {
        self.allow_all
    }

    /// The folders that the guest sees, in the order in which they were granted.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The granted variables, in order.
    pub fn env(&self) -> &[EnvGrant] {
        &self.env
    }

    /// Guest paths that are denied, each with all that is below it.
    pub fn denied_dirs(&self) -> &[String] {
        &self.deny_dir
    }

    /// The mount that `path` (normalized) lies in: the deepest one.
    pub fn mount_of(&self, path: &str) -> Option<(usize, &Mount)> {
        self.mounts.iter().enumerate().filter(|(_, m)| is_within(path, &m.guest)).max_by_key(|(_, m)| m.guest.len())
    }

    /// What is granted, a line each, as `capability = pattern`; empty is sealed.
    pub fn summary(&self) -> Vec<String> {
        fn lines<'a, T: ToString + 'a>(capability: Capability, items: &'a [T]) -> impl Iterator<Item = String> + 'a {
            items.iter().map(move |item| format!("{capability} = {}", item.to_string()))
        }
        lines(Capability::Dir, &self.mounts)
            .chain(lines(Capability::Env, &self.env))
            .chain(lines(Capability::Connect, &self.connect))
            .chain(lines(Capability::Listen, &self.listen))
            .chain(lines(Capability::Resolve, &self.resolve))
            .chain(lines(Capability::Http, &self.http))
            .collect()
    }

    fn allow_mount(&mut self, text: &str) -> Result<(), PatternError> {
        let mount = Mount::parse(text)?;
        if let Some(other) = self.mounts.iter_mut().find(|m| m.guest == mount.guest) {
            // Grants add up: who is shown how to write to a folder need not take back the grant to read it.
            if other.host == mount.host {
                if mount.access == MountAccess::ReadWrite {
                    other.access = MountAccess::ReadWrite;
                }
                return Ok(());
            }
            return Err(PatternError::new(
                text,
                format!("is a second folder at {} (the first is {})", mount.guest, other.host.display()),
                "give each mount a guest path of its own",
            ));
        }
        self.mounts.push(mount);
        Ok(())
    }

    /// The last value of a variable counts, as it does in a shell.
    fn allow_env(&mut self, text: &str) -> Result<(), PatternError> {
        let grant = EnvGrant::parse(text)?;
        self.env.retain(|other| other.name != grant.name);
        self.env.push(grant);
        Ok(())
    }
}

fn listen(text: &str) -> Result<SocketPattern, PatternError> {
    const HINT: &str = "write an address of this machine: `127.0.0.1:8080`, `0.0.0.0:8080`, `localhost:8080`, `*:8080`";
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let is_port = text.parse::<u16>().is_ok();
        let hint = if is_port { format!("write `127.0.0.1:{text}`, or `*:{text}` for all") } else { HINT.to_owned() };
        return Err(PatternError::new(text, "has no address", hint));
    }
    let is_here = |pattern: &SocketPattern| match &pattern.host {
        HostPattern::Name(name) => *name == NamePattern::Any || name.matches("localhost"),
        HostPattern::Net(_) => true,
    };
    match SocketPattern::parse(text) {
        Ok(pattern) if is_here(&pattern) => Ok(pattern),
        Ok(_) => Err(PatternError::new(text, "names a host that is not this one", HINT)),
        Err(mut error) => {
            // What may be connected to may be elsewhere.
            let example = error.hint.split('`').nth(1).map(SocketPattern::parse);
            if !example.is_some_and(|example| example.is_ok_and(|pattern| is_here(&pattern))) {
                error.hint = HINT.to_owned();
            }
            Err(error)
        }
    }
}

fn dir_denial(text: &str) -> Result<String, PatternError> {
    let error = |problem: &str| PatternError::new(text, problem, "write a guest path such as `/data/private`");
    if text.is_empty() {
        return Err(error("is not a path"));
    }
    if text.contains("::") {
        return Err(error("looks like a mount, and a denial has the guest's path alone"));
    }
    normalize(text).ok_or_else(|| error("leaves the root"))
}

fn env_denial(text: &str) -> Result<String, PatternError> {
    let stars = text.strip_suffix('*').unwrap_or(text).contains('*');
    if text.is_empty() || stars || text.contains(['=', '\0']) {
        return Err(PatternError::new(text, "is not a variable's name", "write `NAME`, `PREFIX_*` or `*`"));
    }
    Ok(text.to_owned())
}
