//! Rights of a component: patterns, grants, denials, and the function that decides.
//!
//! This crate is pure. It does no I/O, holds no clock and no lock, and knows nothing of
//! WebAssembly: a [`Request`] goes in, a [`Decision`] comes out, and the same request against the
//! same policy always gives the same decision. The engine's gate is its only caller at run time;
//! front doors use it to read grants.
//!
//! Rules that hold for every capability:
//! * nothing is granted until somebody grants it;
//! * a denial beats every grant, [`Policy::allow_all`] included;
//! * names are decided before look-up, and every address that comes of them is decided again.

#![forbid(unsafe_code)]

mod capabilities;
mod capability;
mod decide;
mod decision;
mod denial;
mod limits;
mod pattern;
mod policy;
mod printable;
mod request;
mod rules;
pub mod units;

pub use capabilities::dir::Access;
pub use capability::Capability;
pub use decision::{Decision, Reason};
pub use denial::{Denial, Fix};
pub use limits::{Limit, LimitDefinition, LimitOverrides, LimitUnit, Limits};
pub use pattern::address::{AddressClass, HostPattern, SocketPattern};
pub use pattern::env::EnvGrant;
pub use pattern::mount::{Mount, MountAccess, normalize};
pub use pattern::name::NamePattern;
pub use pattern::pattern::{PatternError, Ports};
pub use pattern::protocol::Protocol;
pub use pattern::url::UrlPattern;
pub use policy::Policy;
pub use printable::{Printable, is_hidden};
pub use request::Request;
