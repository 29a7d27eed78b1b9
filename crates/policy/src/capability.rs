//! The list of capabilities.

use std::fmt;

/// A kind of authority. The same word names the flag, the manifest key, the denial, the audit line
/// and the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Files and folders of the host.
    Dir,
    /// Environment variables.
    Env,
    /// Outbound TCP connections and UDP datagrams.
    Connect,
    /// Inbound TCP connections and UDP datagrams.
    Listen,
    /// Name look-ups.
    Resolve,
    /// Outbound HTTP requests.
    Http,
}

impl Capability {
    /// Every capability, in the order in which help and reports list them. The compiler checks that
    /// none is missing.
    pub const ALL: [Capability; 6] = [
        Capability::Dir,
        Capability::Env,
        Capability::Connect,
        Capability::Listen,
        Capability::Resolve,
        Capability::Http,
    ];

    /// Returns its word, without dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::Dir => "dir",
            Capability::Env => "env",
            Capability::Connect => "connect",
            Capability::Listen => "listen",
            Capability::Resolve => "resolve",
            Capability::Http => "http",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Fails to compile when [`Capability::ALL`] lacks a variant or has another order.
const _: () = {
    let mut place = 0;
    while place < Capability::ALL.len() {
        assert!(Capability::ALL[place] as usize == place);
        place += 1;
    }
    // A new variant needs a line here, and a place in `ALL`.
    const fn last() -> Capability {
        match Capability::Dir {
            Capability::Dir
            | Capability::Env
            | Capability::Connect
            | Capability::Listen
            | Capability::Resolve
            | Capability::Http => Capability::Http,
        }
    }
    assert!(last() as usize + 1 == Capability::ALL.len());
};
