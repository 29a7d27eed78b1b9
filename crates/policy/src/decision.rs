//! The answer to a request.

use crate::pattern::address::{AddressClass, SocketPattern};
use crate::printable::Printable;
use std::fmt;

/// The answer to a request, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A rule allows it.
    Allowed {
        /// The rule as it was written, with its capability before it.
        rule: String,
    },
    /// It is refused.
    Denied {
        /// Reason of the refusal.
        reason: Reason,
    },
}

/// Reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing grants it.
    NotGranted,
    /// A denial forbids it; no grant can help.
    DeniedBy(String),
    /// The mount is read-only.
    ReadOnly {
        /// The folder on the host.
        host: String,
        /// The guest's name for it.
        name: String,
    },
    /// The path leads out of the folder that was granted.
    OutsideMount(String),
    /// A mount gives files and folders only: a pipe can block for ever, and a device is another
    /// authority.
    NotAFile,
    /// The name was granted, but its address is one that a name does not reach.
    AddressNotPublic {
        /// The name.
        name: String,
        /// Class of the address.
        class: AddressClass,
        /// The rule that grants the name, if it is a `connect` rule.
        by: Option<SocketPattern>,
    },
    /// The path has dot segments, and only a part of the server's paths is granted.
    AmbiguousPath,
    /// The text cannot be the name of a host, so that no rule names it.
    NotAName,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotGranted => f.write_str("nothing grants it"),
            Reason::DeniedBy(rule) => write!(f, "`{rule}` denies it, and a denial beats every grant"),
            Reason::ReadOnly { name, .. } => write!(f, "the mount `{name}` is read-only"),
            Reason::OutsideMount(mount) => write!(f, "the path leads out of the mount `{mount}`"),
            Reason::NotAFile => f.write_str("a mount gives files and folders only"),
            Reason::AddressNotPublic { name, class, .. } => {
                let name = Printable(name);
                write!(f, "`{name}` is granted by name, and a name does not reach {class} addresses")
            }
            Reason::AmbiguousPath => f.write_str(
                "nothing grants it: its path has `.` or `..` in it, plain or escaped, which servers read in different ways; \
                 only a rule without a path covers it",
            ),
            Reason::NotAName => f.write_str("it is not the name of a host; only `*` covers it"),
        }
    }
}

impl Decision {
    pub(crate) fn allowed(rule: String) -> Self {
        Decision::Allowed { rule }
    }

    pub(crate) fn denied(reason: Reason) -> Self {
        Decision::Denied { reason }
    }

    pub(crate) fn denied_by(rule: String) -> Self {
        Decision::denied(Reason::DeniedBy(rule))
    }

    /// Refuses an address that a grant by name does not reach.
    pub(crate) fn not_public(name: &str, class: AddressClass, by: Option<&SocketPattern>) -> Self {
        Decision::denied(Reason::AddressNotPublic { name: name.to_owned(), class, by: by.cloned() })
    }
}
