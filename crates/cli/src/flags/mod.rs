//! The command line: verbs, flags, and their help texts. [`crate::settings`] turns flags into plain
//! values.

mod cache;
mod call;
mod command_line;
mod connections;
mod grants;
mod inspect;
mod limits;
mod numbers;
mod run;
mod serve;
mod tier;

pub use cache::{CacheArgs, CacheVerb};
pub use call::CallArgs;
pub use command_line::{VerbArgs, parse};
pub use connections::ConnectionFlags;
pub use grants::GrantFlags;
pub use inspect::InspectArgs;
pub use run::RunArgs;
pub use serve::{AccessLogFlag, ServeArgs};
