//! What a component may do: patterns, grants, and the one function that decides.
//!
//! This crate is pure. It does no I/O, holds no clock and no lock, and knows nothing of WebAssembly: a [`Request`] goes
//! in, a [`Decision`] comes out, and the same request against the same policy always gives the same decision. The
//! engine's gate is its only caller at run time; front doors use it to read what a person granted.
//!
//! Rules that hold for every capability:
//! * nothing is granted until somebody grants it;
//! * a denial beats every grant, [`Policy::allow_all`] included;
//! * names are decided before look-up, and every address that comes of them is decided again.

#![forbid(unsafe_code)]

mod capability;
mod decide;
mod denial;
mod limits;
mod pattern;
mod policy;
mod request;
pub mod units;

pub use capability::Capability;
pub use decide::{Decision, Reason};
pub use denial::{Denial, Fix};
pub use limits::{Limit, LimitDefinition, LimitOverrides, LimitUnit, Limits};
pub use pattern::address::{AddressClass, HostPattern, SocketPattern};
pub use pattern::env::EnvGrant;
pub use pattern::http::UrlPattern;
pub use pattern::mount::{Mount, MountAccess, normalize};
pub use pattern::name::NamePattern;
pub use pattern::{PatternError, Ports};
pub use policy::Policy;
pub use request::{Access, Printable, Protocol, Request, is_hidden};
